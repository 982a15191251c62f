//! Signs in a kernel's messages that a guest is of no more use.

/// What each line is searched for, and what it means.
const SIGNS: [(&str, &str); 6] = [
    ("Kernel panic - not syncing", "the kernel panicked"),
    ("BUG: unable to handle", "the kernel has a fault"),
    ("Oops: ", "the kernel has a fault"),
    ("watchdog: BUG: soft lockup", "a CPU is in a soft lock-up"),
    ("detected stalls on CPUs", "RCU is stalled"),
    ("self-detected stall", "RCU is stalled"),
];

/// Whether a line of the console says that the guest is lost, and how.
pub(crate) fn lost(line: &str) -> Option<&'static str> {
    let found = SIGNS.iter().find(|(sign, _)| line.contains(sign));
    found.map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::lost;

    #[test]
    fn real_messages_are_told_from_others() {
        for (line, meaning) in [
            (
                "[    1.2] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
                "the kernel panicked",
            ),
            (
                "[   62.1] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
                "RCU is stalled",
            ),
            (
                "[   21.0] rcu: INFO: rcu_sched self-detected stall on CPU",
                "RCU is stalled",
            ),
            (
                "[  48.2] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [a:1]",
                "a CPU is in a soft lock-up",
            ),
            (
                "[    4.0] BUG: unable to handle page fault for address: ffff8880",
                "the kernel has a fault",
            ),
        ] {
            assert_eq!(lost(line), Some(meaning), "{line}");
        }
        for line in [
            "[    0.0] rcu: Hierarchical RCU implementation.",
            "[    0.5] rcu: RCU CPU stall warnings timeout set to 21",
            "[    0.1] Command line: console=ttyS0 panic=-1",
            "[    0.0] watchdog: Delayed init of the lockup detector",
        ] {
            assert_eq!(lost(line), None, "{line}");
        }
    }
}
