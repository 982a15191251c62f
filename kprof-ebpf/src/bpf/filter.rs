//! Which samples count. Each filter answers `true` for a sample that does not.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use kprof_ebpf::CommTable;
use kprof_ebpf::config::{COMM_WORDS, MAX_CGROUPS, target};

use super::maps::{CGROUPS, COMM_TABLE, CPUS, HITS, TARGETS};
use super::settings::setting;
use super::task::PF_KTHREAD;

/// Kernel threads only.
#[inline(always)]
pub(crate) fn by_flags(task_flags: u32) -> bool {
    setting!(kthreads_only) == 1 && task_flags & PF_KTHREAD == 0
}

/// Processes and threads by id.
#[inline(always)]
pub(crate) fn by_target(tgid: u32, tid: u32) -> bool {
    if setting!(match_targets) == 0 {
        return false;
    }
    !(is_target(tgid, target::PROCESS) || is_target(tid, target::THREAD))
}

#[inline(always)]
fn is_target(id: u32, kind: u32) -> bool {
    // SAFETY: userspace fills the map before it starts the events and deletes nothing.
    unsafe { TARGETS.get(id) }.is_some_and(|kinds| kinds & kind != 0)
}

/// Threads by name; see [`CommTable`].
#[inline(always)]
pub(crate) fn by_comm(comm: [u64; 2]) -> bool {
    let words = setting!(match_comm);
    if words == 0 {
        return false;
    }
    let Some(table) = COMM_TABLE.get(0) else {
        return true;
    };
    // Few patterns fit one word, and then a step is a handful of instructions.
    if words == 1 {
        !accepts::<1>(table, comm)
    } else {
        !accepts::<COMM_WORDS>(table, comm)
    }
}

#[inline(always)]
fn accepts<const WORDS: usize>(table: &CommTable, comm: [u64; 2]) -> bool {
    let mut state = [0u64; COMM_WORDS];
    let mut i = 0;
    while i < WORDS {
        state[i] = table.start[i];
        i += 1;
    }
    let [mut rest, mut next] = comm;
    // A name has 15 bytes at most; what follows the last is NUL.
    let mut n = 0;
    while n < 16 {
        let byte = (rest & 0xff) as usize;
        if byte == 0 {
            break;
        }
        rest = (rest >> 8) | (next << 56);
        next >>= 8;
        let mut any = 0;
        let mut carry = 0;
        let mut star_carry = 0;
        let mut i = 0;
        while i < WORDS {
            let moved = state[i] & table.byte[byte][i];
            let stayed = state[i] & table.star[i];
            let mut word = (moved << 1) | carry | stayed;
            carry = moved >> 63;
            let stars = word & table.star[i];
            word |= (stars << 1) | star_carry;
            star_carry = stars >> 63;
            state[i] = word;
            any |= word;
            i += 1;
        }
        if any == 0 {
            return false;
        }
        n += 1;
    }
    let mut accepted = 0;
    let mut i = 0;
    while i < WORDS {
        accepted |= state[i] & table.accept[i];
        i += 1;
    }
    accepted != 0
}

/// Tasks by control group.
#[inline(always)]
pub(crate) fn by_cgroup() -> bool {
    let groups = setting!(cgroups);
    if groups == 0 {
        return false;
    }
    let mut i = 0;
    while i < MAX_CGROUPS as u32 && i < groups {
        if matches!(CGROUPS.current_task_under_cgroup(i), Ok(true)) {
            return false;
        }
        i += 1;
    }
    true
}

/// Whether this hit of a tracepoint is a sample: the program runs on every hit of every CPU.
#[inline(always)]
pub(crate) fn hit_is_due() -> bool {
    if setting!(match_cpus) == 1 {
        // SAFETY: the helper takes nothing and cannot fail.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        if CPUS.get(cpu).is_none_or(|wanted| *wanted == 0) {
            return false;
        }
    }
    let period = setting!(hit_period);
    if period <= 1 {
        return true;
    }
    let Some(hits) = HITS.get_ptr_mut(0) else {
        return true;
    };
    // SAFETY: this CPU's own element; programs do not nest on a CPU.
    let hits = unsafe { &mut *hits };
    *hits += 1;
    if *hits < u64::from(period) {
        return false;
    }
    *hits = 0;
    true
}
