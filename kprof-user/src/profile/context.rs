//! What a CPU was doing when a sample was taken, told from the stack.

/// The kind of work a sample belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Context {
    /// A thread's own kernel work: system calls, faults, kernel threads.
    Task,
    /// A soft interrupt, on whichever thread it landed, `ksoftirqd` among them.
    Softirq,
    /// A hard interrupt.
    Hardirq,
    /// The idle loop, doing nothing.
    Idle,
    /// User mode: the CPU was not in the kernel.
    User,
}

impl Context {
    /// All contexts, in the order in which reports list them.
    pub const ALL: [Context; 5] = [
        Context::Task,
        Context::Softirq,
        Context::Hardirq,
        Context::Idle,
        Context::User,
    ];

    /// The word for it in every output.
    pub fn name(self) -> &'static str {
        match self {
            Context::Task => "task",
            Context::Softirq => "softirq",
            Context::Hardirq => "hardirq",
            Context::Idle => "idle",
            Context::User => "user",
        }
    }
}

/// What a function tells about the context of the functions it calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// They run as a soft interrupt.
    Softirq,
    /// They run as a hard interrupt.
    Hardirq,
    /// The interrupt's work is over; they run for the interrupted thread, although the interrupt's
    /// entry is still on the stack: preemption, signals, task work.
    Thread,
    /// The idle loop itself: on an idle task nothing lies between it and what called it.
    IdleLoop,
}

/// Functions of the idle loop (kernel/sched/idle.c, drivers/cpuidle/cpuidle.c).
const IDLE_LOOP: &[&str] = &[
    "do_idle",
    "cpuidle_idle_call",
    "default_idle_call",
    "cpuidle_enter_state",
];

/// Functions whose callees run as soft interrupts (kernel/softirq.c).
const SOFTIRQ: &[&str] = &[
    // Since Linux 6.9. Called by `run_ksoftirqd` and by `__do_softirq`.
    "handle_softirqs",
    // All of it until Linux 6.8.
    "__do_softirq",
    // The section's first function is `__do_softirq`, and other tools may give it this name.
    "__softirqentry_text_start",
    // Handlers, for stacks that are cut off before their caller (net/core/dev.c, kernel/time/timer.c).
    "net_rx_action",
    "net_tx_action",
    "run_timer_softirq",
];

/// Functions whose callees run as hard interrupts.
const HARDIRQ: &[&str] = &[
    // x86: arch/x86/entry/entry_64.S, arch/x86/kernel/irq.c. The entry of the vectors of devices.
    "asm_common_interrupt",
    "common_interrupt",
    "__common_interrupt",
    "asm_spurious_interrupt",
    "spurious_interrupt",
    // x86 with FRED, since Linux 6.9: arch/x86/entry/entry_fred.c.
    "fred_extint",
    // x86: arch/x86/kernel/nmi.c.
    "exc_nmi",
    // x86 under Xen: arch/x86/entry/common.c, drivers/xen/events/events_base.c.
    "asm_exc_xen_hypervisor_callback",
    "xen_evtchn_do_upcall",
    // arm64: arch/arm64/kernel/entry-common.c, since Linux 5.13.
    "el1_interrupt",
    "el0_interrupt",
    "do_interrupt_handler",
    "__el1_pnmi",
    // arm64: arch/arm64/kernel/entry.S, until Linux 5.12.
    "el1_irq",
    "el0_irq",
    "el0_irq_compat",
    // arm64: drivers/irqchip.
    "gic_handle_irq",
    // riscv: arch/riscv/kernel/traps.c; loongarch, csky: kernel/irq/handle.c.
    "do_irq",
    "handle_riscv_irq",
    "generic_handle_arch_irq",
    // All architectures: kernel/irq/irqdesc.c, kernel/irq/handle.c.
    "__handle_domain_irq",
    "handle_domain_irq",
    "generic_handle_domain_irq",
    "handle_irq_desc",
    "handle_irq_event",
    "handle_irq_event_percpu",
    "__handle_irq_event_percpu",
    // kernel/time/hrtimer.c: the timer's interrupt.
    "hrtimer_interrupt",
    // kernel/smp.c, kernel/irq_work.c: what another CPU asked for. The idle loop runs it as well.
    "__flush_smp_call_function_queue",
    "flush_smp_call_function_queue",
    "generic_smp_call_function_single_interrupt",
    "irq_work_run",
    // kernel/softirq.c: the end of a hard interrupt. A soft interrupt called from here has its own marker.
    "irq_exit_rcu",
    "__irq_exit_rcu",
    "irq_exit",
];

