//! The kernel's limit of samples falls while kprof samples, as it does by itself where sampling takes too long.

use std::time::Duration;

use kprof_tests::burn::Burner;
use kprof_tests::windows::assert_nothing_lost;
use kprof_tests::{Outcome, Skip, live};

use crate::capture::Running;
use crate::cpus::online;

const SETTING: &str = "/proc/sys/kernel/perf_event_max_sample_rate";

/// The limit, which is as before when this is dropped.
struct Limit {
    before: String,
}

impl Limit {
    fn keep() -> Limit {
        Limit {
            before: std::fs::read_to_string(SETTING).unwrap(),
        }
    }

    fn set(to: &str) -> std::io::Result<()> {
        std::fs::write(SETTING, to)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let _ = Limit::set(&self.before);
    }
}

pub(crate) fn a_limit_of_samples_that_falls_is_told() -> Outcome {
    let _live = live()?;
    let limit = Limit::keep();
    Limit::set(&limit.before)
        .map_err(|error| Skip::because(format_args!("the limit can't be set: {error}")))?;
    let running = Running::start(&["-F", "999", "-i", "500ms", "-e", "cpu-clock"]);
    let _busy = Burner::pinned("kp-busy", 0);
    Limit::set("200").unwrap();
    // It looks once a second, and the limit may be raised again before the end.
    std::thread::sleep(Duration::from_millis(2500));
    Limit::set(&limit.before).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let ended = running.end();
    assert_nothing_lost(&ended.windows, online().len() as u64);
    assert_eq!(ended.said.lines().count(), 1, "{}", ended.said);
    for words in [
        "kernel.perf_event_max_sample_rate fell to 200 while 999 samples a second",
        "held samples back",
        "--freq 200",
        "sudo sysctl -w kernel.perf_event_max_sample_rate=",
    ] {
        assert!(ended.said.contains(words), "no {words} in: {}", ended.said);
    }
    // Much of what the kernel held back was not due by the events' own counts.
    let (seen, expected) = (ended.number("seen"), ended.number("expected"));
    eprintln!("{seen} seen, {expected} due, in {:?}", ended.duration());
    assert!(ended.report.contains("throttled"), "{}", ended.report);
    Ok(())
}
