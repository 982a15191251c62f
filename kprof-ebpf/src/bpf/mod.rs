//! The programs' entry points and the order of the steps.

mod count;
mod errno;
mod filter;
mod log;
mod maps;
mod settings;
mod stack;
mod task;

use aya_ebpf::EbpfContext;
use aya_ebpf::cty::c_void;
use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use aya_ebpf::macros::{perf_event, tracepoint};
use aya_ebpf::programs::{PerfEventContext, TracePointContext};
use kprof_ebpf::{Counter, Key, RareCounters, flags};

use maps::{CPU_STATE, EpochA, EpochB};
use stack::Stack;

/// Takes one sample of a perf event. The macro answers 0 for it, which keeps perf from storing a
/// sample of its own.
#[perf_event]
pub(crate) fn kprof(ctx: PerfEventContext) {
    run(ctx.as_ptr(), true);
}

/// Takes one hit of a tracepoint. The macro's 0 also keeps perf from counting the hit, so that these
/// events' own counts stay 0.
#[tracepoint]
pub(crate) fn kprof_hit(ctx: TracePointContext) {
    if filter::hit_is_due() {
        run(ctx.as_ptr(), false);
    }
}

#[inline(always)]
fn run(ctx: *mut c_void, has_regs: bool) {
    // SAFETY: the helper takes nothing and cannot fail.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let Some(state) = CPU_STATE.get_ptr_mut(cpu) else {
        return;
    };
    // Read once: everything below belongs to this one epoch.
    // SAFETY: the pointer is into the map's value; userspace writes the word, hence volatile.
    let epoch = unsafe { (&raw const (*state).epoch).read_volatile() } & 1;
    // SAFETY: this CPU's own element; programs do not nest on a CPU (kernel/events/core.c and
    // kernel/trace/bpf_trace.c hold bpf_prog_active), and userspace only reads the counters.
    let (counters, rare) = unsafe {
        (
            &mut (&mut (*state).counters)[epoch as usize],
            &mut (&mut (*state).rare)[epoch as usize],
        )
    };
    // SAFETY: nobody writes these two while programs run.
    let (first_bytes, table) = unsafe { ((*state).first_bytes, (*state).table) };
    counters.seen += 1;

    let task = task::Task::current();
    if filter::by_kind(task) || filter::by_target() {
        counters.filtered += 1;
        return;
    }
    let comm = task.comm();
    if filter::by_comm(comm, first_bytes) {
        counters.filtered += 1;
        return;
    }
    match filter::by_cgroup() {
        Ok(false) => {}
        Ok(true) => {
            counters.filtered += 1;
            return;
        }
        Err(()) => {
            lose(rare, cpu, Counter::Other);
            return;
        }
    }

    let (tgid, tid, host_ids) = task::ids();
    let kthread = if task.flags() & task::PF_KTHREAD != 0 {
        flags::KTHREAD
    } else {
        0
    };
    let idle_cpu = if tid == 0 { cpu } else { 0 };
    let mut key = Key {
        stack: 0,
        comm,
        tgid,
        tid,
        flags: kthread | host_ids,
        idle_cpu,
    };
    // The maps differ, so the verifier sees each epoch's path once.
    let stack = if epoch == 0 {
        stack::take::<EpochA>(ctx, has_regs)
    } else {
        stack::take::<EpochB>(ctx, has_regs)
    };
    let mut spilled = false;
    match stack {
        Stack::Id(id) => key.stack = id,
        Stack::User => key.flags |= flags::USER,
        Stack::Spilled(hash) => {
            key.stack = hash;
            key.flags |= flags::SPILLED;
            spilled = true;
        }
        Stack::Lost(why) => {
            lose(rare, cpu, why);
            return;
        }
    }
    let ended = if count::in_table(table, epoch, &key) {
        Counter::Counted
    } else {
        log::overflowed(cpu, tid);
        if epoch == 0 {
            count::in_overflow::<EpochA>(&key)
        } else {
            count::in_overflow::<EpochB>(&key)
        }
    };
    if ended as u32 == Counter::Counted as u32 {
        counters.counted += 1;
        if spilled {
            rare.spilled += 1;
        }
    } else {
        lose(rare, cpu, ended);
    }
}

#[inline(always)]
fn lose(rare: &mut RareCounters, cpu: u32, why: Counter) {
    log::lost(cpu, why);
    if let Some(lost) = rare.lost.get_mut(why.lost_index()) {
        *lost += 1;
    }
}
