//! `softirq-idle`: short packet bursts from a mostly sleeping sender to a CPU with nothing else to do.
//!
//! Each burst is received in softirq context on that CPU's idle task, and is over too soon for
//! ksoftirqd to be woken. A profiler that drops the idle task's samples sees nothing of it.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::run::Run;
use super::steered::{Steered, TRAIN};
use super::{cpu, proc};

/// Trains of packets in one burst.
const TRAINS: u64 = 4;
/// Sleep between bursts.
const PAUSE: Duration = Duration::from_micros(400);

pub(super) fn run(run: &Run) -> Result<String> {
    let (sending, receiving) = cpu::pair()?;
    let path = Steered::to_cpu(receiving)?;
    let ksoftirqd = proc::kernel_thread(&format!("ksoftirqd/{receiving}"))?;
    let burned_before = proc::cpu_time(ksoftirqd)?;
    let softirqs_before = net_rx(receiving)?;
    eprintln!(
        "load softirq-idle: bursts of {} packets to CPU {receiving}, from a sleeping thread on CPU {sending}; \
         watch the idle task swapper/{receiving}: cargo xtask run -- --cpu {receiving} -d 5",
        TRAINS * TRAIN as u64
    );
    let sent = thread::scope(|scope| {
        scope
            .spawn(|| bursts(run, &path, sending))
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the sending thread panicked")))
    })?;
    let burned = proc::cpu_time(ksoftirqd)?.total() - burned_before.total();
    Ok(format!(
        "softirq-idle: packets_sent={sent} packets_delivered={} cpu={receiving} net_rx_softirqs={} ksoftirqd_cpu_ms={}",
        path.delivered()?,
        net_rx(receiving)? - softirqs_before,
        burned.as_millis(),
    ))
}

fn bursts(run: &Run, path: &Steered, cpu: usize) -> Result<u64> {
    rustix::thread::set_name(c"kprof-bursts").context("name the sending thread")?;
    cpu::pin(cpu)?;
    let mut sent = 0;
    while !run.over() {
        for _ in 0..TRAINS {
            sent += path.send()?;
        }
        if sent > 0 {
            run.working(0, 1);
        }
        thread::sleep(PAUSE);
    }
    Ok(sent)
}

/// NET_RX softirqs raised on `cpu` so far.
fn net_rx(cpu: usize) -> Result<u64> {
    let table = fs::read_to_string("/proc/softirqs").context("read /proc/softirqs")?;
    counter(&table, "NET_RX", cpu)
        .with_context(|| format!("find NET_RX of CPU {cpu} in /proc/softirqs"))
}

/// One count of `/proc/softirqs`: a heading of CPU names, then a line of counts for each softirq.
fn counter(table: &str, softirq: &str, cpu: usize) -> Option<u64> {
    let column = table
        .lines()
        .next()?
        .split_whitespace()
        .position(|name| name == format!("CPU{cpu}"))?;
    let (_, counts) = table
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == softirq)?;
    counts.split_whitespace().nth(column)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::counter;

    #[test]
    fn softirqs_are_found_by_cpu_name() {
        let table = "       CPU0  CPU2\n  NET_TX:  1  2\n  NET_RX:  30  40\n TASKLET: 5 6\n";
        assert_eq!(counter(table, "NET_RX", 0), Some(30));
        assert_eq!(counter(table, "NET_RX", 2), Some(40));
        assert_eq!(counter(table, "NET_RX", 1), None);
        assert_eq!(counter(table, "RCU", 0), None);
    }
}
