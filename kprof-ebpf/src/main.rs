//! kprof's BPF programs.
//!
//! One sample takes one path: read the epoch, filter, take the stack, count. Every way out adds to
//! exactly one named counter of the epoch.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(
    target_arch = "bpf",
    expect(internal_features, reason = "the target has no other atomic addition")
)]

#[cfg(target_arch = "bpf")]
mod bpf;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Built for the host this is nothing; it keeps tools that build every target content.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
