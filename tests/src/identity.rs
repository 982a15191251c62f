//! What holds for every capture, whatever it sampled.

use serde_json::Value;

use crate::folded::{self, Line};

/// Panics unless every sample is counted, filtered or lost, and every counted one is in the output: all of it, with
/// `--show-idle` and `--show-user`. `what` tells which capture.
#[track_caller]
pub fn check(lines: &[Line], stats: &Value, what: &str) {
    let n = |field: &str| stats[field].as_u64().expect("a number");
    let lost = stats["lost"].as_object().expect("losses by reason");
    let lost: u64 = lost.values().filter_map(Value::as_u64).sum();
    let sum = n("counted") + n("filtered") + lost;
    assert_eq!(n("seen"), sum, "{what}: {stats}");
    assert_eq!(folded::total(lines), n("counted"), "{what}: {stats}");
}

/// How late a drain may come, at the least, before maps that have room for a window are full.
const ROOM: u64 = 250_000_000;

/// Panics if samples were lost though kprof emptied its maps in time. A machine with more to do than it can do lets
/// kprof run late; the maps are full then. `what` tells which capture or window.
#[track_caller]
pub fn check_losses(stats: &Value, what: &str) {
    let late = stats["late_ns"].as_u64().expect("nanoseconds");
    for (reason, n) in stats["lost"].as_object().expect("losses by reason") {
        assert!(
            late >= ROOM && reason.ends_with("_full"),
            "{what}: {n} lost by {reason}: {stats}"
        );
    }
}

/// Panics unless `text` is one line of kprof's with all of these words. `what` tells which capture.
#[track_caller]
pub fn check_line(text: &str, words: &[&str], what: &str) {
    assert_eq!(text.lines().count(), 1, "{what}: {text}");
    assert!(text.starts_with("kprof: "), "{what}: {text}");
    for word in words {
        assert!(text.contains(word), "{what}: no \"{word}\" in: {text}");
    }
}
