//! Values of flags, and names that a mistyped one may have meant.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Parser as _;
use kprof::cli::Cli;
use kprof::cli::fuzz::{duration, time_words};
use kprof::kernel::cpus::parse_list;
use kprof::kernel::event::Event;
use kprof::kernel::fuzz::{distance, is_plain, near, unknown_event};

use super::{MIB, text};
use crate::Target;

pub(super) const CPU_LIST: Target = Target {
    name: "cpu_list",
    check: check_cpu_list,
    memory: (MIB, 40),
};

pub(super) const DURATION: Target = Target {
    name: "duration",
    check: check_duration,
    memory: (MIB, 20),
};

pub(super) const NEAREST: Target = Target {
    name: "nearest",
    check: check_nearest,
    memory: (MIB, 200),
};

pub(super) const EVENT: Target = Target {
    name: "event",
    check: check_event,
    memory: (MIB, 200),
};

pub(super) const ARGS: Target = Target {
    name: "args",
    check: check_args,
    memory: (4 * MIB, 1_000),
};

fn check_cpu_list(data: &[u8]) {
    let list = text(data);
    let expected = list_by_the_book(&list);
    match parse_list(&list) {
        Ok(cpus) => {
            assert_eq!(Some(&cpus), expected.as_ref());
            let again: Vec<String> = cpus.iter().map(u32::to_string).collect();
            assert_eq!(parse_list(&again.join(",")).expect("a list"), cpus);
        }
        Err(error) => {
            assert_eq!(expected, None);
            assert!(!error.to_string().is_empty());
        }
    }
}

fn list_by_the_book(list: &str) -> Option<Vec<u32>> {
    let mut cpus = BTreeSet::new();
    let number = |digits: &str| -> Option<u32> {
        let digits = digits.trim();
        let plain = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
        digits.parse().ok().filter(|&n| plain && n < 8192)
    };
    let mut whole = false;
    for part in list.split(',') {
        let part = part.trim();
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if first > last {
            return None;
        }
        // Once is enough, or long lists take long.
        if !(whole && (first, last) == (0, 8191)) {
            cpus.extend(first..=last);
        }
        whole |= (first, last) == (0, 8191);
    }
    Some(cpus.into_iter().collect())
}

fn check_duration(data: &[u8]) {
    let words = text(data);
    let Ok(time) = duration(&words) else {
        return;
    };
    assert!(time <= Duration::from_secs(366 * 86_400));
    assert!(time.subsec_nanos().is_multiple_of(1_000));
    assert!(!time_words(time).is_empty());
    // Written in microseconds it is the same time, but for what a float can't hold.
    let again = duration(&format!("{}us", time.as_micros())).expect("a time");
    assert!(
        again.abs_diff(time) <= Duration::from_micros(1),
        "{time:?} {again:?}"
    );
    if time.is_zero() {
        let zero = |c: char| !c.is_ascii_digit() || c == '0';
        assert!(words.chars().all(zero), "{words} is taken for no end");
    }
}

fn check_nearest(data: &[u8]) {
    let words = text(data);
    let words: Vec<&str> = words
        .split('\n')
        .take(12)
        .map(|word| &word[..word.floor_char_boundary(100)])
        .collect();
    let (name, candidates) = (words[0], &words[1..]);
    let found = near(name, candidates);
    assert!(found.len() <= 3 && found.iter().all(|word| candidates.contains(word)));
    for candidate in candidates {
        let (a, b) = (name.chars().count(), candidate.chars().count());
        let n = distance(name, candidate);
        assert_eq!(n, distance(candidate, name));
        assert!(a.abs_diff(b) <= n && n <= a.max(b));
        assert_eq!(n == 0, name == *candidate);
    }
    if candidates.contains(&name) {
        assert_eq!(found[0], name);
    }
}

fn check_event(data: &[u8]) {
    let words = text(data);
    let name = &words[..words.floor_char_boundary(300)];
    if is_plain(name) {
        // It becomes one part of a path and leads nowhere else.
        let path = std::path::Path::new(name);
        let mut parts = path.components();
        assert!(matches!(parts.next(), Some(std::path::Component::Normal(part)) if part == name));
        assert_eq!(parts.next(), None);
        assert!(!name.contains(['/', '.', '\0']));
    }
    let said = unknown_event(name);
    assert!(said.contains(&format!("\"{name}\"")));
    // Names of tracepoints are looked up in the file system, which is not to be tried for each.
    if let Some((system, point)) = name.split_once(':')
        && is_plain(system)
        && is_plain(point)
    {
        return;
    }
    match Event::parse(name) {
        Ok(event) => assert!(!event.is_tracepoint() && !event.name.contains(':')),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The words of a command line, each ended by a NUL or a line end.
fn check_args(data: &[u8]) {
    let words = text(data);
    let words = words.split(['\0', '\n']).take(40).map(str::to_owned);
    match Cli::try_parse_from(std::iter::once("kprof".to_owned()).chain(words)) {
        Ok(cli) => {
            let longest = Duration::from_secs(366 * 86_400);
            assert!(cli.record.duration <= longest);
            assert!(cli.record.interval.is_none_or(|time| time <= longest));
        }
        Err(error) => assert!(!error.render().to_string().is_empty()),
    }
}
