//! The limit of locked memory, which BPF maps count against before Linux 5.11 (`bpf_charge_memlock`,
//! kernel/bpf/syscall.c).

use std::mem::MaybeUninit;

use super::sysctl;

/// Lifts it, as far as this process may (`CAP_SYS_RESOURCE`).
pub fn raise() {
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: `limit` is a live struct that the call only reads.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
}

/// Whether there is one.
pub fn is_limited() -> bool {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: `limit` has room for what the kernel writes.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, limit.as_mut_ptr()) };
    // SAFETY: getrlimit succeeded, so it has filled `limit`.
    result == 0 && unsafe { limit.assume_init() }.rlim_cur != libc::RLIM_INFINITY
}

/// Whether this kernel counts maps against it. Of those that kprof is for, one does.
pub fn counts() -> bool {
    let release = sysctl::read_text("kernel.osrelease").unwrap_or_default();
    release.starts_with("5.10.")
}
