//! The named counters: every way out of the BPF program adds to exactly one of them.

/// Why a sample ended as it did; an index into [`Counters::ended`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counter {
    /// Added to the counts map.
    Counted = 0,
    /// Turned away by a filter.
    Filtered = 1,
    /// Lost: the counts map had no room for a new key.
    CountsFull = 2,
    /// Lost: the counts map's bucket was locked by an interrupted update on this CPU.
    CountsBusy = 3,
    /// Lost: the stack-trace map had no free element.
    StacksFull = 4,
    /// Lost: the spill map had no room for a new stack.
    SpillFull = 5,
    /// Lost: the kernel could not walk the stack.
    StackFault = 6,
    /// Lost: any other error of a map or a helper.
    Other = 7,
}

impl Counter {
    /// All counters, in the order of their indices.
    pub const ALL: [Counter; 8] = [
        Counter::Counted,
        Counter::Filtered,
        Counter::CountsFull,
        Counter::CountsBusy,
        Counter::StacksFull,
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
            Counter::StacksFull => "stacks_full",
            Counter::SpillFull => "spill_full",
            Counter::StackFault => "stack_fault",
            Counter::Other => "other",
        }
    }
}

/// One CPU's counters of one epoch. They only ever grow; userspace takes differences.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Times the program ran.
    pub seen: u64,
    /// Of the counted samples, those whose stack went to the spill map.
    pub spilled: u64,
    /// Samples by how they ended, indexed by [`Counter`].
    pub ended: [u64; Counter::ALL.len()],
}

const _: () = assert!(size_of::<Counters>() == 80);
