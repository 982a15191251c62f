//! Perf events and what limits them.

use kprof_ebpf::MAX_FRAMES;

use super::{Check, Status};
use crate::kernel::caps::Capability;
use crate::kernel::event;
use crate::kernel::perf_syscall::{self, Attr, TYPE_SOFTWARE};
use crate::kernel::refusal::{self, Action, Situation};
use crate::kernel::sampling::MAX_SAMPLE_RATE;
use crate::kernel::{cpus, stack_depth, sysctl};

/// Below this many samples a second the limit is worth a word: it is what `-F 999` needs.
const USEFUL_RATE: i64 = 999;

pub(super) fn checks(now: &Situation) -> Vec<Check> {
    let pmu = event::has_pmu();
    vec![
        events(now),
        hardware(pmu, now),
        nmi(pmu, now),
        paranoid(pmu.is_none(), now),
        sample_rate(),
        max_stack(),
    ]
}

fn events(now: &Situation) -> Check {
    const NAME: &str = "perf events";
    let cpus = match cpus::online() {
        Ok(cpus) => cpus,
        Err(_) => return Check::lacking(NAME, Status::Missing, "no CPUs known", refusal::no_sys()),
    };
    let attr = Attr {
        type_: TYPE_SOFTWARE,
        sample: 1 << 40,
        flags: perf_syscall::FLAG_DISABLED,
        ..Attr::default()
    };
    for &cpu in &cpus {
        if let Err(error) = perf_syscall::open(&attr, cpu) {
            let lack = refusal::lack(&error, Action::OpenPerfEvent, now);
            let denied = matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES));
            let found = if denied {
                "not allowed".to_owned()
            } else {
                format!("refused on CPU {cpu}")
            };
            return Check::lacking(NAME, Status::Missing, found, lack);
        }
    }
    let count = cpus.len();
    Check::ok(
        NAME,
        format!(
            "cpu-clock opens on {}",
            if count == 1 {
                "1 CPU".to_owned()
            } else {
                format!("all {count} CPUs")
            }
        ),
    )
}

/// Why this process may not look.
fn unknown(name: &'static str, now: &Situation) -> Check {
    let refused = std::io::Error::from_raw_os_error(libc::EACCES);
    let lack = refusal::lack(&refused, Action::OpenPerfEvent, now);
    Check::lacking(name, Status::Unknown, "this process may not look", lack)
}

fn hardware(pmu: Option<bool>, now: &Situation) -> Check {
    const NAME: &str = "hardware counters (PMU)";
    match pmu {
        Some(true) => Check::ok(NAME, "cycles takes samples"),
        Some(false) => Check::lacking(
            NAME,
            Status::Limited,
            "none: cpu-clock is used",
            refusal::no_pmu(),
        ),
        None => unknown(NAME, now),
    }
}

/// Whether samples come by an interrupt that can't be held off.
fn nmi(pmu: Option<bool>, now: &Situation) -> Check {
    const NAME: &str = "NMI sampling";
    match pmu {
        Some(true) if cfg!(target_arch = "aarch64") && !pseudo_nmi() => {
            Check::lacking(NAME, Status::Limited, "no pseudo-NMI", refusal::no_nmi())
        }
        Some(true) => Check::ok(NAME, "interrupts-off code is seen"),
        Some(false) => Check::lacking(
            NAME,
            Status::Limited,
            "none without a PMU",
            refusal::no_pmu(),
        ),
        None => unknown(NAME, now),
    }
}

/// arm64 has NMIs only where the boot loader asked for them.
fn pseudo_nmi() -> bool {
    has_pseudo_nmi(&std::fs::read_to_string("/proc/cmdline").unwrap_or_default())
}

pub(in crate::kernel) fn has_pseudo_nmi(cmdline: &str) -> bool {
    let value = cmdline
        .split_whitespace()
        .find_map(|word| word.strip_prefix("irqchip.gicv3_pseudo_nmi="));
    matches!(value, Some("1" | "y" | "Y" | "on"))
}

/// `refused`: the kernel said that this process may not open events.
fn paranoid(refused: bool, now: &Situation) -> Check {
    const NAME: &str = "perf_event_paranoid";
    let value = sysctl::read("kernel.perf_event_paranoid");
    let shown = value.map_or_else(|| "not shown".to_owned(), |n| n.to_string());
    let lacks_perfmon = !now.lacking(&[Capability::Perfmon]).is_empty();
    if let (Some(level @ 3..), true, false) = (value, refused, lacks_perfmon) {
        let found = format!("{shown}: CAP_PERFMON is not enough");
        return Check::lacking(NAME, Status::Limited, found, refusal::paranoid(level));
    }
    if value.is_some_and(|n| n <= 0) {
        return Check::ok(NAME, format!("{shown}: open to all"));
    }
    if !lacks_perfmon {
        return Check::ok(NAME, format!("{shown}: CAP_PERFMON is above it"));
    }
    let lack = refusal::permission(now, &[Capability::Perfmon]);
    let found = format!("{shown}: takes CAP_PERFMON");
    Check::lacking(NAME, Status::Limited, found, lack)
}

fn sample_rate() -> Check {
    const NAME: &str = "sampling rate limit";
    match sysctl::read(MAX_SAMPLE_RATE) {
        Some(limit) if limit < USEFUL_RATE => Check::lacking(
            NAME,
            Status::Limited,
            format!("{limit} a second"),
            refusal::low_sample_rate(limit),
        ),
        Some(limit) => Check::ok(NAME, format!("{limit} a second")),
        None => Check::ok(NAME, "not shown"),
    }
}

fn max_stack() -> Check {
    stack_depth_check(sysctl::read(stack_depth::LIMIT))
}

fn stack_depth_check(limit: Option<i64>) -> Check {
    const NAME: &str = "stack depth limit";
    let lacking =
        |status, limit, lack| Check::lacking(NAME, status, format!("{limit} frames"), lack);
    match limit {
        Some(limit) if limit < 1 => lacking(Status::Missing, limit, refusal::no_stacks(limit)),
        Some(limit) if limit < MAX_FRAMES as i64 => {
            lacking(Status::Limited, limit, refusal::short_stacks(limit))
        }
        Some(limit) => Check::ok(NAME, format!("{limit} frames, kprof keeps {MAX_FRAMES}")),
        None => Check::ok(NAME, "not shown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_stack_limit_is_a_limit_and_none_at_all_a_lack() {
        assert_eq!(stack_depth_check(Some(127)).status, Status::Ok);
        let low = stack_depth_check(Some(50));
        assert_eq!(low.status, Status::Limited);
        let lack = low.lack.unwrap();
        assert!(
            lack.cost
                .starts_with("stacks deeper than 50 frames are cut"),
            "{}",
            lack.cost
        );
        assert!(
            lack.mend.contains("kernel.perf_event_max_stack=127"),
            "{}",
            lack.mend
        );
        assert_eq!(stack_depth_check(Some(0)).status, Status::Missing);
    }
}
