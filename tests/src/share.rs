//! A thread's share of a CPU, as kprof counts it and as `/proc` does.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::burn::Burner;
use crate::folded::{self, Line};
use crate::{json, kprof, signal, wait, wait_for_samples};

/// How far the two may be apart, percent of a CPU.
const TOLERANCE: f64 = 3.0;

/// Samples a thread by its id for some time, and panics unless kprof and `/proc` agree on its share of a CPU. Yields
/// what was sampled.
pub fn check(burner: &Burner, time: Duration, flags: &[&str]) -> Vec<Line> {
    let folder = tempfile::tempdir().expect("a folder for outputs");
    let (file, stats) = (
        folder.path().join("k.folded"),
        folder.path().join("k.stats"),
    );
    let mut command = kprof();
    command.args(["--tid", &burner.tid().to_string()]);
    command
        .args(["--show-user", "-F", "999", "-d", "60", "-q"])
        .args(flags);
    command.arg("-o").arg(&file).arg("--stats").arg(&stats);
    let mut child = command.stdout(Stdio::null()).spawn().expect("run kprof");
    // Both clocks run over the capture alone, not over kprof's start and end, which take their time from the thread.
    wait_for_samples(&mut child, 1);
    let (cpu, wall) = (burner.cpu_time(), Instant::now());
    std::thread::sleep(time);
    let burned = (burner.cpu_time() - cpu).as_secs_f64() / wall.elapsed().as_secs_f64() * 100.0;
    signal(&child, libc::SIGINT);
    assert_eq!(wait(&mut child, Duration::from_secs(20)), Some(0));
    let lines = folded::parse(&std::fs::read_to_string(&file).expect("read the stacks"));
    let stats = json(&stats);
    let n = |field: &str| stats[field].as_u64().expect(field) as f64;
    let percent = |samples: f64| samples / 999.0 / (n("duration_ns") / 1e9) * 100.0;
    let sampled = percent(folded::total(&lines) as f64);
    // Samples that the kernel skipped may all have been this thread's.
    let missed = percent(n("expected") - n("seen").min(n("expected")));
    assert!(
        (burned - missed - TOLERANCE..=burned + TOLERANCE).contains(&sampled),
        "kprof says {sampled:.1} % of a CPU and may have missed {missed:.1} %, /proc says {burned:.1} %; {stats}"
    );
    eprintln!("kprof says {sampled:.2} % of a CPU, /proc says {burned:.2} %");
    lines
}
