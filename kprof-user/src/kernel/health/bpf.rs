//! BPF, tried with tiny programs and maps.

use std::io;
use std::os::fd::OwnedFd;

use kprof_ebpf::MAX_FRAMES;

use super::{Check, Status};
use crate::kernel::bpf_syscall::{self, Insn, MapAttr, PROG_PERF_EVENT, PROG_TRACEPOINT, RETURN_0};
use crate::kernel::perf_syscall::{self, Attr, TYPE_SOFTWARE};
use crate::kernel::refusal::{self, Action, Situation};
use crate::kernel::{cpus, memlock, stack_depth, sysctl};

/// Helpers that each sample takes (`include/uapi/linux/bpf.h`).
const NEEDED: [(i32, &str); 6] = [
    (1, "map_lookup_elem"),
    (2, "map_update_elem"),
    (8, "get_smp_processor_id"),
    (14, "get_current_pid_tgid"),
    (16, "get_current_comm"),
    (27, "get_stackid"),
];
/// Helper that samples take whose bucket is taken.
const SPILL: (i32, &str) = (67, "get_stack");
/// What the maps of a capture with the default settings take together on a small machine, bytes.
const LOCKED: u32 = 12 << 20;
/// Helper of `--cgroup`.
const CGROUP: (i32, &str) = (37, "current_task_under_cgroup");
/// Helpers that find the current task; one is enough.
const TASK: [(i32, &str); 2] = [(158, "get_current_task_btf"), (35, "get_current_task")];

pub(super) fn checks(now: &Situation) -> Vec<Check> {
    let program = bpf_syscall::try_program(PROG_PERF_EVENT, &RETURN_0).map_err(|(error, _)| error);
    let mut checks = vec![programs(&program, now)];
    checks.push(maps(now));
    checks.push(batches(now));
    if let Ok(program) = &program {
        checks.push(helpers());
        checks.push(attach(program, now));
    }
    checks.extend([run_time(now), jit(), jit_symbols()]);
    checks
}

/// Whether an error speaks of this process's rights rather than of the kernel.
fn is_denied(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES))
}

fn programs(program: &io::Result<OwnedFd>, now: &Situation) -> Check {
    const NAME: &str = "BPF programs";
    if let Err(error) = program {
        let lack = refusal::lack(error, Action::LoadProgram, now);
        let found = if is_denied(error) {
            "not allowed"
        } else {
            "refused"
        };
        return Check::lacking(NAME, Status::Missing, found, lack);
    }
    match bpf_syscall::try_program(PROG_TRACEPOINT, &RETURN_0) {
        Ok(_) => Check::ok(NAME, "perf_event and tracepoint load"),
        Err((error, _)) => {
            let mut lack = refusal::lack(&error, Action::LoadProgram, now);
            lack.cost = "tracepoints can't be used as events".to_owned();
            Check::lacking(
                NAME,
                Status::Limited,
                "perf_event loads, tracepoint does not",
                lack,
            )
        }
    }
}

/// Tries each type of map that the programs use.
fn maps(now: &Situation) -> Check {
    const NAME: &str = "BPF maps";
    let max_frames = stack_depth::max_frames().unwrap_or(MAX_FRAMES as u32);
    let kinds = [
        ("hash", 1, 8),
        ("array", 2, 8),
        ("percpu_array", 6, 8),
        ("stack_trace", 7, max_frames * 8),
        ("cgroup_array", 8, 4),
    ];
    for (kind, map_type, value_size) in kinds {
        let attr = MapAttr {
            map_type,
            key_size: 4,
            value_size,
            max_entries: 1,
        };
        let Err(error) = bpf_syscall::create_map(&attr) else {
            continue;
        };
        let mut lack = refusal::lack(&error, Action::CreateMap, now);
        let mut status = Status::Missing;
        if kind == "cgroup_array" && !is_denied(&error) {
            (status, lack) = (Status::Limited, no_cgroup_filter(&[CGROUP.1]));
        }
        let found = if is_denied(&error) {
            "not allowed".to_owned()
        } else {
            format!("no {kind}")
        };
        return Check::lacking(NAME, status, found, lack);
    }
    if memlock::counts() {
        let attr = MapAttr {
            map_type: 2,
            key_size: 4,
            value_size: 4096,
            max_entries: LOCKED / 4096,
        };
        if let Err(error) = bpf_syscall::create_map(&attr) {
            let lack = refusal::lack(&error, Action::CreateMap, now);
            return Check::lacking(NAME, Status::Missing, "none as large as needed", lack);
        }
    }
    Check::ok(NAME, kinds.map(|(kind, ..)| kind).join(", "))
}

fn no_cgroup_filter(names: &[&str]) -> refusal::Lack {
    refusal::no_helpers(names, "--cgroup can't be used")
}

fn batches(now: &Situation) -> Check {
    const NAME: &str = "BPF batch operations";
    let attr = MapAttr {
        map_type: 1,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
    };
    let map = match bpf_syscall::create_map(&attr) {
        Ok(map) => map,
        Err(error) => {
            let lack = refusal::lack(&error, Action::CreateMap, now);
            return Check::lacking(NAME, Status::Unknown, "no map to try them on", lack);
        }
    };
    match bpf_syscall::take_batch(&map) {
        Ok(_) => Check::ok(NAME, "maps are emptied in one call"),
        Err(_) => Check::lacking(NAME, Status::Missing, "none", refusal::no_batches()),
    }
}