/// Beginnings of the names of x86's system vectors (arch/x86/include/asm/idtentry.h): timer, calls from
/// other CPUs, posted interrupts. Exceptions are `exc_` and `asm_exc_`, so a page fault isn't among them.
const HARDIRQ_PREFIXES: &[&str] = &["sysvec_", "__sysvec_", "asm_sysvec_", "fred_sysvec_"];

/// Functions that are called when an interrupt returns, and whose callees run for the thread.
const THREAD: &[&str] = &[
    // kernel/sched/core.c: the thread is preempted. Never under a hard interrupt's own work.
    "preempt_schedule_irq",
    // kernel/entry/common.c: back to user mode.
    "irqentry_exit_to_user_mode",
    "exit_to_user_mode_loop",
    "exit_to_user_mode_prepare",
    // arm64: arch/arm64/kernel/entry-common.c, signal.c.
    "arm64_preempt_schedule_irq",
    "do_notify_resume",
];

/// What a function's name tells, if anything. Parts that the compiler split off (`.part.0`, `.cold`)
/// tell what the whole does.
pub fn marker(function: &str) -> Option<Marker> {
    let function = function
        .split_once('.')
        .map_or(function, |(whole, _)| whole);
    if SOFTIRQ.contains(&function) {
        Some(Marker::Softirq)
    } else if HARDIRQ.contains(&function)
        || HARDIRQ_PREFIXES
            .iter()
            .any(|prefix| function.starts_with(prefix))
    {
        Some(Marker::Hardirq)
    } else if THREAD.contains(&function) {
        Some(Marker::Thread)
    } else if IDLE_LOOP.contains(&function) {
        Some(Marker::IdleLoop)
    } else {
        None
    }
}

/// The context of a sample in kernel mode.
///
/// `functions` runs from the innermost frame outwards. The innermost marker wins, since a hard
/// interrupt may land on a soft one, and a soft one starts where a hard one ends. `idle_task` is thread
/// id 0.
pub fn classify<'a>(functions: impl Iterator<Item = &'a str>, idle_task: bool) -> Context {
    classify_markers(functions.filter_map(marker), idle_task)
}

