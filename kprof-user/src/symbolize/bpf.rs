//! How long the compiled code of loaded BPF programs is.

use std::collections::HashMap;

use crate::kernel::bpf_syscall::{object_info, program_by_id};

/// The beginning of `struct bpf_prog_info`, up to the lengths of a program's functions.
#[repr(C)]
#[derive(Default)]
struct ProgInfo {
    unused: [u64; 13],
    nr_jited_ksyms: u32,
    nr_jited_func_lens: u32,
    jited_ksyms: u64,
    jited_func_lens: u64,
}

const _: () =
    assert!(std::mem::offset_of!(ProgInfo, nr_jited_ksyms) == 104 && size_of::<ProgInfo>() == 128);

/// BPF_MAX_SUBPROGS (include/linux/bpf_verifier.h).
const MAX_FUNCTIONS: usize = 256;

/// A compiled function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// Its last address plus one.
    pub(super) end: u64,
    /// The id of its program.
    pub(super) program: u32,
}

/// Every compiled function of these programs, by its first address.
pub(super) fn functions(programs: &[u32]) -> HashMap<u64, Function> {
    let mut all = HashMap::new();
    let mut starts = vec![0u64; MAX_FUNCTIONS];
    let mut lengths = vec![0u32; MAX_FUNCTIONS];
    for &id in programs {
        let Ok(fd) = program_by_id(id) else {
            // It went meanwhile.
            continue;
        };
        let mut info = ProgInfo {
            nr_jited_ksyms: MAX_FUNCTIONS as u32,
            nr_jited_func_lens: MAX_FUNCTIONS as u32,
            jited_ksyms: starts.as_mut_ptr() as u64,
            jited_func_lens: lengths.as_mut_ptr() as u64,
            ..ProgInfo::default()
        };
        // `starts` and `lengths` live until here, and the kernel writes at most MAX_FUNCTIONS elements into each
        // of the two.
        if object_info(&fd, &mut info).is_err() {
            continue;
        }
        let n = (info.nr_jited_ksyms.min(info.nr_jited_func_lens) as usize).min(MAX_FUNCTIONS);
        for (&start, &length) in starts.iter().zip(&lengths).take(n) {
            if start != 0 {
                let end = start.saturating_add(length.into());
                all.insert(start, Function { end, program: id });
            }
        }
    }
    all
}
