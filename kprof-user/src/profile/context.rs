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

/// Functions that run soft interrupts. `__do_softirq` until Linux 6.8, `handle_softirqs` since
/// (kernel/softirq.c); the second is inlined into the first on some builds.
const SOFTIRQ: &[&str] = &[
    "__do_softirq",
    "handle_softirqs",
    "__softirqentry_text_start",
    "run_timer_softirq",
    "net_rx_action",
    "net_tx_action",
];

/// Functions through which hard interrupts enter (arch/x86/entry, arch/arm64/kernel/entry-common.c,
/// kernel/irq, kernel/time/hrtimer.c, kernel/smp.c).
const HARDIRQ: &[&str] = &[
    "common_interrupt",
    "__common_interrupt",
    "do_IRQ",
    "handle_irq_event",
    "__handle_irq_event_percpu",
    "hrtimer_interrupt",
    "el1_interrupt",
    "el0_interrupt",
    "gic_handle_irq",
    "generic_handle_arch_irq",
    "flush_smp_call_function_queue",
    "__flush_smp_call_function_queue",
    "irq_work_run",
];

/// Prefixes of x86's system vectors, which are hard interrupts too.
const HARDIRQ_PREFIXES: &[&str] = &[
    "sysvec_",
    "__sysvec_",
    "asm_sysvec_",
    "smp_apic_timer_interrupt",
    "smp_call_function",
];

/// Exceptions of x86 that are entered through a `sysvec_`-like stub but are no interrupts are not in
/// the lists above, so that a page fault stays task work.
///
/// `functions` runs from the innermost frame outwards; the innermost marker wins, since an interrupt
/// may land on a soft interrupt and the other way round. `idle_task` is thread id 0.
pub fn classify<'a>(functions: impl Iterator<Item = &'a str>, idle_task: bool) -> Context {
    for function in functions {
        if SOFTIRQ.contains(&function) {
            return Context::Softirq;
        }
        if HARDIRQ.contains(&function) || HARDIRQ_PREFIXES.iter().any(|p| function.starts_with(p)) {
            return Context::Hardirq;
        }
    }
    if idle_task {
        Context::Idle
    } else {
        Context::Task
    }
}
