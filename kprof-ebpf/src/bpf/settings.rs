//! Reads single fields of the configuration.
//!
//! A field at a time, so that the verifier sees a constant and drops what it switches off.

macro_rules! setting {
    ($field:ident) => {{
        let config = (&raw const $crate::bpf::maps::CONFIG).cast::<kprof_ebpf::Config>();
        // SAFETY: the static holds a `Config` (`Global` is transparent); it is read-only to the
        // program, but filled in by userspace, hence volatile.
        unsafe { (&raw const (*config).$field).read_volatile() }
    }};
}

pub(crate) use setting;

/// One word of `Config::first_bytes`, by its index of 0 to 3.
#[inline(always)]
pub(crate) fn first_bytes(word: u64) -> u64 {
    let config = (&raw const super::maps::CONFIG).cast::<kprof_ebpf::Config>();
    // SAFETY: as in `setting`; the mask keeps the index inside the array.
    unsafe {
        let words = (&raw const (*config).first_bytes).cast::<u64>();
        words.wrapping_add((word & 3) as usize).read_volatile()
    }
}