/// As [`classify`], from the markers of a stack's frames, innermost first.
pub fn classify_markers(markers: impl Iterator<Item = Marker>, idle_task: bool) -> Context {
    let mut returned = false;
    for marker in markers {
        match marker {
            Marker::Softirq => return Context::Softirq,
            Marker::Hardirq if !returned => return Context::Hardirq,
            // The entry of the interrupt that has returned. With PREEMPT_RT a soft interrupt may be
            // what it preempted.
            Marker::Hardirq => {}
            Marker::Thread => returned = true,
            Marker::IdleLoop => {}
        }
    }
    if idle_task {
        Context::Idle
    } else {
        Context::Task
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stacks are written as profilers print them: outermost first.
    fn context(stack: &str, idle_task: bool) -> Context {
        classify(stack.split(';').rev(), idle_task)
    }

    #[test]
    fn soft_interrupts_in_ksoftirqd_on_idle_and_in_a_system_call() {
        let ksoftirqd = "ret_from_fork_asm;ret_from_fork;kthread;smpboot_thread_fn;run_ksoftirqd;\
                         handle_softirqs;net_rx_action;__napi_poll;process_backlog;ip_rcv";
        assert_eq!(context(ksoftirqd, false), Context::Softirq);
        let idle = "secondary_startup_64_no_verify;start_secondary;cpu_startup_entry;do_idle;\
                    default_idle_call;default_idle;pv_native_safe_halt;asm_sysvec_call_function_single;\
                    sysvec_call_function_single;irq_exit_rcu;handle_softirqs;net_rx_action";
        assert_eq!(context(idle, true), Context::Softirq);
        let send = "entry_SYSCALL_64_after_hwframe;do_syscall_64;__x64_sys_sendto;udp_sendmsg;\
                    ip_finish_output2;__local_bh_enable_ip;do_softirq.part.0;__do_softirq;net_rx_action";
        assert_eq!(context(send, false), Context::Softirq);
        assert_eq!(
            context("smpboot_thread_fn;run_ksoftirqd;schedule", false),
            Context::Task
        );
    }

    #[test]
    fn idle_is_the_idle_task_without_an_interrupt() {
        let deep = "start_secondary;cpu_startup_entry;do_idle;cpuidle_idle_call;call_cpuidle;\
                    cpuidle_enter;cpuidle_enter_state;intel_idle";
        assert_eq!(context(deep, true), Context::Idle);
        let arm64 = "__secondary_switched;secondary_start_kernel;cpu_startup_entry;do_idle;\
                     default_idle_call;arch_cpu_idle";
        assert_eq!(context(arm64, true), Context::Idle);
        assert_eq!(context("", true), Context::Idle);
        assert_eq!(context("", false), Context::Task);
    }

    #[test]
    fn hard_interrupts_on_idle_on_tasks_and_on_soft_interrupts() {
        let idle = "do_idle;default_idle_call;default_idle;asm_common_interrupt;common_interrupt;\
                    __common_interrupt;handle_edge_irq;handle_irq_event;vring_interrupt";
        assert_eq!(context(idle, true), Context::Hardirq);
        let timer = "do_syscall_64;asm_sysvec_apic_timer_interrupt;sysvec_apic_timer_interrupt;\
                     __sysvec_apic_timer_interrupt;hrtimer_interrupt;tick_nohz_handler";
        assert_eq!(context(timer, false), Context::Hardirq);
        let nested = "kthread;run_ksoftirqd;handle_softirqs;net_rx_action;asm_common_interrupt;\
                      common_interrupt;__common_interrupt.cold";
        assert_eq!(context(nested, false), Context::Hardirq);
        let arm64 = "do_idle;default_idle_call;arch_cpu_idle;el1h_64_irq;el1h_64_irq_handler;\
                     el1_interrupt;do_interrupt_handler;call_on_irq_stack;gic_handle_irq;\
                     generic_handle_domain_irq;handle_percpu_devid_irq;arch_timer_handler_virt";
        assert_eq!(context(arm64, true), Context::Hardirq);
        let fred = "do_syscall_64;asm_fred_entrypoint_kernel;fred_entry_from_kernel;fred_extint;\
                    fred_sysvec_apic_timer_interrupt";
        assert_eq!(context(fred, false), Context::Hardirq);
    }

    #[test]
    fn exceptions_and_calls_to_other_cpus_are_a_tasks_own_work() {
        let fault = "asm_exc_page_fault;exc_page_fault;do_user_addr_fault;handle_mm_fault";
        assert_eq!(context(fault, false), Context::Task);
        let flush = "do_syscall_64;__x64_sys_munmap;flush_tlb_mm_range;on_each_cpu_cond_mask;\
                     smp_call_function_many_cond";
        assert_eq!(context(flush, false), Context::Task);
        let threaded = "ret_from_fork_asm;kthread;irq_thread;irq_thread_fn;nvme_irq";
        assert_eq!(context(threaded, false), Context::Task);
    }

    #[test]
    fn what_follows_an_interrupt_is_the_threads_work() {
        let preempted = "do_syscall_64;vfs_read;asm_sysvec_apic_timer_interrupt;\
                         sysvec_apic_timer_interrupt;irqentry_exit;raw_irqentry_exit_cond_resched;\
                         preempt_schedule_irq;__schedule;finish_task_switch";
        assert_eq!(context(preempted, false), Context::Task);
        let signal = "asm_sysvec_apic_timer_interrupt;sysvec_apic_timer_interrupt;irqentry_exit;\
                      irqentry_exit_to_user_mode;exit_to_user_mode_loop;arch_do_signal_or_restart";
        assert_eq!(context(signal, false), Context::Task);
        let arm64 = "el0t_64_irq;el0t_64_irq_handler;el0_interrupt;do_notify_resume;schedule";
        assert_eq!(context(arm64, false), Context::Task);
        // An interrupt that comes while the thread is being preempted.
        let again = format!("{preempted};asm_common_interrupt;common_interrupt");
        assert_eq!(context(&again, false), Context::Hardirq);
        let realtime = "run_ksoftirqd;handle_softirqs;net_rx_action;asm_sysvec_apic_timer_interrupt;\
                        sysvec_apic_timer_interrupt;irqentry_exit;preempt_schedule_irq;__schedule";
        assert_eq!(context(realtime, false), Context::Softirq);
    }
}
