//! Fills the maps of the filters that hold more than a number.

use std::fs::File;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use kprof_ebpf::CommTable;
use kprof_ebpf::config::target;

use super::object::Maps;
use crate::capture::Request;
use crate::capture::sys::Table;
use crate::kernel::cgroup;
use crate::kernel::perf_syscall::TYPE_TRACEPOINT;

/// Writes the filters' maps, before any event runs.
pub(super) fn fill(maps: &Maps, request: &Request) -> Result<()> {
    let filters = &request.filters;
    let targets: Table<u32, u32> = maps.table("TARGETS")?;
    for &pid in &filters.pids {
        let both = if filters.tids.contains(&pid) {
            target::THREAD
        } else {
            0
        };
        targets
            .set(&pid, &(target::PROCESS | both))
            .with_context(|| format!("cannot add process {pid} to the filter"))?;
    }
    for &tid in filters
        .tids
        .iter()
        .filter(|tid| !filters.pids.contains(tid))
    {
        targets
            .set(&tid, &target::THREAD)
            .with_context(|| format!("cannot add thread {tid} to the filter"))?;
    }
    if let Some(comm) = &filters.comm {
        let names: Table<u32, CommTable> = maps.table("COMM_TABLE")?;
        names
            .set(&0, &comm.table())
            .context("cannot write the thread-name filter")?;
    }
    let groups: Table<u32, u32> = maps.table("CGROUPS")?;
    for (index, path) in filters.cgroups.iter().enumerate() {
        let path = cgroup::resolve(path)?.path;
        let folder = File::open(&path)
            .with_context(|| format!("cannot open the cgroup {}", path.display()))?;
        groups
            .set(&(index as u32), &(folder.as_raw_fd() as u32))
            .with_context(|| format!("cannot filter by the cgroup {}", path.display()))?;
    }
    if let Some(cpus) = request
        .cpus
        .as_ref()
        .filter(|_| request.event.type_ == TYPE_TRACEPOINT)
    {
        let wanted: Table<u32, u32> = maps.table("CPUS")?;
        for cpu in cpus {
            wanted
                .set(cpu, &1)
                .with_context(|| format!("cannot add CPU {cpu} to the filter"))?;
        }
    }
    Ok(())
}
