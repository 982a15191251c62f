//! The kernel's own facts, this process's rights, and where it runs.

use std::fs::File;
use std::io::Read as _;

use super::{Check, Status};
use crate::kernel::caps::Capability;
use crate::kernel::pid_ns::{self, Ids, Numbering};
use crate::kernel::refusal::{self, Situation};
use crate::kernel::{btf, cgroup, sysctl, tracefs};

pub(super) fn checks(now: &Situation) -> Vec<Check> {
    let mut checks = capabilities(now);
    checks.extend([
        unprivileged_bpf(now),
        symbols(now),
        lockdown(now),
        seccomp(now),
        tracepoints(),
        cgroup2(),
        pid_namespace(),
    ]);
    checks
}

pub(super) fn kernel() -> Check {
    let read = |name| sysctl::read_text(name).unwrap_or_else(|| "?".to_owned());
    Check::ok(
        "kernel",
        format!("{} {}", read("kernel.osrelease"), std::env::consts::ARCH),
    )
}

pub(super) fn btf() -> Check {
    const NAME: &str = "type information (BTF)";
    match btf::task_offsets() {
        Ok(_) => Check::ok(NAME, "task_struct is described"),
        Err(error) => {
            let found = if std::path::Path::new(btf::PATH).exists() {
                format!("unreadable: {}", error.root_cause())
            } else {
                "none".to_owned()
            };
            Check::lacking(NAME, Status::Limited, found, refusal::no_btf())
        }
    }
}

fn capabilities(now: &Situation) -> Vec<Check> {
    let check = |capability: Capability, without: Status, stand_in: &str| {
        let name = capability.name();
        let Some(caps) = now.caps else {
            return Check::ok(name, "not shown by /proc");
        };
        if now.user_namespace && without == Status::Missing {
            let lack = refusal::permission(now, &[capability]);
            return Check::lacking(name, without, "in a user namespace only", lack);
        }
        if caps.effective.has(capability) {
            return Check::ok(name, "there");
        }
        if without == Status::Ok || caps.effective.grants(capability) {
            return Check::ok(name, format!("not there, {stand_in}"));
        }
        Check::lacking(
            name,
            without,
            "not there",
            refusal::permission(now, &[capability]),
        )
    };
    use Capability::{Bpf, Perfmon, SysAdmin, SysResource, Syslog};
    let syslog = if addresses_are_shown() {
        Status::Ok
    } else {
        Status::Limited
    };
    const STAND_IN: &str = "CAP_SYS_ADMIN stands in for it";
    vec![
        check(Bpf, Status::Missing, STAND_IN),
        check(Perfmon, Status::Missing, STAND_IN),
        // Addresses can be shown without it, or hidden in spite of it (see `symbols`).
        check(Syslog, syslog, "not needed here"),
        check(SysAdmin, Status::Ok, "needed by little; see above"),
        check(SysResource, Status::Ok, "needed before Linux 5.11"),
    ]
}

fn unprivileged_bpf(now: &Situation) -> Check {
    const NAME: &str = "unprivileged_bpf_disabled";
    let value = sysctl::read("kernel.unprivileged_bpf_disabled");
    let shown = value.map_or_else(|| "not shown".to_owned(), |n| n.to_string());
    if now.lacking(&[Capability::Bpf]).is_empty() {
        return Check::ok(NAME, format!("{shown}: CAP_BPF is above it"));
    }
    let lack = refusal::permission(now, &[Capability::Bpf]);
    Check::lacking(
        NAME,
        Status::Limited,
        format!("{shown}: takes CAP_BPF"),
        lack,
    )
}

/// Whether `/proc/kallsyms` shows addresses to this process.
fn symbols(now: &Situation) -> Check {
    const NAME: &str = "kernel symbols";
    let setting = now
        .kptr_restrict
        .map_or_else(String::new, |n| format!(" (kptr_restrict={n})"));
    if addresses_are_shown() {
        return Check::ok(NAME, format!("addresses are shown{setting}"));
    }
    let lack = refusal::hidden_symbols(now);
    Check::lacking(
        NAME,
        Status::Limited,
        format!("addresses are hidden{setting}"),
        lack,
    )
}

fn addresses_are_shown() -> bool {
    let mut head = Vec::new();
    // Per-CPU symbols at small addresses come first; hidden ones are all zero.
    let read =
        File::open("/proc/kallsyms").and_then(|file| file.take(1 << 16).read_to_end(&mut head));
    read.is_ok() && has_address(&String::from_utf8_lossy(&head))
}

pub(in crate::kernel) fn has_address(kallsyms: &str) -> bool {
    kallsyms
        .lines()
        .filter_map(|line| u64::from_str_radix(line.split(' ').next()?, 16).ok())
        .any(|address| address != 0)
}

fn lockdown(now: &Situation) -> Check {
    const NAME: &str = "kernel lockdown";
    match now.lockdown.as_deref() {
        Some("confidentiality") => Check::lacking(
            NAME,
            Status::Missing,
            "confidentiality",
            refusal::lockdown(),
        ),
        Some(level) => Check::ok(NAME, level),
        None => Check::ok(NAME, "none"),
    }
}

/// A filter alone is no lack: the checks above have tried the calls.
fn seccomp(now: &Situation) -> Check {
    let found = if now.seccomp() {
        "on; what it forbids shows above"
    } else {
        "none"
    };
    Check::ok("system call filter", found)
}

fn tracepoints() -> Check {
    const NAME: &str = "tracepoints (tracefs)";
    match tracefs::find() {
        Ok(tracefs) if tracefs.is_mounted() => Check::ok(NAME, "mounted"),
        Ok(_) => Check::ok(NAME, "not mounted; kprof sees it privately"),
        Err(lack) => Check::lacking(NAME, Status::Limited, "not readable", lack),
    }
}

fn cgroup2() -> Check {
    const NAME: &str = "cgroup version 2";
    let mounts = cgroup::mounts().unwrap_or_default();
    match mounts.first() {
        Some(path) => Check::ok(NAME, path.display().to_string()),
        None => Check::lacking(NAME, Status::Limited, "not mounted", refusal::no_cgroup2()),
    }
}

fn pid_namespace() -> Check {
    const NAME: &str = "pid namespace";
    let limited = |found, lack| Check::lacking(NAME, Status::Limited, found, lack);
    match pid_ns::of_proc() {
        Numbering {
            ids: Ids::Unknown, ..
        } => limited(
            "/proc is of another, unknown one",
            refusal::unknown_pid_namespace(),
        ),
        Numbering { own: false, .. } => limited("/proc is of another one", refusal::foreign_proc()),
        Numbering {
            ids: Ids::Initial, ..
        } => Check::ok(NAME, "the machine's own"),
        Numbering {
            ids: Ids::Of(_), ..
        } => limited("a container's", refusal::pid_namespace()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_addresses_are_all_zero() {
        assert!(!has_address(
            "0000000000000000 A a\n0000000000000000 T _stext\n"
        ));
        assert!(has_address("0000000000000000 A a\n0000000000001000 A b\n"));
        assert!(!has_address(""));
    }
}
