//! What `bpf(2)` tells about loaded programs: which there are, and how long their code is.
//!
//! Listing needs CAP_SYS_ADMIN (kernel/bpf/syscall.c, `bpf_obj_get_next_id`); without it every
//! function here says "unknown".

use std::collections::HashMap;

use crate::kernel::bpf_syscall::{bpf, descriptor, object_info};

/// Commands of `enum bpf_cmd` (include/uapi/linux/bpf.h).
const BPF_PROG_GET_NEXT_ID: libc::c_int = 11;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
/// Since Linux 5.8.
const BPF_LINK_GET_NEXT_ID: libc::c_int = 31;

/// `union bpf_attr` as the `*_GET_NEXT_ID` and `*_GET_FD_BY_ID` commands use it.
#[repr(C)]
#[derive(Default)]
struct IdAttr {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

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

fn ids(command: libc::c_int) -> Option<Vec<u32>> {
    let mut ids = Vec::new();
    let mut attr = IdAttr::default();
    while bpf(command, &mut attr).is_ok() {
        // The kernel gives ids in rising order; anything else would not end.
        if attr.next_id <= attr.id {
            break;
        }
        ids.push(attr.next_id);
        attr = IdAttr {
            id: attr.next_id,
            ..IdAttr::default()
        };
    }
    let error = std::io::Error::last_os_error();
    (!ids.is_empty() || error.raw_os_error() == Some(libc::ENOENT)).then_some(ids)
}

/// Ids of all loaded programs, rising; ids are not used again before 2^31 others were. `None` where
/// the kernel won't list them.
pub(super) fn programs() -> Option<Vec<u32>> {
    ids(BPF_PROG_GET_NEXT_ID)
}

/// Ids of all links. Attaching a program makes a trampoline, which is a symbol of its own.
pub(super) fn links() -> Option<Vec<u32>> {
    ids(BPF_LINK_GET_NEXT_ID)
}

/// First and last address plus one of every compiled function of these programs.
pub(super) fn functions(programs: &[u32]) -> HashMap<u64, u64> {
    let mut all = HashMap::new();
    let mut starts = vec![0u64; MAX_FUNCTIONS];
    let mut lengths = vec![0u32; MAX_FUNCTIONS];
    for &id in programs {
        let mut attr = IdAttr {
            id,
            ..IdAttr::default()
        };
        let Ok(fd) = bpf(BPF_PROG_GET_FD_BY_ID, &mut attr).and_then(descriptor) else {
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
                all.insert(start, start.saturating_add(length.into()));
            }
        }
    }
    all
}
