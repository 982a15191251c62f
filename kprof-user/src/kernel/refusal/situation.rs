//! What can be seen of this process's rights, to tell the causes of a refusal apart.

use crate::kernel::caps::{self, Capabilities, Capability};
use crate::kernel::{memlock, stack_depth, sysctl, targets};

/// This process's rights, and what limits them.
#[derive(Clone, Debug)]
pub struct Situation {
    /// Capabilities; `None` where `/proc` doesn't say.
    pub caps: Option<Capabilities>,
    /// This process is in a user namespace of its own: its capabilities count there, and neither BPF nor perf events
    /// nor symbols ask there.
    pub user_namespace: bool,
    /// Kernel lockdown: `none`, `integrity` or `confidentiality`; `None` where it isn't built in.
    pub lockdown: Option<String>,
    /// `kernel.kptr_restrict`.
    pub kptr_restrict: Option<i64>,
    /// `kernel.perf_event_paranoid`.
    pub paranoid: Option<i64>,
    /// `kernel.perf_event_max_sample_rate`.
    pub max_sample_rate: Option<i64>,
    /// `kernel.perf_event_max_stack`.
    pub max_stack: Option<i64>,
    /// The limit of locked memory is finite (it holds for BPF maps before Linux 5.11).
    pub locked_memory_limited: bool,
    /// Path of this program, for commands.
    pub program: String,
}

impl Situation {
    /// Looks.
    pub fn now() -> Situation {
        let program = std::env::current_exe().ok();
        let lockdown = std::fs::read_to_string("/sys/kernel/security/lockdown").ok();
        Situation {
            caps: caps::current().ok(),
            user_namespace: targets::in_initial_user_namespace() == Some(false),
            lockdown: lockdown.as_deref().and_then(chosen),
            kptr_restrict: sysctl::read("kernel.kptr_restrict"),
            paranoid: sysctl::read("kernel.perf_event_paranoid"),
            max_sample_rate: sysctl::read("kernel.perf_event_max_sample_rate"),
            max_stack: sysctl::read(stack_depth::LIMIT),
            locked_memory_limited: memlock::is_limited(),
            program: program
                .and_then(|path| path.into_os_string().into_string().ok())
                .map_or_else(|| "$(command -v kprof)".to_owned(), |path| quoted(&path)),
        }
    }

    /// Which of the wanted capabilities are not granted; none where that isn't known.
    pub fn lacking(&self, wanted: &[Capability]) -> Vec<Capability> {
        let lacks = |c: &Capability| {
            self.user_namespace || self.caps.is_some_and(|caps| !caps.effective.grants(*c))
        };
        wanted.iter().copied().filter(lacks).collect()
    }

    /// Which of the wanted capabilities this process could not get by any means.
    pub fn out_of_reach(&self, wanted: &[Capability]) -> Vec<Capability> {
        let lacks = |c: &Capability| self.caps.is_some_and(|caps| !caps.bounding.grants(*c));
        wanted.iter().copied().filter(lacks).collect()
    }

    /// Whether system calls are filtered.
    pub fn seccomp(&self) -> bool {
        self.caps.is_some_and(|caps| caps.seccomp)
    }
}

/// The word in brackets of `none [integrity] confidentiality`.
pub(in crate::kernel) fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

/// A path as a shell takes it.
pub(in crate::kernel) fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    if path.chars().all(plain) {
        return path.to_owned();
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lockdown_in_force_stands_in_brackets() {
        assert_eq!(
            chosen("none [integrity] confidentiality\n").unwrap(),
            "integrity"
        );
        assert_eq!(chosen("none"), None);
    }

    #[test]
    fn paths_can_be_pasted_into_a_shell() {
        assert_eq!(quoted("/usr/bin/kprof"), "/usr/bin/kprof");
        assert_eq!(quoted("/a b/it's"), r"'/a b/it'\''s'");
    }
}
