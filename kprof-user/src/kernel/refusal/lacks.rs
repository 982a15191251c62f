//! The words for each lack of the machine's: its cause, its cost and its mend.

use std::io;

use kprof_ebpf::MAX_FRAMES;

use super::rights::mend_permission;
use super::{Lack, Situation};
use crate::kernel::btf;
use crate::kernel::caps::Capability;

pub(super) const CANT_RECORD: &str = "kprof can't record";

pub(super) fn lack(
    cause: impl Into<String>,
    cost: impl Into<String>,
    mend: impl Into<String>,
) -> Lack {
    Lack {
        cause: cause.into(),
        cost: cost.into(),
        mend: mend.into(),
    }
}

/// No PMU.
pub fn no_pmu() -> Lack {
    lack(
        "this machine has no hardware counters (PMU), as is usual in virtual machines",
        "a timer takes the samples: code that runs with interrupts off is not seen, and its time shows where \
         they go on again",
        "Use `--event cpu-clock`, as `--event auto` does here. For hardware events, pass the PMU through in the \
         virtual machine's settings (QEMU: `-cpu host,pmu=on`; VMware: `vpmc.enable = TRUE`)",
    )
}

/// A PMU that lacks the event.
pub fn no_such_counter() -> Lack {
    lack(
        "this machine's hardware counters (PMU) can't count this event",
        CANT_RECORD,
        "Use `--event cycles` or `--event cpu-clock`; `perf list` shows what the PMU counts",
    )
}

pub(super) fn cpu_offline() -> Lack {
    lack(
        "the CPU is not online",
        CANT_RECORD,
        "See which are: `cat /sys/devices/system/cpu/online`",
    )
}

pub(super) fn counter_taken() -> Lack {
    lack(
        "another program holds the hardware counter for itself",
        CANT_RECORD,
        "Write `--event cpu-clock`, or free a counter with: `sudo sysctl -w kernel.nmi_watchdog=0`",
    )
}

pub(super) fn rate_refused(now: &Situation) -> Lack {
    let limit = now
        .max_sample_rate
        .map_or_else(String::new, |n| format!(", which is {n} now"));
    lack(
        format!(
            "the kernel refused the event's settings; a rate over kernel.perf_event_max_sample_rate{limit} is the \
             usual cause"
        ),
        CANT_RECORD,
        "Give a lower --freq, or: `sudo sysctl -w kernel.perf_event_max_sample_rate=100000`",
    )
}

/// The CPUs are not to be seen.
pub fn no_sys() -> Lack {
    lack(
        "/sys, which tells the CPUs, is not mounted",
        CANT_RECORD,
        "Run: `sudo mount -t sysfs sysfs /sys`",
    )
}

/// A kernel without perf events.
pub fn no_perf_events() -> Lack {
    lack(
        "this kernel has no perf events",
        CANT_RECORD,
        "It takes a kernel built with CONFIG_PERF_EVENTS=y",
    )
}

/// A kernel without BPF, or without what attaches it to perf events.
pub fn no_bpf() -> Lack {
    lack(
        "this kernel has no BPF",
        CANT_RECORD,
        "It takes a kernel, 5.10 or later, built with CONFIG_BPF_SYSCALL=y and CONFIG_BPF_EVENTS=y",
    )
}

/// BPF programs can't be attached to the event.
pub fn no_attach() -> Lack {
    lack(
        "this kernel doesn't run BPF programs on this event",
        CANT_RECORD,
        "It takes a kernel built with CONFIG_BPF_EVENTS=y; for another event write `--event cpu-clock`",
    )
}

/// `kernel.perf_event_max_stack` is below what kprof keeps of a stack.
pub fn short_stacks(limit: i64) -> Lack {
    lack(
        format!(
            "kernel.perf_event_max_stack={limit}: the kernel keeps {limit} frames of a stack, and kprof could use \
             {MAX_FRAMES}"
        ),
        format!(
            "stacks deeper than {limit} frames are cut at their outer end, and with what is cut it may be unknown \
             that they were of a soft or hard interrupt"
        ),
        format!("Run: `sudo sysctl -w kernel.perf_event_max_stack={MAX_FRAMES}`"),
    )
}

