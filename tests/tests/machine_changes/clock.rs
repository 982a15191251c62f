//! The clock that tells the time of day is set while kprof samples.

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kprof_tests::burn::Burner;
use kprof_tests::windows::assert_nothing_lost;
use kprof_tests::{Outcome, Skip, expect_success, json, live, run, stdout};

use crate::capture::Running;
use crate::cpus::online;

/// The clock, which goes on when this is dropped as if it had never been set.
struct Clock {
    began: (Duration, Instant),
}

impl Clock {
    fn keep() -> Clock {
        Clock {
            began: (Clock::now(), Instant::now()),
        }
    }

    /// Time since 1970.
    fn now() -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
    }

    /// What it would be if it had never been set.
    fn true_time(&self) -> Duration {
        self.began.0 + self.began.1.elapsed()
    }

    fn set(to: Duration) -> std::io::Result<()> {
        let time = libc::timespec {
            tv_sec: to.as_secs() as libc::time_t,
            tv_nsec: to.subsec_nanos() as libc::c_long,
        };
        // SAFETY: the time is live, and the call only reads it.
        match unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = Clock::set(self.true_time());
    }
}

pub(crate) fn a_clock_that_is_set_moves_neither_lengths_nor_the_start() -> Outcome {
    const HOUR: Duration = Duration::from_secs(3600);
    const INTERVAL: Duration = Duration::from_millis(500);
    const TICK: Duration = Duration::from_millis(10);
    let _live = live()?;
    let clock = Clock::keep();
    Clock::set(clock.true_time())
        .map_err(|error| Skip::because(format_args!("the clock can't be set: {error}")))?;
    let before = clock.true_time();
    let started = Instant::now();
    let running = Running::start(&["-F", "199", "-i", "500ms", "-e", "cpu-clock"]);
    let _busy = Burner::pinned("kp-busy", 0);
    let sampling = Instant::now();
    std::thread::sleep(Duration::from_millis(1100));
    Clock::set(clock.true_time() + HOUR).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    Clock::set(clock.true_time() - 24 * HOUR).unwrap();
    std::thread::sleep(Duration::from_millis(1300));
    let least = sampling.elapsed();
    let ended = running.end();
    let most = started.elapsed();
    drop(clock);

    assert_nothing_lost(&ended.windows, online().len() as u64);
    // As long as it took, by a clock that nobody sets.
    let duration = ended.duration();
    assert!(
        least <= duration + TICK && duration <= most,
        "{duration:?}, not {least:?} to {most:?}"
    );
    let sum: Duration = ended.windows.iter().map(|window| window.duration).sum();
    assert_eq!(sum, duration);
    let (last, whole) = ended.windows.split_last().unwrap();
    let count = (duration.as_secs_f64() / INTERVAL.as_secs_f64()) as usize;
    eprintln!(
        "{duration:?} in {} windows, started {:?} after the test",
        ended.windows.len(),
        ended.windows[0].start - before
    );
    // A slow machine may be late for some of them.
    assert!(
        (2..=count).contains(&whole.len()),
        "{} windows in {duration:?}",
        whole.len()
    );
    for window in whole.iter().chain([last]) {
        assert!(window.duration < INTERVAL * 20, "{window:?}");
    }
    // Each window was begun at the time that the clock told then.
    let starts: Vec<i64> = ended
        .windows
        .windows(2)
        .map(|pair| pair[1].start.as_secs() as i64 - pair[0].start.as_secs() as i64)
        .collect();
    let jumps = starts.iter().filter(|step| step.abs() > 60).count();
    assert!((1..=2).contains(&jumps), "{starts:?}");
    // The files are of the time at which it was started.
    let start = ended.windows[0].start;
    let most_start = before + (most - duration) + TICK;
    assert!(
        (before..most_start).contains(&start),
        "started at {start:?}, not {before:?} to {most_start:?}"
    );
    assert_eq!(pprof_times(&ended.file("k.pb.gz")), [start, duration]);
    let firefox = json(&ended.file("k.json"));
    let told = firefox["meta"]["startTime"].as_f64().unwrap() / 1000.0;
    assert!(
        (told - start.as_secs_f64()).abs() < 0.01,
        "{told} {start:?}"
    );
    let head = format!("100 % = {} CPU", online().len());
    let seconds = format!(" x {:.1} s)", duration.as_secs_f64());
    let line = ended.report.lines().find(|line| line.contains(&head));
    assert!(
        line.is_some_and(|line| line.ends_with(&seconds)),
        "no {seconds} in {line:?}"
    );
    // Shares are of that time.
    let samples = ended.of("kp-busy") as f64;
    let row = ended
        .report
        .lines()
        .find(|line| line.contains("kp-busy"))
        .unwrap_or_default();
    let percent = row
        .trim_start()
        .split(' ')
        .next()
        .and_then(|word| word.parse::<f64>().ok());
    let expected = 100.0 * samples / 199.0 / duration.as_secs_f64();
    assert!(
        percent.is_some_and(|percent| (percent - expected).abs() < 0.2),
        "{expected:.1} expected: {row}"
    );
    assert!(samples > 20.0, "{samples} samples");
    assert_eq!(ended.said, "");
    Ok(())
}

/// What it does after its events are off, which takes a while, is not part of it.
pub(crate) fn a_capture_is_as_long_as_its_events_were_on() -> Outcome {
    const HZ: f64 = 999.0;
    let _live = live()?;
    let cpus = online().len() as f64;
    let mut ratios = Vec::new();
    // A busy machine may come between.
    for _ in 0..5 {
        let rate = HZ.to_string();
        let flags = ["-d", "200ms", "-F", &rate, "-e", "cpu-clock", "-q"];
        let output = run(&[&flags[..], &["-o", "/dev/null", "--stats", "-"]].concat());
        expect_success(&output);
        let stats: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        let number = |field: &str| stats[field].as_u64().unwrap() as f64;
        let on = number("expected") / HZ / cpus;
        let ratio = on / (number("duration_ns") / 1e9);
        eprintln!("{ratio:.3} of {:.0} ms", number("duration_ns") / 1e6);
        assert!(ratio < 1.05, "{stats}");
        ratios.push(ratio);
        if ratio > 0.92 {
            return Ok(());
        }
    }
    panic!("events were on for these parts of the time: {ratios:?}");
}

/// `time_nanos` and `duration_nanos` of a pprof profile (fields 9 and 10 of profile.proto).
fn pprof_times(file: &Path) -> [Duration; 2] {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(file).unwrap();
    flate2::read::GzDecoder::new(file)
        .read_to_end(&mut bytes)
        .unwrap();
    let mut rest = bytes.as_slice();
    let mut times = [Duration::ZERO; 2];
    while !rest.is_empty() {
        let tag = varint(&mut rest);
        match tag & 7 {
            0 => {
                let value = Duration::from_nanos(varint(&mut rest));
                match tag >> 3 {
                    9 => times[0] = value,
                    10 => times[1] = value,
                    _ => {}
                }
            }
            2 => {
                let length = varint(&mut rest) as usize;
                rest = &rest[length..];
            }
            other => panic!("no field of a profile has the wire type {other}"),
        }
    }
    times
}

/// Takes a number of protocol buffers' off the front.
fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a whole number");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}
