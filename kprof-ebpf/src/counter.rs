//! The named counters: every way out of the BPF program adds to exactly one of them.

/// Why a sample ended as it did.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counter {
    /// Counted.
    Counted = 0,
    /// Turned away by a filter.
    Filtered = 1,
    /// Lost: neither the CPU's table of counts nor the overflow map had room for a new key.
    CountsFull = 2,
    /// Lost: the overflow map's bucket was locked by an interrupted update on this CPU.
    CountsBusy = 3,
    /// Lost: the spill map had no room for a new stack.
    SpillFull = 4,
    /// Lost: the kernel could not walk the stack.
    StackFault = 5,
    /// Lost: any other error of a map or a helper.
    Other = 6,
}

impl Counter {
    /// All counters, in the order of their indices.
    pub const ALL: [Counter; 7] = [
        Counter::Counted,
        Counter::Filtered,
        Counter::CountsFull,
        Counter::CountsBusy,
        Counter::SpillFull,
        Counter::StackFault,
        Counter::Other,
    ];

    /// The name used in `--stats` and in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Counter::Counted => "counted",
            Counter::Filtered => "filtered",
            Counter::CountsFull => "counts_full",
            Counter::CountsBusy => "counts_busy",
            Counter::SpillFull => "spill_full",
            Counter::StackFault => "stack_fault",
            Counter::Other => "other",
        }
    }
}

impl Counter {
    /// Where this counter is in [`RareCounters::lost`]; out of bounds for what is not lost.
    pub const fn lost_index(self) -> usize {
        (self as usize).wrapping_sub(Counter::CountsFull as usize)
    }
}

/// One CPU's counters of one epoch that move at ordinary samples. They only ever grow; userspace takes differences.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Times the program ran.
    pub seen: u64,
    /// [`Counter::Counted`].
    pub counted: u64,
    /// [`Counter::Filtered`].
    pub filtered: u64,
}

/// The same for what is rare.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RareCounters {
    /// Of the counted samples, those whose stack went to the spill map.
    pub spilled: u64,
    /// The other counters; see [`Counter::lost_index`].
    pub lost: [u64; Counter::ALL.len() - 2],
}

const _: () = assert!(size_of::<Counters>() == 24 && size_of::<RareCounters>() == 48);