/// `kernel.perf_event_max_stack` leaves nothing of a stack.
pub fn no_stacks(limit: i64) -> Lack {
    lack(
        format!("kernel.perf_event_max_stack={limit}: the kernel keeps no stacks"),
        CANT_RECORD,
        format!("Run: `sudo sysctl -w kernel.perf_event_max_stack={MAX_FRAMES}`"),
    )
}

/// A type of BPF map is not there.
pub fn no_map_type() -> Lack {
    lack(
        "this kernel lacks a type of BPF map, or refuses its size",
        CANT_RECORD,
        "Run `kprof doctor`, which tries each type; kprof needs Linux 5.10 or later",
    )
}

pub(super) fn too_many_files() -> Lack {
    lack(
        "too many files are open: kprof opens one perf event for each CPU",
        CANT_RECORD,
        "Run: `ulimit -n 65536`, then kprof again; or sample fewer CPUs: `--cpu 0-63`",
    )
}

pub(super) fn no_memory(error: &io::Error) -> Lack {
    lack(
        format!("the kernel has no memory for it ({error})"),
        CANT_RECORD,
        "Ask for less: a lower --freq, a shorter --interval or a smaller --max-stacks; in a container, raise its \
         memory limit",
    )
}

pub(super) fn verifier(error: &io::Error) -> Lack {
    lack(
        format!("this kernel's verifier refused kprof's BPF program ({error})"),
        CANT_RECORD,
        "kprof needs Linux 5.10 or later; on such a kernel this is a bug in kprof: report it with the output of \
         `kprof doctor`",
    )
}

pub(super) fn unknown(error: &io::Error) -> Lack {
    lack(
        format!("{error}"),
        CANT_RECORD,
        "Run `kprof doctor` to see what this machine allows",
    )
}

/// The kernel shows no BTF, or none with `task_struct`.
pub fn no_btf() -> Lack {
    lack(
        format!(
            "the kernel shows no type information (BTF) in {}",
            btf::PATH
        ),
        "--kthreads can't be used, and kernel threads aren't marked as such",
        "It takes a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions' kernels are, and a /sys that a \
         container doesn't mask",
    )
}

/// BPF programs are run by the interpreter.
pub fn no_jit() -> Lack {
    lack(
        "net.core.bpf_jit_enable=0: BPF programs are interpreted",
        "a sample takes several times as long",
        "Run: `sudo sysctl -w net.core.bpf_jit_enable=1`",
    )
}

/// BPF programs have no symbols.
pub fn no_jit_symbols(kallsyms: Option<i64>) -> Lack {
    const COST: &str = "BPF programs are shown in stacks as addresses, without names";
    if kallsyms == Some(0) {
        return lack(
            "net.core.bpf_jit_kallsyms=0 hides the names of BPF programs",
            COST,
            "Run: `sudo sysctl -w net.core.bpf_jit_kallsyms=1`",
        );
    }
    lack(
        "net.core.bpf_jit_harden hides the names of BPF programs",
        COST,
        "If the machine's rules allow: `sudo sysctl -w net.core.bpf_jit_harden=0`",
    )
}

/// The kernel's limit of the sampling rate is low.
pub fn low_sample_rate(limit: i64) -> Lack {
    lack(
        format!(
            "kernel.perf_event_max_sample_rate={limit}, which the kernel may have lowered by itself"
        ),
        format!("--freq can't be over {limit}"),
        "Run: `sudo sysctl -w kernel.perf_event_max_sample_rate=100000`",
    )
}

/// The kernel's limit of the sampling rate was lowered under a capture.
pub fn lowered_sample_rate(hz: u64, limit: u64) -> Lack {
    lack(
        format!(
            "kernel.perf_event_max_sample_rate fell to {limit} while {hz} samples a second were asked for"
        ),
        "the kernel held samples back, so that times and shares are too small, by an unknown amount",
        format!(
            "Give --freq {limit} or less, or: `sudo sysctl -w kernel.perf_event_max_sample_rate=100000`"
        ),
    )
}

