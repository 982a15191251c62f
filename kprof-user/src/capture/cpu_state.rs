//! The map `CPU_STATE`, shared with the programs: which epoch each CPU uses, and what it counted.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use kprof_ebpf::{Counters, CpuState};

/// The states of all CPUs, mapped into this process.
#[derive(Debug)]
pub(super) struct CpuStates {
    first: NonNull<CpuState>,
    cpus: usize,
    bytes: usize,
}

// SAFETY: the mapping belongs to this value alone, and does not care which thread uses it.
unsafe impl Send for CpuStates {}

impl CpuStates {
    /// Maps a map of `cpus` elements.
    pub(super) fn map(map: &OwnedFd, cpus: u32) -> Result<CpuStates> {
        let bytes = cpus as usize * size_of::<CpuState>();
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error())
                .context("cannot map the BPF counters into memory");
        }
        let first = NonNull::new(address.cast()).context("the BPF counters were mapped at 0")?;
        Ok(CpuStates {
            first,
            cpus: cpus as usize,
            bytes,
        })
    }

    fn states(&self) -> impl Iterator<Item = NonNull<CpuState>> {
        // SAFETY: the mapping holds `cpus` elements for as long as `self` lives.
        (0..self.cpus).map(|cpu| unsafe { self.first.add(cpu) })
    }

    /// Sends all CPUs to the other epoch. A program that runs meanwhile stays in the one it read.
    pub(super) fn switch(&mut self, epoch: u32) {
        for state in self.states() {
            // SAFETY: the element is live, the word aligned, and the programs only read it.
            let word = unsafe { AtomicU32::from_ptr(&raw mut (*state.as_ptr()).epoch) };
            word.store(epoch, Ordering::Release);
        }
    }

    /// Writes the filter of first bytes, before any program runs.
    pub(super) fn set_first_bytes(&mut self, allowed: &[u64; 4]) {
        for state in self.states() {
            // SAFETY: the element is live and no program runs yet.
            unsafe { (&raw mut (*state.as_ptr()).first_bytes).write_volatile(*allowed) };
        }
    }

    /// The counters of an epoch, CPU by CPU. They stand still once the epoch is retired and a grace
    /// period is over.
    pub(super) fn counters(&self, epoch: u32) -> impl Iterator<Item = Counters> {
        self.states().map(move |state| {
            // SAFETY: the element is live; volatile, since programs wrote it behind the compiler's back.
            let both = unsafe { (&raw const (*state.as_ptr()).counters).read_volatile() };
            both[epoch as usize & 1]
        })
    }
}

impl Drop for CpuStates {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `map`, and nothing refers to it any more.
        unsafe { libc::munmap(self.first.as_ptr().cast(), self.bytes) };
    }
}
