//! `ksoftirqd`: a flood of small packets, received on the CPU next to the sender's.

use std::io::IoSlice;
use std::thread;

use anyhow::{Context, Result, anyhow};
use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};

use super::run::Run;
use super::steered::Steered;
use super::{cpu, proc};

/// Packets handed to the kernel by one system call.
const BATCH: usize = 64;
const PAYLOAD: [u8; 18] = [0x6b; 18];

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
    let payload = [IoSlice::new(&PAYLOAD)];
    let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> =
        (0..BATCH).map(|_| SendAncillaryBuffer::default()).collect();
    let mut batch: Vec<MMsgHdr<'_>> = controls
        .iter_mut()
        .map(|control| MMsgHdr::new(&payload, control))
        .collect();
    let mut sent = 0;
    while !run.over() {
        match sendmmsg(&path.sender, &mut batch, SendFlags::empty()) {
            Ok(count) => sent += count as u64,
            // A full queue or a signal: go on.
            Err(Errno::NOBUFS | Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(errno).context("send packets to the receiving namespace"),
        }
    }
    Ok(sent)
}
