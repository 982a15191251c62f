//! Loads the BPF object: fills in the configuration, sizes the maps, loads the one program that is needed.
//!
//! aya-obj reads the object and puts the maps' descriptors into its code. aya's own `EbpfLoader` is not used: it
//! reads all of the kernel's type information at every start, which kprof has no use for, and can't change the size
//! of a map's values.

use std::os::fd::OwnedFd;

use anyhow::Result;
use kprof_ebpf::{Config, CountSlot, CpuState, Key, MAX_FRAMES, SpillStack};

use super::Request;
use super::count_tables::CountTables;
use super::cpu_state::CpuStates;
use super::sizing::Sizes;
use super::sys::Table;
use crate::kernel::bpf_syscall;
use crate::kernel::cpus;
use crate::kernel::memlock;
use crate::kernel::perf_syscall::TYPE_TRACEPOINT;
use crate::kernel::stack_depth;

mod filters;
mod object;
mod program;
mod settings;

use object::{Maps, Object};

/// One of the two sets of maps.
#[derive(Debug)]
pub(super) struct EpochMaps {
    pub(super) stacks: Table<u32, [u64; MAX_FRAMES]>,
    pub(super) overflow: Table<Key, u64>,
    pub(super) spill: Table<u64, SpillStack>,
}

/// What userspace needs of a loaded object. The program keeps the maps that only it uses.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) program: OwnedFd,
    pub(super) cpus: CpuStates,
    pub(super) counts: CountTables,
    pub(super) epochs: [EpochMaps; 2],
}

impl Loaded {
    /// Loads the program for this request. Nothing runs yet.
    pub(super) fn load(request: &Request, sizes: &Sizes) -> Result<Loaded> {
        // Not being allowed to is no error yet.
        memlock::raise();
        let mut config = settings::configure(request, sizes)?;
        if config.has_btf == 1 {
            // Linux 5.11 has `bpf_get_current_task_btf`; trying is the only way to know.
            config.has_task_btf = 1;
            if let Ok(loaded) = try_load(request, sizes, &config) {
                return Ok(loaded);
            }
            config.has_task_btf = 0;
        }
        try_load(request, sizes, &config)
    }

    /// Time spent in the program (ns) and runs so far, while the kernel keeps such statistics.
    pub(super) fn run_cost(&self) -> Option<(u64, u64)> {
        bpf_syscall::run_cost(&self.program).ok()
    }
}

fn try_load(request: &Request, sizes: &Sizes, config: &Config) -> Result<Loaded> {
    // One more than the highest number a CPU can ever have here.
    let possible = cpus::possible()?.last().map_or(1, |last| last + 1);
    // A tracepoint's program runs on all CPUs, but turns away those not asked for before it counts.
    let sampled = request.chosen(&cpus::online()?);
    let tables = sampled.len() as u32;
    let entries_of_counts = CountTables::entries(tables, sizes.slots)?;
    let mut object = Object::parse()?;
    object.set_global("CONFIG", config)?;
    let frames = stack_depth::max_frames()?;
    for map in ["STACKS_A", "STACKS_B"] {
        object.set_value_size(map, frames * 8)?;
    }
    let maps = object.create_maps(|name| {
        Some(match name {
            "CPU_STATE" => possible,
            "COUNTS" => entries_of_counts,
            _ => return entries(name, request, sizes),
        })
    })?;
    let program = object.load_program(match request.event.type_ {
        TYPE_TRACEPOINT => "kprof_hit",
        _ => "kprof",
    })?;
    let cpu_state: Table<u32, CpuState> = maps.table("CPU_STATE")?;
    let mut cpus = CpuStates::map(cpu_state.fd(), possible)?;
    cpus.set_tables(&sampled);
    if let Some(comm) = &request.filters.comm {
        cpus.set_first_bytes(settings::first_bytes(&comm.table()));
    }
    let counts: Table<u32, CountSlot> = maps.table("COUNTS")?;
    filters::fill(&maps, request)?;
    Ok(Loaded {
        program,
        cpus,
        counts: CountTables::map(counts.fd(), tables, sizes.slots)?,
        epochs: [epoch_maps(&maps, "A")?, epoch_maps(&maps, "B")?],
    })
}

/// Entries of a map, where they are not those in the object.
fn entries(name: &str, request: &Request, sizes: &Sizes) -> Option<u32> {
    let filters = &request.filters;
    Some(match name {
        "STACKS_A" | "STACKS_B" => sizes.stacks,
        "OVERFLOW_A" | "OVERFLOW_B" => sizes.overflow,
        "SPILL_A" | "SPILL_B" => sizes.spill,
        "TARGETS" => (filters.pids.len() + filters.tids.len()).max(1) as u32,
        "CPUS" => request
            .cpus
            .iter()
            .flatten()
            .max()
            .map_or(1, |last| last + 1),
        _ => return None,
    })
}

fn epoch_maps(maps: &Maps, letter: &str) -> Result<EpochMaps> {
    Ok(EpochMaps {
        stacks: maps.table(&format!("STACKS_{letter}"))?,
        overflow: maps.table(&format!("OVERFLOW_{letter}"))?,
        spill: maps.table(&format!("SPILL_{letter}"))?,
    })
}
