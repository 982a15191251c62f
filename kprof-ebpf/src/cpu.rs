//! What one CPU's programs read and write at every sample, side by side in memory.

use crate::{Counters, EPOCHS, RareCounters};

/// [`CpuState::table`] of a CPU that was not there when the capture started: it counts in the overflow map alone.
pub const NO_TABLE: u32 = u32::MAX;

/// One CPU's element of the map `CPU_STATE`, which userspace maps into its memory. A sample that is turned away
/// touches its first cache line only: caches are cold when an interrupt starts, and each line costs as much
/// as all the rest of the filter.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuState {
    /// Which epoch's maps this CPU uses, 0 or 1. Userspace writes it.
    pub epoch: u32,
    /// Which of the [`crate::CountSlot`] tables this CPU counts in, or [`NO_TABLE`]. Userspace writes it before the
    /// first sample.
    pub table: u32,
    /// Bytes with which a name that the `COMM_TABLE` accepts can start: bit `b` stands for the four bytes whose low six
    /// bits are `b`. Most names fail here. Userspace writes it before the first sample.
    pub first_bytes: u64,
    /// The counters of each epoch. The programs of this CPU alone write them.
    pub counters: [Counters; EPOCHS as usize],
    /// As above.
    pub rare: [RareCounters; EPOCHS as usize],
    /// Fills the last line.
    pub unused: [u64; 4],
}

const _: () = assert!(size_of::<CpuState>() == 192);
