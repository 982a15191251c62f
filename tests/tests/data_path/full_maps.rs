//! Maps that have no room left.

use std::time::Duration;

use kprof_tests::audit::{Account, Audited};
use kprof_tests::renamer::{Renamer, Work};
use kprof_tests::{Load, Outcome, Skip, live, samples_taken, signal, wait_until};

const S: fn(u64) -> Duration = Duration::from_secs;

/// Entries of the overflow map where the rate is not known.
const OVERFLOW: u64 = 8192;

/// Keys that the maps have room for with `--max-stacks 1`: the overflow map's, and 64 of each CPU.
fn room() -> u64 {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    OVERFLOW + 64 * cpus as u64
}

/// The sum of windows without loss.
fn sum(windows: &[Account]) -> (f64, Duration) {
    let counted: u64 = windows.iter().map(|window| window.counted).sum();
    (counted as f64, windows.iter().map(|w| w.duration).sum())
}

/// How often a page fault comes is not known beforehand, so that maps are drained each second. Each fault is under a new
/// name here, and there are three times as many of them as the maps have room for.
pub(crate) fn a_full_counts_map_is_told_and_answered_by_earlier_drains() -> Outcome {
    let _live = live()?;
    let threads = ['A', 'B'].map(|letter| Renamer::start(letter, 3 * room() / 2, Work::Fault));
    let mut kprof = Audited::start(&[
        "-e",
        "page-faults",
        "--period",
        "1",
        "--max-stacks",
        "1",
        "-d",
        "6",
        "--comm",
        "A*",
        "--comm",
        "B*",
    ]);
    kprof.runs(1);
    let books = kprof.books(S(60));
    let (first, last) = {
        let full = |window: &&Account| window.lost_by("counts_full") > 0;
        let at = |found: Option<usize>| found.map(|at| (at, &books.windows[at]));
        let all: Vec<bool> = books.windows.iter().map(|w| full(&w)).collect();
        (
            at(all.iter().position(|f| *f)),
            at(all.iter().rposition(|f| *f)),
        )
    };
    let (Some((_, first)), Some((last, _))) = (first, last) else {
        let made = books.total.counted as f64 / books.total.duration.as_secs_f64();
        assert!(
            made < 2.0 * room() as f64,
            "nothing lost: {:?}",
            books.total
        );
        drop(threads);
        return Err(Skip::because(format_args!(
            "this machine takes only {made:.0} names a second, too few to fill the maps"
        )));
    };
    assert_eq!(books.total.lost.len(), 1, "{:?}", books.total);
    // It was full: as many keys as the overflow map has entries at least.
    assert!(first.keys >= OVERFLOW, "{first:?}");

    // The same load goes on, and is no longer too much.
    let after = &books.windows[last + 1..];
    let (counted, time) = sum(after);
    assert!(!after.is_empty() && time >= S(1), "{:?}", books.windows);
    let a_second = counted / time.as_secs_f64();
    assert!(a_second > room() as f64, "{a_second} a second: {after:?}");
    let mean = time / after.len() as u32;
    assert!(
        mean * 2 < first.duration + first.late,
        "{mean:?}, then {first:?}"
    );

    let lines: Vec<&str> = books.said.lines().collect();
    let [noticed, end] = lines[..] else {
        panic!("{}", books.said)
    };
    assert!(
        noticed.contains("maps were full") && noticed.contains("emptied every 500 ms"),
        "{noticed}"
    );
    let lost = format!(
        "counts_full ({}",
        "no room for another thread, name and stack)"
    );
    assert!(
        end.starts_with("kprof: lost ") && end.contains(&lost),
        "{end}"
    );
    let why = match books.total.late >= Duration::from_millis(250) {
        true => "late to empty them",
        false => "sample less (--period)",
    };
    assert!(end.contains(why), "{end}");
    assert!(books.report.contains("\nLost: "), "{}", books.report);
    Ok(())
}

/// What the maps are made for: a drain that comes this late loses nothing.
const LATE: Duration = Duration::from_millis(250);

pub(crate) fn a_full_stack_map_loses_nothing() -> Outcome {
    let _live = live()?;
    let _load = Load::start("many-stacks", 60)?;
    let arguments = ["-e", "cpu-clock", "-F", "499", "-i", "200ms", "-d", "4"];
    let mut kprof = Audited::start(&[&arguments[..], &["--max-stacks", "4"]].concat());
    kprof.runs(1);
    let books = kprof.books(S(60));
    let total = &books.total;
    let spilled = total.spilled * 8 > total.counted;
    assert!(spilled, "the map was never full: {total:?}");
    let punctual = books
        .windows
        .iter()
        .filter(|w| w.late <= LATE && w.spilled > 0);
    let punctual: Vec<&Account> = punctual.collect();
    if punctual.is_empty() {
        return Err(Skip::because(format_args!(
            "this machine lets kprof run up to {:?} late",
            total.late
        )));
    }
    for window in punctual {
        assert!(window.lost.is_empty(), "{window:?}");
    }
    assert_eq!(
        books.said.is_empty(),
        total.lost.is_empty(),
        "{}",
        books.said
    );
    Ok(())
}

/// One bucket, so that nearly all stacks are in the spill map, and kprof stopped until they are too many for it.
pub(crate) fn a_full_spill_map_is_told_and_answered_by_earlier_drains() -> Outcome {
    let _live = live()?;
    let load = Load::start("many-stacks", 120)?;
    // One CPU, so that the maps are as large on all machines: 256 spilled stacks.
    let arguments = [
        "-e",
        "cpu-clock",
        "-F",
        "999",
        "-i",
        "100ms",
        "-d",
        "0",
        "--cpu",
        "0",
    ];
    let mut kprof = Audited::start(&[&arguments[..], &["--max-stacks", "1"]].concat());
    kprof.runs(300);
    signal(kprof.child(), libc::SIGSTOP);
    kprof.runs(3300);
    // Nothing is to make kprof late, from here on.
    drop(load);
    signal(kprof.child(), libc::SIGCONT);
    wait_until("kprof tells that maps were full", S(60), || {
        kprof.said().contains("maps were full")
    });
    let taken = samples_taken(kprof.child());
    kprof.runs(taken + 1500);
    let books = kprof.end();
    let stopped = books
        .windows
        .iter()
        .position(|w| w.lost_by("spill_full") > 0);
    let Some(stopped) = stopped else {
        panic!("nothing lost: {:?}", books.windows)
    };
    let full = &books.windows[stopped];
    assert!(full.spilled > 0 && full.keys >= 256, "{full:?}");
    let after = &books.windows[stopped + 1..];
    let whole = after.iter().filter(|w| w.lost.is_empty() && w.counted > 0);
    let shortest = whole.map(|w| w.duration).min();
    // 50 ms from now on, and on a busy machine some come late and the next ones early.
    assert!(shortest <= Some(Duration::from_millis(80)), "{after:?}");
    assert!(shortest.is_some(), "{after:?}");
    let end = books.said.lines().last().unwrap_or_default();
    assert!(
        end.contains("spill_full (no room for another stack)"),
        "{end}"
    );
    assert!(end.contains(" late to empty them: it was stopped"), "{end}");
    Ok(())
}
