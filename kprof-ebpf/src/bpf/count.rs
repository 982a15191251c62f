//! Adds one to a key's count.
//!
//! Each CPU has a table of its own, with open addressing: one cache line for a sample, whether its key is new or
//! not, and no atomic operation. A hash map takes the few keys that find no slot. It alone, without the tables,
//! cost a fifth of taking the stack.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use kprof_ebpf::cpu::NO_TABLE;
use kprof_ebpf::{Counter, EPOCHS, Key};

use super::errno::{E2BIG, EBUSY, EDEADLK, EEXIST, ENOMEM, ETIMEDOUT};
use super::maps::{COUNTS, Epoch};
use super::settings::setting;

/// `BPF_NOEXIST` of include/uapi/linux/bpf.h.
const NOEXIST: u64 = 1;

/// Slots that a key may be in, one after the other. The verifier walks through each of them.
const PROBES: u32 = 4;

/// Counts one sample in this CPU's `table`; `false` where it found no slot.
#[inline(always)]
pub(crate) fn in_table(table: u32, epoch: u32, key: &Key) -> bool {
    if table == NO_TABLE {
        return false;
    }
    let slots = setting!(slots);
    let first = (table * EPOCHS + epoch) * slots;
    let hash = hash(key);
    let mut i = 0;
    while i < PROBES {
        let Some(slot) = COUNTS.get_ptr_mut(first + ((hash + i) & (slots - 1))) else {
            return false;
        };
        // SAFETY: this CPU's own slot; programs do not nest on a CPU, and userspace keeps away from
        // the tables of the epoch in use.
        let slot = unsafe { &mut *slot };
        if slot.count == 0 {
            slot.key = *key;
            slot.count = 1;
            return true;
        }
        if difference(&slot.key, key) == 0 {
            slot.count += 1;
            return true;
        }
        i += 1;
    }
    false
}

/// 0 if the keys are equal. Without branches, which the verifier would follow each.
#[inline(always)]
fn difference(a: &Key, b: &Key) -> u64 {
    let (a, b) = (words(a), words(b));
    (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4])
}

/// The key as it lies in memory.
#[inline(always)]
fn words(key: &Key) -> [u64; 5] {
    // SAFETY: a `Key` is 40 bytes of integers without padding, aligned for u64.
    unsafe { core::ptr::from_ref(key).cast::<[u64; 5]>().read() }
}

/// Where a key's slots begin. Threads share stacks, and a thread has many.
#[inline(always)]
fn hash(key: &Key) -> u32 {
    let [stack, name, _, ids, _] = words(key);
    let mixed = (stack ^ ids.rotate_left(32) ^ name).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

/// Counts one sample in the overflow map, and says how that went.
#[inline(always)]
pub(crate) fn in_overflow<E: Epoch>(key: &Key) -> Counter {
    if increment::<E>(key) {
        return Counter::Counted;
    }
    match E::OVERFLOW.insert(key, 1u64, NOEXIST) {
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
    let Some(count) = E::OVERFLOW.get_ptr_mut(key) else {
        return false;
    };
    // SAFETY: the pointer is into the map's value, which other CPUs change by atomic addition only.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(count, 1) };
    true
}
