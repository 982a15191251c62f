//! Two captures at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kprof_tests::audit::{Audited, Books};
use kprof_tests::burn::{Burner, rename};
use kprof_tests::pages::Page;
use kprof_tests::{Outcome, live};

const MS: fn(u64) -> Duration = Duration::from_millis;
/// Page faults under the name that is sampled.
const FAULTS: u64 = 20_000;
const NAME: &str = "kp-exact";

/// Counts the page faults of a thread that has [`FAULTS`] of them, with so many captures at a time.
fn count_faults(captures: usize) -> Vec<Books> {
    let arguments = [
        "-e",
        "page-faults",
        "--period",
        "1",
        "-d",
        "0",
        "--comm",
        NAME,
    ];
    let mut captures: Vec<Audited> = (0..captures).map(|_| Audited::start(&arguments)).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Others' faults, so that there are samples to wait for and to turn away.
        scope.spawn(|| {
            let page = Page::new();
            while !done.load(Ordering::Relaxed) {
                page.fault();
            }
        });
        captures.iter_mut().for_each(|kprof| kprof.runs(100));
        let exact = scope.spawn(|| {
            let page = Page::new();
            page.fault();
            rename(NAME);
            (0..FAULTS).for_each(|_| page.fault());
            rename("kp-done");
        });
        exact.join().expect("a thread with page faults");
        done.store(true, Ordering::Relaxed);
    });
    captures.into_iter().map(Audited::end).collect()
}

pub(crate) fn two_captures_do_not_change_each_others_counts() -> Outcome {
    let _live = live()?;
    // An event that comes a known number of times, to one capture alone and to two.
    for captures in [1, 2] {
        for books in count_faults(captures) {
            let total = &books.total;
            // The kernel skips what falls into a map system call on the same CPU, and its count shows that.
            let skipped = total.skipped();
            assert!(total.counted <= FAULTS, "{captures}: {total:?}");
            assert!(total.counted + skipped >= FAULTS, "{captures}: {total:?}");
            assert!(skipped < FAULTS / 100, "{captures}: {total:?}");
            assert!(total.lost.is_empty() && total.filtered > 0, "{total:?}");
            assert!(
                books.lines.iter().all(|line| line.comm == NAME),
                "{:?}",
                books.lines
            );
        }
    }

    // Two timers.
    let busy = Burner::start(&["kp-two"], MS(37), MS(29));
    let tid = busy.tid().to_string();
    let arguments = ["-e", "cpu-clock", "-F", "999", "-d", "0", "--tid", &tid];
    let mut captures = [0, 1].map(|_| Audited::start(&arguments));
    captures.iter_mut().for_each(|kprof| kprof.runs(1));
    let (cpu, wall) = (busy.cpu_time(), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let burned = (busy.cpu_time() - cpu).as_secs_f64() / wall.elapsed().as_secs_f64() * 100.0;
    for books in captures.map(Audited::end) {
        let total = &books.total;
        let percent = |samples: u64| samples as f64 / 9.99 / total.duration.as_secs_f64();
        let (sampled, skipped) = (percent(total.counted), percent(total.skipped()));
        let words = format!("{sampled:.1} % of a CPU, {skipped:.1} skipped; /proc {burned:.1} %");
        assert!(sampled <= burned + 5.0, "{words}");
        assert!(sampled + skipped >= burned - 5.0, "{words}");
        assert!(total.lost.is_empty() && books.said.is_empty(), "{books:?}");
    }
    Ok(())
}
