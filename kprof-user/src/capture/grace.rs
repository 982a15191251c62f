//! Waits until no program uses the epoch that was switched off.
//!
//! Programs on perf events run under `rcu_read_lock` (kernel/events/core.c, kernel/trace/bpf_trace.c),
//! so an RCU grace period is enough.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};

use super::sys::{self, Table};

/// `MEMBARRIER_CMD_GLOBAL` of include/uapi/linux/membarrier.h: `synchronize_rcu()`. The expedited
/// commands interrupt CPUs and are no grace period.
const MEMBARRIER_CMD_GLOBAL: i64 = 1;
/// `MEMBARRIER_CMD_QUERY`: the commands that work here, as bits.
const MEMBARRIER_CMD_QUERY: i64 = 0;

const MAP_TYPE_ARRAY: u32 = 2;
const MAP_TYPE_ARRAY_OF_MAPS: u32 = 12;

/// One way to wait for a grace period.
#[derive(Debug)]
pub(super) enum Grace {
    /// The system call made for it.
    Membarrier,
    /// With `nohz_full` the kernel refuses that. Updating a map of maps waits for programs, too
    /// (kernel/bpf/syscall.c, `maybe_wait_bpf_programs`).
    OuterMap {
        outer: Table<u32, u32>,
        inner: OwnedFd,
    },
}

impl Grace {
    /// Finds the way that works here.
    pub(super) fn probe() -> Result<Grace> {
        // Asking is enough: the kernel leaves out what it would refuse (kernel/sched/membarrier.c), and trying
        // would cost a grace period before the first sample.
        if membarrier(MEMBARRIER_CMD_QUERY)
            .is_ok_and(|commands| commands & MEMBARRIER_CMD_GLOBAL != 0)
        {
            return Ok(Grace::Membarrier);
        }
        let make = || -> io::Result<Grace> {
            let inner = sys::create(MAP_TYPE_ARRAY, 4, None)?;
            let outer = sys::create(MAP_TYPE_ARRAY_OF_MAPS, 4, Some(&inner))?;
            Ok(Grace::OuterMap {
                outer: Table::new(outer, 4, 4)?,
                inner,
            })
        };
        make().context("cannot create a map of maps, needed where membarrier(2) is refused")
    }

    /// Waits, for 5 to 20 ms as a rule.
    pub(super) fn wait(&self) -> Result<()> {
        match self {
            Grace::Membarrier => membarrier(MEMBARRIER_CMD_GLOBAL).map(drop),
            Grace::OuterMap { outer, inner } => outer.set(&0, &(inner.as_raw_fd() as u32)),
        }
        .context("cannot wait for BPF programs to leave the drained maps")
    }
}

fn membarrier(command: i64) -> io::Result<i64> {
    // SAFETY: the call takes integers and touches no memory of ours.
    let answer = unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}
