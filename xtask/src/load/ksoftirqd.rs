//! `ksoftirqd`: a flood of small packets, received on the CPU next to the sender's.

use std::thread;

use anyhow::{Context, Result, anyhow};

use super::run::Run;
use super::steered::Steered;
use super::{cpu, proc};

pub(super) fn run(run: &Run) -> Result<String> {
    let (sending, receiving) = cpu::pair()?;
    let path = Steered::to_cpu(receiving)?;
    let thread = format!("ksoftirqd/{receiving}");
    let pid = proc::kernel_thread(&thread)?;
    let before = proc::cpu_time(pid)?;
    eprintln!(
        "load ksoftirqd: flooding CPU {receiving} with small packets from CPU {sending}; \
         watch {thread}: cargo xtask run -- --comm ksoftirqd -d 5"
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
