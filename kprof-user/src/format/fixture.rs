//! One realistic profile for all tests of the formats: five seconds of a packet flood on two CPUs.

use super::folded;
use crate::profile::{
    Accounting, Context, Frame, FrameId, Meta, Profile, Sample, Show, Thread, Unit, UnknownReason,
};

/// Everything that can be shown.
pub(super) const ALL: Show = Show {
    idle: true,
    user: true,
    addresses: false,
    threads: true,
};

pub(super) fn meta() -> Meta {
    Meta {
        event: "cpu-clock".into(),
        timer_driven: true,
        unit: Unit::Samples,
        frequency_hz: Some(99),
        period: None,
        cpus: vec![0, 1],
        changed_cpus: Vec::new(),
        start_unix_ns: 1_700_000_000_000_000_000,
        duration_ns: 5_000_000_000,
        filters: String::new(),
        kernel: "6.18.5".into(),
        accounting: Accounting {
            seen: 987,
            counted: 984,
            filtered: 0,
            lost: [("counts_busy".to_owned(), 1), ("counts_full".to_owned(), 2)].into(),
            expected: Some(989),
            spilled: 12,
            windows: 5,
            late_ns: 310_000_000,
            bpf_run_time_ns: Some(3_355_800),
            bpf_run_count: Some(987),
            user_cpu_ns: 45_000_000,
        },
    }
}

const KSOFTIRQD: &str = "ret_from_fork_asm;ret_from_fork;kthread;smpboot_thread_fn;run_ksoftirqd;\
                         handle_softirqs;net_rx_action;__napi_poll;process_backlog;";
const RECEIVE: &str = "__netif_receive_skb_one_core;ip_rcv;";
const SYSCALL: &str = "entry_SYSCALL_64_after_hwframe;do_syscall_64;__x64_sys_sendto;__sys_sendto;\
                       udp_sendmsg;udp_send_skb;ip_send_skb;ip_finish_output2;__dev_queue_xmit;";
const IDLE: &str = "secondary_startup_64_no_verify;start_secondary;cpu_startup_entry;do_idle;\
                    cpuidle_idle_call;default_idle_call;";

pub(super) fn profile() -> Profile {
    let mut profile = Profile::new(meta());
    let thread = |tgid, tid, comm: &str, kthread| Thread {
        tgid,
        tid,
        comm: comm.to_owned(),
        kthread,
        host_ids: false,
    };
    let ksoftirqd = thread(21, 21, "ksoftirqd/1", true);
    let flood = thread(4001, 4001, "flood", false);
    let odd = thread(4001, 4007, "odd; name 1", false);
    let kworker = thread(77, 77, "kworker/u8:2", true);
    let swapper = thread(0, 0, "swapper/1", true);
    let mut put = |thread: &Thread, context, stack: &str, count| {
        add(&mut profile, thread, context, stack, count);
    };
    use Context::{Hardirq, Idle, Softirq, Task, User};
    for (tail, count) in [
        (
            "nf_hook_slow;nf_conntrack_in [nf_conntrack];resolve_normal_ct [nf_conntrack]",
            61,
        ),
        ("nf_hook_slow;nf_conntrack_in [nf_conntrack]", 44),
        (
            "ip_local_deliver_finish;udp_queue_rcv_one_skb;_raw_spin_unlock_irqrestore",
            90,
        ),
        (
            "ip_local_deliver_finish;udp_queue_rcv_one_skb;sock_def_readable",
            17,
        ),
        ("ip_local_deliver_finish;__udp4_lib_lookup", 33),
    ] {
        put(
            &ksoftirqd,
            Softirq,
            &format!("{KSOFTIRQD}{RECEIVE}{tail}"),
            count,
        );
    }
    put(
        &ksoftirqd,
        Softirq,
        &format!("{KSOFTIRQD}kmem_cache_free"),
        28,
    );
    put(
        &ksoftirqd,
        Softirq,
        &format!("{KSOFTIRQD}bpf_prog_6deef7357e7b4530_count [bpf]"),
        9,
    );
    put(
        &ksoftirqd,
        Task,
        "ret_from_fork_asm;ret_from_fork;kthread;smpboot_thread_fn;schedule",
        3,
    );
    put(
        &flood,
        Task,
        &format!("{SYSCALL}dev_hard_start_xmit;veth_xmit [veth]"),
        122,
    );
    put(
        &flood,
        Task,
        &format!("{SYSCALL}dev_hard_start_xmit;veth_xmit [veth];__netif_rx"),
        31,
    );
    put(&flood, Task, &format!("{SYSCALL}_raw_spin_lock"), 25);
    put(
        &flood,
        Task,
        "entry_SYSCALL_64_after_hwframe;do_syscall_64",
        64,
    );
    put(
        &flood,
        Hardirq,
        "asm_sysvec_call_function_single;__sysvec_call_function_single",
        6,
    );
    put(&flood, User, "", 118);
    put(
        &odd,
        Task,
        "entry_SYSCALL_64_after_hwframe;do_syscall_64;[unknown]",
        8,
    );
    put(&odd, Task, "", 1);
    put(
        &kworker,
        Task,
        "ret_from_fork_asm;ret_from_fork;kthread;worker_thread;process_one_work;wb_workfn;\
         wb_do_writeback fs/fs-writeback.c:2266;wb_writeback fs/fs-writeback.c:2102 (inlined)",
        14,
    );
    put(&swapper, Idle, &format!("{IDLE}pv_native_safe_halt"), 297);
    put(
        &swapper,
        Softirq,
        &format!("{IDLE}asm_sysvec_apic_timer_interrupt;handle_softirqs"),
        13,
    );
    profile
}

