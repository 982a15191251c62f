//! The words for what this process is not allowed to do: the cause, the cost and the mend.

use std::io;

use super::lacks::{CANT_RECORD, lack};
use super::{Lack, Situation};
use crate::kernel::caps::Capability;

/// The capabilities that kprof makes use of without being root.
pub const WANTED: [Capability; 3] = [Capability::Bpf, Capability::Perfmon, Capability::Syslog];

/// Capabilities that are wanted are not there.
pub fn permission(now: &Situation, wanted: &[Capability]) -> Lack {
    // Recording takes both, so both are named at once.
    let both = [Capability::Bpf, Capability::Perfmon];
    let wanted = if wanted.iter().any(|c| both.contains(c)) {
        &both
    } else {
        wanted
    };
    let names: Vec<&str> = now.lacking(wanted).iter().map(|c| c.name()).collect();
    let cost = match wanted {
        [Capability::Syslog] => "kernel functions are shown as addresses, without names",
        [Capability::SysAdmin] => "the BPF program's own cost isn't measured",
        _ => CANT_RECORD,
    };
    let names = names.join(" and ");
    let cause = if now.user_namespace {
        format!(
            "this process is in a user namespace, as in a rootless container, where {names} can't be had"
        )
    } else {
        format!("this process lacks {names}")
    };
    lack(cause, cost, mend_permission(now, wanted))
}

pub(super) fn mend_permission(now: &Situation, wanted: &[Capability]) -> String {
    if now.user_namespace {
        return "Run kprof on the host: `sudo kprof …`; or start the container as root and without a user namespace: \
                `sudo docker run --userns=host --cap-add BPF --cap-add PERFMON --cap-add SYSLOG …`"
            .to_owned();
    }
    if !now.out_of_reach(wanted).is_empty() {
        let mut add: Vec<Capability> = WANTED.to_vec();
        add.extend(wanted.iter().filter(|c| !WANTED.contains(c)));
        let flags: Vec<String> = add
            .iter()
            .map(|c| format!("--cap-add {}", c.name().trim_start_matches("CAP_")))
            .collect();
        return format!(
            "The container or service that runs kprof withholds it, and sudo can't give it. Start it with: \
             `docker run {} …` (Kubernetes: securityContext.capabilities.add; systemd: CapabilityBoundingSet=)",
            flags.join(" ")
        );
    }
    if wanted == [Capability::SysAdmin] {
        return "Run: `sudo kprof …`".to_owned();
    }
    format!(
        "Run: `sudo kprof …` or, once, to let every user of this machine record: `sudo setcap \
         cap_bpf,cap_perfmon,cap_syslog+ep {}`",
        now.program
    )
}

/// A system call filter stands in the way.
pub fn seccomp() -> Lack {
    lack(
        "a system call filter (seccomp) forbids it, as containers and systemd services do",
        CANT_RECORD,
        "Start the container with: `docker run --security-opt seccomp=unconfined …` (Kubernetes: \
         securityContext.seccompProfile.type: Unconfined; systemd: SystemCallFilter=)",
    )
}

/// Lockdown at the level that forbids reading the kernel.
pub fn lockdown() -> Lack {
    lack(
        "the kernel is locked down for confidentiality, which forbids perf and BPF to everyone",
        CANT_RECORD,
        "It can't be lifted while running: boot with lockdown=integrity on the kernel command line, or without \
         Secure Boot",
    )
}

/// A limit of locked memory, which counts BPF maps before Linux 5.11.
pub fn locked_memory() -> Lack {
    lack(
        "the limit of locked memory is too low for BPF maps on a kernel before 5.11",
        CANT_RECORD,
        "Run: `sudo sh -c 'ulimit -l unlimited; kprof …'`",
    )
}

/// Refused though all that is known to be needed is there.
pub(super) fn security_module(error: &io::Error) -> Lack {
    lack(
        format!(
            "the kernel refused it though the capabilities are there ({error}): a security module may forbid it"
        ),
        CANT_RECORD,
        "See what it said: `sudo dmesg | tail`, and with SELinux: `sudo ausearch -m avc -ts recent`",
    )
}

/// Debian's kernels, from 5.10 to 7.3, take more than `CAP_PERFMON` where `kernel.perf_event_paranoid` is over 2, as it
/// is there by default: its own patch asks for `CAP_SYS_ADMIN` (`perf_event_open`, kernel/events/core.c).
pub fn paranoid(level: i64) -> Lack {
    lack(
        format!(
            "kernel.perf_event_paranoid={level}: on this kernel it leaves perf events to CAP_SYS_ADMIN, and \
             CAP_PERFMON is not enough"
        ),
        CANT_RECORD,
        "Run: `sudo kprof …` or, so that CAP_PERFMON is enough: `sudo sysctl -w kernel.perf_event_paranoid=2`",
    )
}

/// `/proc/kallsyms` shows no addresses to this process.
pub fn hidden_symbols(now: &Situation) -> Lack {
    const COST: &str = "kernel functions are shown as addresses, without names";
    if now.kptr_restrict.is_some_and(|n| n >= 2) {
        const CAUSE: &str =
            "kernel.kptr_restrict=2 hides the kernel's symbol addresses from everyone";
        const SYSCTL: &str = "`sudo sysctl -w kernel.kptr_restrict=1`";
        if now.lacking(&[Capability::Syslog]).is_empty() {
            return lack(CAUSE, COST, format!("Run: {SYSCTL}"));
        }
        // With 1 the addresses are for those who have it.
        let other = permission(now, &[Capability::Syslog]);
        return lack(
            format!("{CAUSE}, and {}", other.cause),
            COST,
            format!("First: {SYSCTL}. {}", other.mend),
        );
    }
    if now.lacking(&[Capability::Syslog]).is_empty() {
        return lack(
            "/proc/kallsyms shows no symbol addresses",
            COST,
            "It takes a kernel built with CONFIG_KALLSYMS=y, and a /proc that a container doesn't mask",
        );
    }
    permission(now, &[Capability::Syslog])
}
