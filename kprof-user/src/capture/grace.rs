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
const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;

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
        if membarrier().is_ok() {
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
            Grace::Membarrier => membarrier(),
            Grace::OuterMap { outer, inner } => outer.set(&0, &(inner.as_raw_fd() as u32)),
        }
        .context("cannot wait for BPF programs to leave the drained maps")
    }
}

fn membarrier() -> io::Result<()> {
    // SAFETY: the call takes integers and touches no memory of ours.
    let answer = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