/// A capture with source lines, whose paths and one name are longer than a report is wide. What ends its
/// samples is inlined into a function that turns interrupts on.
pub(super) fn with_lines() -> Profile {
    let mut profile = Profile::new(meta());
    let dd = Thread {
        tgid: 181,
        tid: 181,
        comm: "dd".into(),
        kthread: false,
        host_ids: false,
    };
    let deep = "drivers/net/ethernet/a_vendor_of_cards/a_family_of_cards/the_core_of_it/rx";
    let name = "a_function_whose_name_is_by_itself_longer_than_what_is_left_of_a_line_in_a_report_of_people";
    let begin = "entry_SYSCALL_64_after_hwframe arch/x86/entry/entry_64.S:121;\
                 do_syscall_64 arch/x86/entry/common.c:78;\
                 do_syscall_x64 arch/x86/entry/common.c:47 (inlined);\
                 ksys_write fs/read_write.c:736;vfs_write fs/read_write.c:683";
    for (end, count) in [
        (
            format!("poll_ring [cards] {deep}/ring_of_buffers.c:1024"),
            40,
        ),
        (format!("{name} {deep}/ring_of_buffers.c:77 (inlined)"), 30),
        (
            "_raw_spin_unlock_irqrestore kernel/locking/spinlock.c:194;\
             __preempt_count_dec_and_test arch/x86/include/asm/preempt.h:94 (inlined)"
                .to_owned(),
            20,
        ),
    ] {
        let stack = format!("{begin};{end}");
        add(&mut profile, &dd, Context::Task, &stack, count);
    }
    profile
}

/// Adds a stack that is written as labels; `[unknown]` is a frame with an address of its own.
fn add(profile: &mut Profile, thread: &Thread, context: Context, stack: &str, count: u64) {
    let frames: Vec<FrameId> = stack
        .split(';')
        .filter(|label| !label.is_empty())
        .map(|label| match label {
            "[unknown]" => Frame::Unknown {
                address: 0xffff_ffff_c012_3456,
                reason: UnknownReason::OutsideSymbols,
            },
            label => folded::frame(label),
        })
        .map(|frame| profile.intern_frame(frame))
        .collect();
    let stack = profile.intern_stack(&frames);
    let thread = profile.intern_thread(thread.clone());
    profile.add(
        Sample {
            thread,
            stack,
            context,
        },
        count,
    );
}

/// A capture in which nothing matched.
pub(super) fn nothing() -> Profile {
    Profile::new(Meta {
        filters: "--comm ksoftirqd".into(),
        accounting: Accounting {
            seen: 990,
            filtered: 990,
            expected: Some(990),
            windows: 1,
            bpf_run_time_ns: Some(99_000),
            bpf_run_count: Some(990),
            user_cpu_ns: 20_000_000,
            ..Accounting::default()
        },
        ..meta()
    })
}

/// What the caller might say about [`nothing`].
pub(super) const NOTHING: &str = "Threads named `ksoftirqd`: 2, which used 0 ms of CPU meanwhile. They were idle; try a longer -d.";
