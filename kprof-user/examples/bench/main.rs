//! What profilers cost on the load that runs now: `bench [KPROF [WORDS]]`, started by `cargo xtask bench`.
//!
//! In each round two programs of our own sample at the same rate beside the profiler, on events of their own: an
//! empty one, and one that only calls `bpf_get_stackid`. A case's figure is the profiler's time a sample over
//! theirs, since times of different rounds can't be compared on a machine that others use as well. Which event
//! comes first after an interrupt's cold start is a matter of chance, so each case has several rounds.

#![expect(clippy::print_stdout, reason = "prints a table")]

mod bare;
mod tool;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use bare::Bare;
use kprof::kernel::bpf_syscall;
use tool::{Cost, Run};

/// Seconds of one round.
const SECONDS: u64 = 10;

/// One line of the table.
struct Case {
    name: String,
    hz: u64,
    rounds: u32,
    command: Box<dyn Fn() -> Command>,
}

fn main() -> Result<()> {
    let kprof = std::env::args_os().nth(1).unwrap_or("kprof".into());
    let only = std::env::args().nth(2).unwrap_or_default();
    let _stats = bpf_syscall::enable_run_time_stats()
        .context("cannot have the kernel measure BPF programs: needs CAP_SYS_ADMIN")?;
    let bare = Bare::load()?;
    println!(
        "{:<34} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7}",
        "",
        "samples",
        "ns each",
        "stackid",
        "x bare",
        "x least",
        "x most",
        "x empty",
        "CPU s",
        "MB"
    );
    for case in cases(Path::new(&kprof)) {
        if case.name.contains(&only)
            && let Err(error) = measure(&case, &bare)
        {
            println!("{:<34} failed: {error:#}", case.name);
        }
    }
    Ok(())
}

fn measure(case: &Case, bare: &Bare) -> Result<()> {
    let (mut own, mut empty, mut stackid) = (Cost::default(), Cost::default(), Cost::default());
    let (mut least, mut most) = (f64::MAX, 0f64);
    let mut runs: Vec<Run> = Vec::new();
    for _ in 0..case.rounds {
        let before = (Cost::of(&bare.empty)?, Cost::of(&bare.stackid)?);
        let attached = bare.attach(case.hz)?;
        let run = tool::run(&mut (case.command)())?;
        drop(attached);
        let now = (Cost::of(&bare.empty)?, Cost::of(&bare.stackid)?);
        let floor = now.1.since(before.1);
        let ratio = run.bpf.each() / floor.each();
        (least, most) = (least.min(ratio), most.max(ratio));
        own.add(run.bpf);
        empty.add(now.0.since(before.0));
        stackid.add(floor);
        runs.push(run);
    }
    let cpu = runs.iter().map(|run| run.cpu.as_secs_f64()).sum::<f64>() / f64::from(case.rounds);
    let rss = runs.iter().map(|run| run.rss).max().unwrap_or(0);
    println!(
        "{:<34} {:>9} {:>9.0} {:>9.0} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.3} {:>7.1}",
        case.name,
        own.runs,
        own.each(),
        stackid.each(),
        own.each() / stackid.each(),
        least,
        most,
        own.each() / empty.each(),
        cpu,
        rss as f64 / 1e6,
    );
    let mut first: Vec<f64> = runs
        .iter()
        .filter_map(|run| Some(run.first_sample?.as_secs_f64() * 1e3))
        .collect();
    first.sort_by(f64::total_cmp);
    if let [least, .., most] = first[..] {
        println!("{:<34} first sample after {least:.0} to {most:.0} ms", "");
    }
    Ok(())
}

/// kprof's cases, then those of the peers that are installed.
fn cases(kprof: &Path) -> Vec<Case> {
    let seconds = SECONDS.to_string();
    let case = |name: &str, hz: u64, rounds, program: PathBuf, words: Vec<String>| Case {
        name: format!("{name}, {hz} Hz"),
        hz,
        rounds,
        command: Box::new(move || {
            let mut command = Command::new(&program);
            command.args(&words);
            command
        }),
    };
    let ours = |name: &str, hz: u64, rounds, filter: &str| {
        let all = format!("-q -F {hz} -d {SECONDS} --show-user --show-idle -o /dev/null {filter}");
        let words = all.split_whitespace().map(str::to_owned).collect();
        case(name, hz, rounds, kprof.to_owned(), words)
    };
    let mut cases = vec![
        ours("kprof, all threads", 99, 3, ""),
        ours("kprof, all threads", 999, 6, ""),
        ours("kprof, all threads", 4999, 3, ""),
        ours("kprof, no name matches", 999, 3, "--comm no-such-name"),
        ours("kprof, no name matches", 4999, 3, "--comm no-such-name"),
    ];
    let bpftrace = format!(
        "profile:hz:999 {{ @[kstack, comm] = count(); }} interval:s:{SECONDS} {{ exit(); }}"
    );
    for (name, program, words) in [
        (
            "libbpf-tools profile",
            "/usr/sbin/profile",
            vec!["-K", "-F", "999", &seconds],
        ),
        (
            "bcc profile",
            "/usr/sbin/profile-bpfcc",
            vec!["-K", "-f", "-F", "999", &seconds],
        ),
        ("bpftrace", "/usr/bin/bpftrace", vec!["-e", &bpftrace]),
    ] {
        if Path::new(program).exists() {
            let words = words.into_iter().map(str::to_owned).collect();
            cases.push(case(name, 999, 3, program.into(), words));
        }
    }
    cases
}