/// Whether the verifier knows the helper for programs of this type. The call has no arguments, so it is refused in
/// any case; the verifier's words say why.
fn has_helper(helper: i32) -> bool {
    let [zero, exit] = RETURN_0;
    match bpf_syscall::try_program(PROG_PERF_EVENT, &[Insn::call(helper), zero, exit]) {
        Ok(_) => true,
        Err((_, log)) => knows_helper(&log),
    }
}

/// Reads the verifier's words (`check_helper_call`, kernel/bpf/verifier.c, from 5.10 on).
pub(in crate::kernel) fn knows_helper(log: &str) -> bool {
    ![
        "invalid func ",
        "unknown func ",
        "program of this type cannot use helper ",
    ]
    .iter()
    .any(|words| log.contains(words))
}

fn helpers() -> Check {
    const NAME: &str = "BPF helpers";
    let absent = |helpers: &[(i32, &'static str)]| -> Vec<&'static str> {
        let absent = helpers.iter().filter(|(helper, _)| !has_helper(*helper));
        absent.map(|(_, name)| *name).collect()
    };
    let mut needed = absent(&NEEDED);
    needed.extend(absent(&[SPILL]));
    if !needed.is_empty() {
        let lack = refusal::no_helpers(&needed, "kprof can't record");
        return Check::lacking(
            NAME,
            Status::Missing,
            format!("no {}", needed.join(", ")),
            lack,
        );
    }
    let task = absent(&TASK);
    if task.len() == TASK.len() {
        let lack = refusal::no_helpers(&task, "--kthreads can't be used");
        return Check::lacking(NAME, Status::Limited, "the task can't be looked at", lack);
    }
    let cgroup = absent(&[CGROUP]);
    if !cgroup.is_empty() {
        return Check::lacking(
            NAME,
            Status::Limited,
            "no cgroup filter",
            no_cgroup_filter(&cgroup),
        );
    }
    let more = if task.is_empty() {
        ""
    } else {
        ", tasks read by probe_read"
    };
    Check::ok(NAME, format!("all there{more}"))
}

/// Attaches the tiny program to a timer that never fires.
fn attach(program: &OwnedFd, now: &Situation) -> Check {
    const NAME: &str = "BPF on perf events";
    let attr = Attr {
        type_: TYPE_SOFTWARE,
        sample: 1 << 40,
        flags: perf_syscall::FLAG_DISABLED,
        ..Attr::default()
    };
    let cpu = cpus::online().ok().and_then(|cpus| cpus.first().copied());
    let event = match perf_syscall::open(&attr, cpu.unwrap_or(0)) {
        Ok(event) => event,
        Err(error) => {
            let lack = refusal::lack(&error, Action::OpenPerfEvent, now);
            return Check::lacking(NAME, Status::Unknown, "no event to try it on", lack);
        }
    };
    match bpf_syscall::attach(&event, program) {
        Ok(()) => Check::ok(NAME, "attaches"),
        Err(error) => {
            let lack = refusal::lack(&error, Action::AttachProgram, now);
            Check::lacking(NAME, Status::Missing, "refused", lack)
        }
    }
}

fn run_time(now: &Situation) -> Check {
    const NAME: &str = "BPF run-time statistics";
    match bpf_syscall::enable_run_time_stats() {
        Ok(_) => Check::ok(NAME, "kprof's own cost is measured"),
        Err(_) => {
            let wanted = [crate::kernel::caps::Capability::SysAdmin];
            Check::lacking(
                NAME,
                Status::Limited,
                "not allowed",
                refusal::permission(now, &wanted),
            )
        }
    }
}

fn jit() -> Check {
    const NAME: &str = "BPF JIT";
    match sysctl::read("net.core.bpf_jit_enable") {
        Some(0) => Check::lacking(NAME, Status::Limited, "off", refusal::no_jit()),
        Some(_) => Check::ok(NAME, "on"),
        // Kernels with CONFIG_BPF_JIT_ALWAYS_ON have the setting too; a network namespace hides it.
        None => Check::ok(NAME, "not shown in this network namespace"),
    }
}

/// `bpf_jit_kallsyms_enabled` of include/linux/filter.h: hardening hides the symbols as well.
fn jit_symbols() -> Check {
    const NAME: &str = "names of BPF programs";
    let kallsyms = sysctl::read("net.core.bpf_jit_kallsyms");
    let harden = sysctl::read("net.core.bpf_jit_harden");
    match (kallsyms, harden) {
        (Some(0), _) => Check::lacking(
            NAME,
            Status::Limited,
            "hidden",
            refusal::no_jit_symbols(kallsyms),
        ),
        (_, Some(1..)) => {
            let found = "hidden by bpf_jit_harden";
            Check::lacking(
                NAME,
                Status::Limited,
                found,
                refusal::no_jit_symbols(kallsyms),
            )
        }
        (None, _) => Check::ok(NAME, "not shown to this process"),
        _ => Check::ok(NAME, "bpf_jit_kallsyms=1, bpf_jit_harden=0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifiers_words_tell_absent_helpers() {
        for log in [
            "0: (85) call pc-1\ninvalid func unknown#999\n",
            "0: (85) call bpf_get_stackid#27\nunknown func bpf_get_stackid#27\n",
            "program of this type cannot use helper bpf_tail_call#12",
        ] {
            assert!(!knows_helper(log), "{log}");
        }
        assert!(knows_helper(
            "0: (85) call bpf_get_stackid#27\nR2 !read_ok\n"
        ));
    }
}
