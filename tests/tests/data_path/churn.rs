//! Threads that come, go and change their names under the capture.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::time::{Duration, Instant};

use kprof_tests::audit::{Audited, Books};
use kprof_tests::burn::rename;
use kprof_tests::folded::Line;
use kprof_tests::renamer::{self, NAMES, Renamer, Work};
use kprof_tests::{Outcome, Skip, live};

const THREADS: usize = 10_000;

/// Whether a line is of a thread that was hit in the middle of changing its name, and therefore has none.
fn is_renaming(line: &Line) -> bool {
    let renaming = line.comm.starts_with("[renaming]");
    let changes = line
        .frames
        .iter()
        .any(|frame| frame.starts_with("__set_task_comm"));
    assert!(!renaming || changes, "{line:?}");
    renaming
}

fn nothing_is_lost(books: &Books) {
    assert!(books.total.lost.is_empty(), "{:?}", books.total);
    assert!(
        books.total.counted > 0 && books.total.filtered > 0,
        "{:?}",
        books.total
    );
    assert_eq!(books.said, "");
}

/// Starts and ends threads, one after the other; gives their names and ids, as kprof writes them.
fn short_lived(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    let live = |number| {
        let name = format!("kp-st-{number:05}");
        rename(&name);
        let mut zero = File::open("/dev/zero").expect("open /dev/zero");
        let mut buffer = [0; 16 * 1024];
        let end = Instant::now() + Duration::from_micros(200);
        while Instant::now() < end {
            zero.read_exact(&mut buffer).expect("read /dev/zero");
        }
        // SAFETY: gettid has no preconditions.
        format!("{name}-{}", unsafe { libc::gettid() })
    };
    numbers
        .map(|number| {
            let thread = std::thread::spawn(move || live(number));
            thread.join().expect("a short-lived thread")
        })
        .collect()
}

pub(crate) fn ten_thousand_short_lived_threads_keep_their_names() -> Outcome {
    let _live = live()?;
    let clock = ["-e", "cpu-clock", "-F", "999", "-d", "0"];
    let mut kprof = Audited::start(&[&clock[..], &["--threads", "--comm", "kp-st-*"]].concat());
    kprof.runs(1);
    let lived: Vec<String> = std::thread::scope(|scope| {
        let makers =
            [0, 1].map(|first| scope.spawn(move || short_lived((first..THREADS).step_by(2))));
        let all = makers
            .into_iter()
            .map(|maker| maker.join().expect("a maker of threads"));
        all.flatten().collect()
    });
    let books = kprof.end();
    nothing_is_lost(&books);
    assert_eq!(lived.len(), THREADS);
    let mut samples: HashMap<&str, u64> = lived.iter().map(|name| (name.as_str(), 0)).collect();
    for line in books.lines.iter().filter(|line| !is_renaming(line)) {
        let thread = samples.get_mut(line.comm.as_str());
        *thread.unwrap_or_else(|| panic!("no such thread: {line:?}")) += line.count;
    }
    let sampled = samples.values().filter(|n| **n > 0).count();
    eprintln!("{sampled} of {THREADS} threads were sampled");
    assert!(sampled > 100, "{:?}", books.total);
    Ok(())
}

/// Names of one thread that changes them all the time, each of which must be one that it had.
fn names(thread: &Renamer, letter: char, seconds: &str) -> HashSet<u64> {
    let tid = thread.tid().to_string();
    let clock = ["-e", "cpu-clock", "-F", "999"];
    let mut kprof = Audited::start(&[&clock[..], &["-d", seconds, "--tid", &tid]].concat());
    kprof.runs(1);
    let books = kprof.books(Duration::from_secs(60));
    nothing_is_lost(&books);
    let (changing, whole): (Vec<_>, Vec<_>) =
        books.lines.iter().partition(|line| is_renaming(line));
    let taken = thread.taken().min(NAMES);
    let numbers = whole.into_iter().map(|line| {
        let number = renamer::number(letter, &line.comm).filter(|number| *number < taken);
        number.unwrap_or_else(|| panic!("it never had this name: {line:?}"))
    });
    let numbers: HashSet<u64> = numbers.collect();
    eprintln!(
        "{} names, {} lines without one",
        numbers.len(),
        changing.len()
    );
    numbers
}

pub(crate) fn names_that_change_1000_times_a_second_are_seen_whole() -> Outcome {
    let _live = live()?;
    let thread = Renamer::start('k', 1000, Work::Read);
    let (before, started) = (thread.taken(), Instant::now());
    let seen = names(&thread, 'k', "5");
    let rate = (thread.taken() - before) as f64 / started.elapsed().as_secs_f64();
    if rate < 900.0 {
        return Err(Skip::because(format_args!(
            "this machine takes {rate:.0} names a second"
        )));
    }
    assert!(seen.len() > 100, "{} names", seen.len());
    drop(thread);

    // So fast that many samples hit it in between.
    let thread = Renamer::start('z', 0, Work::Nothing);
    let seen = names(&thread, 'z', "3");
    assert!(seen.len() > 50, "{} names", seen.len());
    Ok(())
}
