//! What one count is filed under, and a stack in the spill map.

use crate::MAX_FRAMES;

/// Bits of [`Key::flags`].
pub mod flags {
    /// The task has `PF_KTHREAD` set. Only present where the kernel's BTF could be read.
    pub const KTHREAD: u32 = 1 << 0;
    /// The sample hit user mode: there is no kernel stack and [`super::Key::stack`] is 0.
    pub const USER: u32 = 1 << 1;
    /// [`super::Key::stack`] is a content hash in the spill map, not an id in the stack-trace map.
    pub const SPILLED: u32 = 1 << 2;
    /// The task is not of the pid namespace in the configuration: its ids are the initial pid
    /// namespace's, and may be numbers that other tasks have in the one configured.
    pub const HOST_IDS: u32 = 1 << 3;
}

/// What a count is filed under: one distinct (thread, name, stack).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Key {
    /// Id in the stack-trace map, or content hash in the spill map, as [`flags`] say.
    pub stack: u64,
    /// The task's own name at the moment of the sample, padded with NUL.
    pub comm: [u64; 2],
    /// Process id (thread group id), of the pid namespace that [`flags::HOST_IDS`] says.
    pub tgid: u32,
    /// Thread id, likewise. 0 is an idle task.
    pub tid: u32,
    /// See [`flags`].
    pub flags: u32,
    /// CPU of an idle task, else 0: idle tasks all have thread id 0.
    pub idle_cpu: u32,
}

const _: () = assert!(size_of::<Key>() == 40);

/// One count of a CPU's table, in one cache line. A count of 0 says that the slot is free.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct CountSlot {
    /// What is counted.
    pub key: Key,
    /// How often.
    pub count: u64,
    /// Not used.
    pub unused: [u64; 2],
}

const _: () = assert!(size_of::<CountSlot>() == 64);

/// A value of the spill map: a stack whose bucket in the stack-trace map was taken.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SpillStack {
    /// Addresses, innermost first; the unused rest is 0.
    pub frames: [u64; MAX_FRAMES],
    /// How many of `frames` are used.
    pub len: u64,
}

const _: () = assert!(size_of::<SpillStack>() == 1024);
