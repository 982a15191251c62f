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
