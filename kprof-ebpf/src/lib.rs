//! The layouts shared by kprof's BPF programs and its userspace: map keys, map values, counters and
//! the read-only configuration. One definition serves both sides.
//!
//! Everything here is `#[repr(C)]`, of fixed-width fields, with its padding written out and its size
//! asserted. Nothing here depends on the host.
#![no_std]

pub mod config;
pub mod counter;
pub mod cpu;
pub mod key;

pub use config::{CommTable, Config};
pub use counter::{Counter, Counters, RareCounters};
pub use cpu::CpuState;
pub use key::{CountSlot, Key, SpillStack, flags};

/// Frames kept of one stack, at most. The kernel's own default limit
/// (`kernel.perf_event_max_stack`) is the same 127.
pub const MAX_FRAMES: usize = 127;

/// How many sets of maps there are; userspace flips between them. See [`config`].
pub const EPOCHS: u32 = 2;
