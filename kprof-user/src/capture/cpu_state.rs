//! The map `CPU_STATE`, shared with the programs: which epoch each CPU uses, and what it counted.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use kprof_ebpf::cpu::NO_TABLE;
use kprof_ebpf::{Counters, CpuState, RareCounters};

use super::shared::Shared;

/// The states of all CPUs.
#[derive(Debug)]
pub(super) struct CpuStates(Shared<CpuState>);

impl CpuStates {
    /// Maps a map of `cpus` elements.
    pub(super) fn map(map: &OwnedFd, cpus: u32) -> Result<CpuStates> {
        let shared =
            Shared::map(map, cpus as usize).context("cannot map the BPF counters into memory")?;
        Ok(CpuStates(shared))
    }

    /// Gives each of these CPUs a table of counts of its own, before any program runs.
    pub(super) fn set_tables(&mut self, cpus: &[u32]) {
        for (cpu, state) in self.0.elements().enumerate() {
            let table = cpus.iter().position(|&with| with as usize == cpu);
            let table = table.map_or(NO_TABLE, |table| table as u32);
            // SAFETY: the element is live and no program runs yet.
            unsafe { (&raw mut (*state.as_ptr()).table).write_volatile(table) };
        }
    }

    /// Sends all CPUs to the other epoch. A program that runs meanwhile stays in the one it read.
    pub(super) fn switch(&mut self, epoch: u32) {
        for state in self.0.elements() {
            // SAFETY: the element is live, the word aligned, and the programs only read it.
            let word = unsafe { AtomicU32::from_ptr(&raw mut (*state.as_ptr()).epoch) };
            word.store(epoch, Ordering::Release);
        }
    }

    /// Writes the filter of first bytes, before any program runs.
    pub(super) fn set_first_bytes(&mut self, allowed: u64) {
        for state in self.0.elements() {
            // SAFETY: the element is live and no program runs yet.
            unsafe { (&raw mut (*state.as_ptr()).first_bytes).write_volatile(allowed) };
        }
    }

    /// The counters of an epoch, CPU by CPU. They stand still once the epoch is retired and a grace
    /// period is over.
    pub(super) fn counters(&self, epoch: u32) -> impl Iterator<Item = (Counters, RareCounters)> {
        let epoch = epoch as usize & 1;
        self.0.elements().map(move |state| {
            // SAFETY: the element is live; volatile, since programs wrote it behind the compiler's back.
            let state = unsafe { state.as_ptr().read_volatile() };
            (state.counters[epoch], state.rare[epoch])
        })
    }
}
