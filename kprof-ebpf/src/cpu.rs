//! What one CPU's programs read and write at every sample, side by side in memory.

use crate::{Counters, EPOCHS};

/// One CPU's element of the map `CPU_STATE`, which userspace maps into its memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuState {
    /// Which epoch's maps this CPU uses, 0 or 1. Userspace writes it.
    pub epoch: u32,
    /// Not used.
    pub padding: u32,
    /// Bytes with which a name that the `COMM_TABLE` accepts can start, one bit each. Most names fail
    /// here, in memory that is at hand. Userspace writes it before the first sample.
    pub first_bytes: [u64; 4],
    /// The counters of each epoch. The programs of this CPU alone write them.
    pub counters: [Counters; EPOCHS as usize],
    /// Keeps CPUs out of each other's cache lines.
    pub unused: [u64; 7],
}

const _: () = assert!(size_of::<CpuState>() == 256);
