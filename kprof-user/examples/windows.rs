//! Prints the accounting of short windows: `windows [COUNT] [MILLIS] [HZ] [BUCKETS]`.

use std::time::{Duration, Instant};

use kprof::capture::{Capture, Filters, Request};
use kprof::kernel::comm::Patterns;
use kprof::kernel::event::Event;
use kprof::kernel::sampling::Sampling;
use kprof::profile::Accounting;

fn main() -> anyhow::Result<()> {
    let arg = |n: usize, default: u64| {
        std::env::args()
            .nth(n)
            .and_then(|a| a.parse().ok())
            .unwrap_or(default)
    };
    let (count, millis, hz, buckets) = (arg(1, 200), arg(2, 50), arg(3, 4999), arg(4, 0));
    let comm = std::env::var("COMM").ok();
    let request = Request {
        event: Event::parse(&std::env::var("EVENT").unwrap_or("cpu-clock".into()))?,
        sampling: Sampling::Frequency(hz),
        cpus: None,
        filters: Filters {
            comm: comm.map(|c| Patterns::parse(&[c])).transpose()?,
            kthreads: std::env::var_os("KTHREADS").is_some(),
            cgroups: std::env::var_os("CGROUP")
                .map(|p| vec![p.into()])
                .unwrap_or_default(),
            ..Filters::default()
        },
        window: Duration::from_millis(millis),
        max_stacks: (buckets > 0).then_some(buckets as u32),
    };
    let begin = Instant::now();
    let mut capture = Capture::start(&request)?;
    println!(
        "start {:?}, age {:?} ms",
        begin.elapsed(),
        capture.first_sample_ns() / 1_000_000
    );
    let mut total = Accounting::default();
    let (mut inexact, mut longest) = (0, Duration::ZERO);
    let mut last = None;
    for n in 0..count {
        std::thread::sleep(Duration::from_millis(millis));
        let begin = Instant::now();
        let window = capture.drain()?;
        longest = longest.max(begin.elapsed());
        let sum: u64 = window.samples.iter().map(|s| s.count).sum();
        if sum != window.accounting.counted || !window.accounting.adds_up() {
            inexact += 1;
        }
        if n < 3 {
            println!(
                "{:?} {} keys, drained in {:?}",
                window.accounting,
                window.samples.len(),
                begin.elapsed()
            );
        }
        total.merge(&window.accounting);
        last = Some(window);
    }
    let window = capture.finish()?;
    let sum: u64 = window.samples.iter().map(|s| s.count).sum();
    if sum != window.accounting.counted || !window.accounting.adds_up() {
        inexact += 1;
    }
    total.merge(&window.accounting);
    println!(
        "TOTAL {total:?}\nCPUs {:?}, inexact windows {inexact}, longest drain {longest:?}, skipped {:?}",
        window.cpus,
        total.skipped()
    );
    if let (Some(time), Some(runs)) = (total.bpf_run_time_ns, total.bpf_run_count) {
        println!("{} ns a run", time / runs.max(1));
    }
    for sample in last.iter().flat_map(|w| w.samples.iter().take(4)) {
        let comm: Vec<u8> = sample
            .key
            .comm
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .collect();
        println!(
            "{:?} {} {:x?} {}",
            String::from_utf8_lossy(&comm),
            sample.key.tid,
            &sample.stack[..sample.stack.len().min(3)],
            sample.count
        );
    }
    Ok(())
}
