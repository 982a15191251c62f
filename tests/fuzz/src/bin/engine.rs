//! The fuzzer: libFuzzer on the target that `KPROF_FUZZ_TARGET` names.

#![no_main]

use std::sync::OnceLock;

use kprof_fuzz::Target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static TARGET: OnceLock<&Target> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("KPROF_FUZZ_TARGET").unwrap_or_default();
        kprof_fuzz::target(&name).unwrap_or_else(|| panic!("KPROF_FUZZ_TARGET={name} is no target"))
    });
    target.run(data);
});
