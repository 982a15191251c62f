//! Adds one to a key's count.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use kprof_ebpf::{Counter, Key};

use super::errno::{E2BIG, EBUSY, EDEADLK, EEXIST, ENOMEM, ETIMEDOUT};
use super::maps::Epoch;

/// `BPF_NOEXIST` of include/uapi/linux/bpf.h.
const NOEXIST: u64 = 1;

/// Counts one sample and says how that went.
#[inline(always)]
pub(crate) fn add<E: Epoch>(key: &Key) -> Counter {
    if increment::<E>(key) {
        return Counter::Counted;
    }
    match E::COUNTS.insert(key, 1u64, NOEXIST) {
        Ok(()) => Counter::Counted,
        Err(error) => match i64::from(error) {
            // Another CPU was faster.
            EEXIST if increment::<E>(key) => Counter::Counted,
            E2BIG | ENOMEM => Counter::CountsFull,
            EBUSY | EDEADLK | ETIMEDOUT => Counter::CountsBusy,
            _ => Counter::Other,
        },
    }
}

#[inline(always)]
fn increment<E: Epoch>(key: &Key) -> bool {
    let Some(count) = E::COUNTS.get_ptr_mut(key) else {
        return false;
    };
    // SAFETY: the pointer is into the map's value, which other CPUs change by atomic addition only.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(count, 1) };
    true
}
