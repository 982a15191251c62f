//! Thread-name patterns: the automaton beside a plain matcher.

use kprof::kernel::comm::{MAX_NAME, Patterns, without_work_queue};

use super::{MIB, split, text};
use crate::Target;

/// Patterns, one a line; a NUL; names, one a line.
pub(super) const COMM: Target = Target {
    name: "comm",
    check,
    memory: (MIB, 400),
};

fn check(data: &[u8]) {
    let (patterns, names) = split(data);
    let (patterns, names) = (text(patterns), text(names));
    let patterns: Vec<String> = patterns.split('\n').map(str::to_owned).collect();
    // What the kernel may hold: at most so many bytes.
    let names: Vec<&str> = names
        .split('\n')
        .take(64)
        .map(|name| &name[..name.floor_char_boundary(MAX_NAME)])
        .collect();
    match Patterns::parse(&patterns) {
        Ok(automaton) => {
            assert_eq!(automaton.texts(), patterns);
            for name in names {
                let name = name.split('\0').next().unwrap_or_default();
                assert_eq!(automaton.matches(name), meant(&patterns, name), "{name:?}");
            }
        }
        Err(error) if patterns.len() == 1 => {
            let pattern = &patterns[0];
            // Refused as one that can never match, so none does.
            let error = error.to_string();
            let kworker = without_work_queue(pattern).is_some();
            assert!(
                pattern.is_empty() || error.contains("never match"),
                "{error}"
            );
            for name in names {
                assert!(
                    kworker || pattern.is_empty() || !meant(&patterns, name),
                    "{name:?}"
                );
            }
        }
        Err(_) => {
            // Too many, or one of them can't be alone.
            let alone = |p: &String| Patterns::parse(std::slice::from_ref(p)).is_ok();
            assert!(
                patterns.len() > 8 || !patterns.iter().all(alone),
                "few and good ones refused"
            );
        }
    }
}

fn meant(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| {
        let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
        if pattern.iter().any(|c| b"*?".contains(c)) {
            return glob(pattern, name);
        }
        name.strip_prefix(pattern)
            .is_some_and(|rest| rest.is_empty() || b"/:.".contains(&rest[0]))
    })
}

/// By the book; names are short.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    // Whether the pattern up to each place of it matches the name so far.
    let mut state = vec![false; pattern.len() + 1];
    state[0] = true;
    let stars = |state: &mut Vec<bool>| {
        for at in 0..pattern.len() {
            if state[at] && pattern[at] == b'*' {
                state[at + 1] = true;
            }
        }
    };
    stars(&mut state);
    for &byte in name {
        let mut next = vec![false; pattern.len() + 1];
        for at in 0..pattern.len() {
            match pattern[at] {
                b'*' => next[at] |= state[at],
                b'?' => next[at + 1] |= state[at],
                c => next[at + 1] |= state[at] && c == byte,
            }
        }
        stars(&mut next);
        state = next;
    }
    state[pattern.len()]
}
