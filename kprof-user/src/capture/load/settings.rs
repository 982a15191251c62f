//! What the programs are told before they are loaded: the frozen configuration, and the filter of first bytes.

use anyhow::{Context, Result, bail};
use kprof_ebpf::config::{COMM_WORDS, MAX_CGROUPS, arch};
use kprof_ebpf::{CommTable, Config};

use crate::capture::Request;
use crate::capture::sizing::Sizes;
use crate::kernel::btf;
use crate::kernel::perf_syscall::TYPE_TRACEPOINT;
use crate::kernel::pid_ns::{self, Ids};
use crate::kernel::refusal;
use crate::kernel::sampling::Sampling;

/// The read-only configuration of the program.
pub(super) fn configure(request: &Request, sizes: &Sizes) -> Result<Config> {
    let filters = &request.filters;
    let mut config = Config {
        kthreads_only: filters.kthreads.into(),
        match_targets: u32::from(!filters.pids.is_empty() || !filters.tids.is_empty()),
        match_comm: filters
            .comm
            .as_ref()
            .map_or(0, |comm| words_in_use(&comm.table())),
        cgroups: filters.cgroups.len() as u32,
        slots: sizes.slots,
        arch: if cfg!(target_arch = "x86_64") {
            arch::X86_64
        } else if cfg!(target_arch = "aarch64") {
            arch::AARCH64
        } else {
            arch::OTHER
        },
        ..Config::default()
    };
    if filters.cgroups.len() > MAX_CGROUPS {
        bail!(
            "{} cgroups are too many: kprof can tell {MAX_CGROUPS} apart",
            filters.cgroups.len()
        );
    }
    if request.event.type_ == TYPE_TRACEPOINT {
        config.hit_period = match request.sampling {
            Sampling::Period(period) => u32::try_from(period).context("the period is too long")?,
            Sampling::Frequency(_) => 1,
        };
        config.match_cpus = request.cpus.is_some().into();
    }
    if let Ids::Of(namespace) = pid_ns::of_proc().ids {
        config.pid_ns_dev = namespace.dev;
        config.pid_ns_ino = namespace.ino;
    }
    match btf::task_offsets() {
        Ok(offsets) => {
            config.has_btf = 1;
            config.task_flags_offset = offsets.flags;
            config.task_comm_offset = offsets.comm;
        }
        Err(_) if filters.kthreads => {
            let lack = refusal::no_btf();
            bail!(
                "--kthreads: cannot tell kernel threads: {}. {}",
                lack.cause,
                lack.mend
            );
        }
        Err(_) => {}
    }
    Ok(config)
}

/// How many words of the automaton's state any pattern uses.
fn words_in_use(table: &CommTable) -> u32 {
    let used = |i: &usize| table.start[*i] | table.accept[*i] | table.star[*i] != 0;
    (0..COMM_WORDS)
        .rev()
        .find(used)
        .map_or(1, |last| last as u32 + 1)
}

/// The bytes after which the automaton is still in some state, as [`kprof_ebpf::CpuState::first_bytes`] holds them.
/// NUL stands for the empty name, which only the automaton can judge.
pub(super) fn first_bytes(table: &CommTable) -> u64 {
    let goes_on = |byte: &usize| {
        (0..COMM_WORDS).any(|w| table.start[w] & (table.byte[*byte][w] | table.star[w]) != 0)
    };
    (1..256)
        .filter(goes_on)
        .fold(1, |allowed, byte| allowed | 1 << (byte % 64))
}
