//! `ksoftirqd`: a flood of small packets, received on the CPU next to the sender's.

use std::thread;

use anyhow::{Context, Result, anyhow};

use super::run::Run;
use super::steered::Steered;
use super::{cpu, proc};

pub(super) fn run(run: &Run) -> Result<String> {
    let (sending, receiving) = cpu::pair()?;
    let path = Steered::to_cpu(receiving)?;
    let (thread, pid) = receiver(receiving)?;
    let before = proc::cpu_time(pid)?;
    eprintln!(
        "load ksoftirqd: flooding CPU {receiving} with small packets from CPU {sending}; \
         watch {thread}: cargo xtask run -- --comm {thread} -d 5"
    );
    let sent = thread::scope(|scope| {
        scope
            .spawn(|| flood(run, &path, sending))
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the sending thread panicked")))
    })?;
    let burned = proc::cpu_time(pid)?.total() - before.total();
    Ok(format!(
        "ksoftirqd: packets_sent={sent} packets_delivered={} thread={thread} thread_cpu_ms={} thread_cpu_percent={:.1}",
        path.delivered()?,
        burned.as_millis(),
        proc::percent(burned, run.elapsed()),
    ))
}

/// The kernel thread that does the receive work of a CPU: ksoftirqd, or a thread of its own where packets that other
/// CPUs put on its backlog have one, as with PREEMPT_RT from 6.10 on (`backlog_napi_setup` in net/core/dev.c).
fn receiver(cpu: usize) -> Result<(String, u32)> {
    let own = format!("backlog_napi/{cpu}");
    if let Ok(pid) = proc::kernel_thread(&own) {
        return Ok((own, pid));
    }
    let softirqs = format!("ksoftirqd/{cpu}");
    let pid = proc::kernel_thread(&softirqs)?;
    Ok((softirqs, pid))
}

/// Sends until the run is over; returns how many packets were sent.
fn flood(run: &Run, path: &Steered, cpu: usize) -> Result<u64> {
    rustix::thread::set_name(c"kprof-flood").context("name the sending thread")?;
    cpu::pin(cpu)?;
    let mut sent = 0;
    while !run.over() {
        sent += path.send()?;
        if sent > 0 {
            run.working(0, 1);
        }
    }
    Ok(sent)
}
