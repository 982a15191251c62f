//! Which samples count. Each filter answers `true` for a sample that does not.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use kprof_ebpf::CommTable;
use kprof_ebpf::config::{COMM_WORDS, MAX_CGROUPS, target};

use super::maps::{CGROUPS, COMM_TABLE, CPUS, HITS, TARGETS};
use super::settings::setting;
use super::task::{self, PF_KTHREAD, Task};

/// Kernel threads only. Other captures leave the task alone until it is known to count.
#[inline(always)]
pub(crate) fn by_kind(task: Task) -> bool {
    setting!(kthreads_only) == 1 && task.flags() & PF_KTHREAD == 0
}

/// Processes and threads by id. A task that has no ids where those of the targets are from is none.
#[inline(always)]
pub(crate) fn by_target() -> bool {
    if setting!(match_targets) == 0 {
        return false;
    }
    let (tgid, tid, host_ids) = task::ids();
    host_ids != 0 || !(is_target(tgid, target::PROCESS) || is_target(tid, target::THREAD))
}

#[inline(always)]
fn is_target(id: u32, kind: u32) -> bool {
    // SAFETY: userspace fills the map before it starts the events and deletes nothing.
    unsafe { TARGETS.get(id) }.is_some_and(|kinds| kinds & kind != 0)
}

/// Threads by name; see [`CommTable`].
#[inline(always)]
pub(crate) fn by_comm(comm: [u64; 2], first_bytes: u64) -> bool {
    let words = setting!(match_comm);
    if words == 0 {
        return false;
    }
    let first = comm[0] & 0xff;
    if first_bytes >> (first & 63) & 1 == 0 {
        return true;
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
        let mut i = 0;
        while i < WORDS {
            let moved = state[i] & table.byte[byte][i];
            let stayed = state[i] & table.star[i];
            let mut word = (moved << 1) | stayed;
            word |= (word & table.star[i]) << 1;
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

/// Tasks by control group; an error where the kernel could not tell.
#[inline(always)]
pub(crate) fn by_cgroup() -> Result<bool, ()> {
    let groups = setting!(cgroups);
    if groups == 0 {
        return Ok(false);
    }
    let mut i = 0;
    while i < MAX_CGROUPS as u32 && i < groups {
        match CGROUPS.current_task_under_cgroup(i) {
            Ok(true) => return Ok(false),
            Ok(false) => {}
            Err(_) => return Err(()),
        }
        i += 1;
    }
    Ok(true)
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
