//! What this machine allows, found by trying: the checks of `kprof doctor`.
//!
//! [`examine`] tries everything that kprof makes use of, leaves nothing behind, and says of each what it
//! found; what is lacking is worded by [`super::refusal`].

pub(super) mod bpf;
pub(super) mod perf;
pub(super) mod system;

use super::memlock;
use super::refusal::{Lack, Situation};

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// As it should be.
    Ok,
    /// kprof records, but lacks something.
    Limited,
    /// This process may not look.
    Unknown,
    /// kprof can't record.
    Missing,
}

impl Status {
    /// The word shown.
    pub const fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Limited => "limited",
            Status::Unknown => "unknown",
            Status::Missing => "missing",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, at most 25 characters.
    pub name: &'static str,
    /// How it stands.
    pub status: Status,
    /// What was found, in a few words.
    pub found: String,
    /// What is lacking, what it costs and what mends it; always there unless the status is ok.
    pub lack: Option<Lack>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Check {
        Check {
            name,
            status: Status::Ok,
            found: found.into(),
            lack: None,
        }
    }

    fn lacking(name: &'static str, status: Status, found: impl Into<String>, lack: Lack) -> Check {
        Check {
            name,
            status,
            found: found.into(),
            lack: Some(lack),
        }
    }
}

/// Looks at everything. Takes some 10 ms.
pub fn examine() -> Vec<Check> {
    // As a capture does.
    memlock::raise();
    let now = Situation::now();
    let mut checks = vec![system::kernel(), system::btf()];
    checks.extend(perf::checks(&now));
    checks.extend(bpf::checks(&now));
    checks.extend(system::checks(&now));
    checks
}

/// Whether kprof can record: nothing that it can't do without is missing.
pub fn can_record(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.status != Status::Missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_whole_and_named_once() {
        let checks = examine();
        let mut names: Vec<_> = checks.iter().map(|check| check.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), checks.len());
        for check in &checks {
            assert!(check.name.len() <= 25, "{}", check.name);
            assert!(!check.found.is_empty(), "{}", check.name);
            assert_eq!(
                check.lack.is_none(),
                check.status == Status::Ok,
                "{}",
                check.name
            );
        }
    }
}