/// The PMU's interrupts can be held off.
pub fn no_nmi() -> Lack {
    lack(
        "the PMU's interrupt can be held off (no NMI)",
        "code that runs with interrupts off is not seen, and its time shows where they go on again",
        "On arm64, boot with irqchip.gicv3_pseudo_nmi=1 on the kernel command line (it takes \
         CONFIG_ARM64_PSEUDO_NMI=y)",
    )
}

/// Helper functions that one of the filters takes are not there.
pub fn no_helpers(names: &[&str], cost: &str) -> Lack {
    lack(
        format!("this kernel's BPF lacks {}", names.join(", ")),
        cost,
        "It takes Linux 5.10 or later, built with CONFIG_BPF_EVENTS=y and CONFIG_CGROUPS=y",
    )
}

/// Maps can't be read in batches.
pub fn no_batches() -> Lack {
    lack(
        "this kernel's BPF maps can't be read in batches",
        CANT_RECORD,
        "It takes Linux 5.10 or later",
    )
}

/// `/proc` is a container's.
pub fn pid_namespace() -> Lack {
    lack(
        "this process is in a pid namespace, as in a container: /proc shows the processes in there alone, and no \
         kernel threads",
        "what runs outside is sampled too, but has the host's ids; --pid and --tid can't pick it, and an empty result \
         can't say what it did meanwhile",
        "Start the container with: `docker run --pid=host …` (Kubernetes: hostPID: true), or run kprof on the host",
    )
}

/// `/proc` is of a namespace above this process's own.
pub fn foreign_proc() -> Lack {
    lack(
        "/proc is of another pid namespace than this process",
        "the ids that kprof takes and shows are those of /proc, as ps shows them; kill and a shell's $$ have others",
        "Take ids from ps; or, to have one kind of them: `sudo nsenter -t 1 -p kprof …`",
    )
}

/// `/proc` does not say whose ids it shows.
pub fn unknown_pid_namespace() -> Lack {
    lack(
        "/proc is of another pid namespace than this process, and doesn't say which",
        "--pid and --tid can't be used; the ids shown are the host's",
        "Mount a /proc of this process's namespace: `sudo mount -t proc proc /proc`, or run kprof on the host",
    )
}

/// A task is in a namespace below that of `/proc`, where the kernel tells a BPF program its innermost ids only.
pub(in crate::kernel) fn nested_pid_namespace(id: u32) -> Lack {
    lack(
        format!(
            "{id} is in a pid namespace of its own, below that of /proc; the kernel doesn't tell a BPF program the \
             ids that such tasks have up here"
        ),
        format!("{id} can't be picked by its id"),
        "Run kprof on the host, or in that namespace; --comm and --cgroup work here",
    )
}

/// No cgroup2 file system.
pub fn no_cgroup2() -> Lack {
    lack(
        "no cgroup version 2 file system is mounted, and BPF can't tell tasks apart by version 1",
        "--cgroup can't be used",
        "Mount it with: `sudo mkdir -p /run/cgroup2 && sudo mount -t cgroup2 none /run/cgroup2` (or boot with \
         systemd.unified_cgroup_hierarchy=1)",
    )
}

const NO_TRACEPOINTS: &str = "tracepoints can't be used as events (--event sched:sched_switch)";

/// tracefs is there, but not for this user.
pub fn tracefs_denied() -> Lack {
    lack(
        "tracefs is mounted, but only root may read it",
        NO_TRACEPOINTS,
        "Run: `sudo kprof …`",
    )
}

/// tracefs is mounted nowhere, and can't be mounted privately.
pub fn tracefs_not_mounted(now: &Situation) -> Lack {
    let mend = if now.lacking(&[Capability::SysAdmin]).is_empty() {
        "Run: `sudo mount -t tracefs tracefs /sys/kernel/tracing`".to_owned()
    } else {
        mend_permission(now, &[Capability::SysAdmin])
    };
    lack("tracefs is not mounted", NO_TRACEPOINTS, mend)
}

/// The kernel is built without tracefs.
pub fn no_tracefs() -> Lack {
    lack(
        "this kernel has no tracefs, so its tracepoints can't be named",
        NO_TRACEPOINTS,
        "It takes a kernel built with CONFIG_FTRACE=y; other events work",
    )
}
