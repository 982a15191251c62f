//! Drains that come late.

use std::time::Duration;

use kprof_tests::audit::{Account, Audited, Books};
use kprof_tests::burn::Burner;
use kprof_tests::freezer::Freezer;
use kprof_tests::renamer::{Renamer, Work};
use kprof_tests::{Outcome, live, samples_taken, signal};

const MS: fn(u64) -> Duration = Duration::from_millis;
/// How late.
const LATE: Duration = Duration::from_secs(30);

/// The window that has the fault in it, and those behind it.
fn faulty(books: &Books) -> (&Account, &[Account]) {
    let durations = books.windows.iter().map(|window| window.duration);
    let (at, _) = durations
        .enumerate()
        .max_by_key(|(_, d)| *d)
        .expect("a window");
    let (faulty, after) = (&books.windows[at], &books.windows[at + 1..]);
    // The drain was due within the second that the window is long, if all had been well.
    assert!(
        faulty.duration >= LATE && faulty.late + MS(1500) >= LATE,
        "{faulty:?}"
    );
    assert!(faulty.late == books.total.late, "{faulty:?}");
    (faulty, after)
}

/// Two captures are late by the same 30 s, each for a reason of its own. One is frozen, and has few threads and stacks to
/// count; one is stopped by a signal, while a thread makes more than its maps have room for.
pub(crate) fn drains_late_by_30_s_lose_what_finds_no_room_and_nothing_else() -> Outcome {
    let _live = live()?;
    let busy = Burner::start(&["kp-late"], MS(50), MS(1));
    let many = Renamer::start('k', 1000, Work::Read);
    let tid = busy.tid().to_string();
    let clock = ["-e", "cpu-clock", "-d", "0"];
    let of_one = ["-F", "99", "-i", "1s", "--tid", &tid];
    let mut frozen = Audited::start(&[&clock[..], &of_one].concat());
    let freezer = Freezer::of(frozen.child().id())?;
    let mut stopped = Audited::start(&[&clock[..], &["-F", "999", "-i", "100ms"]].concat());
    frozen.runs(100);
    stopped.runs(500);

    freezer.freeze();
    signal(stopped.child(), libc::SIGSTOP);
    let cpu = busy.cpu_time();
    std::thread::sleep(LATE);
    let cpu = (busy.cpu_time() - cpu).as_secs_f64();
    // Nothing is to fill the maps, from here on.
    drop(many);
    freezer.thaw();
    signal(stopped.child(), libc::SIGCONT);
    for (kprof, more) in [(&mut frozen, 100), (&mut stopped, 500)] {
        let taken = samples_taken(kprof.child());
        kprof.runs(taken + more);
    }
    let (frozen, stopped) = (frozen.end(), stopped.end());
    drop(freezer);

    let (window, after) = faulty(&frozen);
    assert!(frozen.total.lost.is_empty(), "{:?}", frozen.total);
    assert!(frozen.said.is_empty(), "{}", frozen.said);
    assert!(
        !after.is_empty() && window.filtered > 0,
        "{:?}",
        frozen.windows
    );
    // All of the thread's time is in there, but for what the timer skipped.
    let (due, counted) = (cpu * 99.0, window.counted as f64);
    let skipped = window.skipped() as f64;
    assert!(counted <= due * 1.1 + 30.0, "{due} due: {window:?}");
    assert!(
        counted + skipped >= due * 0.9 - 30.0,
        "{due} due: {window:?}"
    );

    let (window, after) = faulty(&stopped);
    let total = &stopped.total;
    assert!(window.lost_by("counts_full") > 0, "{window:?}");
    let full = ["counts_full", "spill_full"].map(|reason| total.lost_by(reason));
    assert_eq!(full.iter().sum::<u64>(), total.lost_total(), "{total:?}");
    // It went on until the maps were full, which have 512 keys or more; and then with the keys that are in them.
    assert!(
        window.keys >= 512 && window.counted > window.keys,
        "{window:?}"
    );
    // One CPU was busy all the time.
    assert!(
        window.seen + window.skipped() >= 999 * LATE.as_secs() * 9 / 10,
        "{window:?}"
    );
    assert!(
        after.iter().any(|w| w.lost.is_empty() && w.counted > 0),
        "{after:?}"
    );
    let lines: Vec<&str> = stopped.said.lines().collect();
    let [noticed, end] = lines[..] else {
        panic!("{}", stopped.said)
    };
    assert!(noticed.contains("maps were full"), "{noticed}");
    let late = format!(
        "up to {:.1} s late to empty them: it was stopped",
        total.late.as_secs_f64()
    );
    for said in [end, &stopped.report.replace('\n', " ")] {
        assert!(
            said.contains(&late) && said.contains("counts_full (no room"),
            "{said}"
        );
    }
    Ok(())
}
