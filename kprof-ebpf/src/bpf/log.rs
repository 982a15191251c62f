//! Records for whoever debugs the programs; nothing at all unless the feature `log` is on.

use kprof_ebpf::Counter;

/// A sample was lost.
#[inline(always)]
pub(crate) fn lost(cpu: u32, why: Counter) {
    #[cfg(feature = "log")]
    aya_log_ebpf::warn!((), "CPU {}: lost a sample, {}", cpu, why.name());
    #[cfg(not(feature = "log"))]
    let _ = (cpu, why);
}

/// A stack went to the spill map.
#[inline(always)]
pub(crate) fn spilled(hash: u64, frames: u64) {
    #[cfg(feature = "log")]
    aya_log_ebpf::debug!((), "spilled a stack of {} frames, hash {:x}", frames, hash);
    #[cfg(not(feature = "log"))]
    let _ = (hash, frames);
}

/// A key found no slot in the CPU's table.
#[inline(always)]
pub(crate) fn overflowed(cpu: u32, tid: u32) {
    #[cfg(feature = "log")]
    aya_log_ebpf::debug!((), "CPU {}: no slot for a stack of thread {}", cpu, tid);
    #[cfg(not(feature = "log"))]
    let _ = (cpu, tid);
}
