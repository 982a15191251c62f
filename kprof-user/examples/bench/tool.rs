//! One run of a profiler as a child process: what its BPF programs, its own CPU time and its memory were.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kprof::kernel::bpf_syscall;

/// Time (ns) and runs of a BPF program.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) ns: u64,
    pub(crate) runs: u64,
}

impl Cost {
    pub(crate) fn of(program: &OwnedFd) -> Result<Cost> {
        let (ns, runs) = bpf_syscall::run_cost(program).context("cannot read a run time")?;
        Ok(Cost { ns, runs })
    }

    pub(crate) fn since(self, before: Cost) -> Cost {
        Cost {
            ns: self.ns - before.ns,
            runs: self.runs - before.runs,
        }
    }

    pub(crate) fn add(&mut self, other: Cost) {
        self.ns += other.ns;
        self.runs += other.runs;
    }

    /// Nanoseconds a run.
    pub(crate) fn each(self) -> f64 {
        self.ns as f64 / self.runs.max(1) as f64
    }
}

/// What one run took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    /// All its programs together.
    pub(crate) bpf: Cost,
    /// User and system time of the process.
    pub(crate) cpu: Duration,
    /// Peak resident memory, bytes.
    pub(crate) rss: u64,
    /// From its start to the first run of its program.
    pub(crate) first_sample: Option<Duration>,
}

/// Kills a child that was not reaped, so that it does not run on beside the next case.
struct Guard(Option<Child>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs a command to its end. Programs that are there before it are not its own; nobody else may load any.
pub(crate) fn run(command: &mut Command) -> Result<Run> {
    let others: BTreeSet<u32> = ids()?.into_iter().collect();
    let started = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let pid = child.id();
    let mut guard = Guard(Some(child));
    let mut programs: BTreeMap<u32, (OwnedFd, Cost)> = BTreeMap::new();
    let mut run = Run::default();
    let (status, usage) = loop {
        for id in ids()? {
            if !others.contains(&id)
                && !programs.contains_key(&id)
                && let Ok(program) = bpf_syscall::program_by_id(id)
            {
                programs.insert(id, (program, Cost::default()));
            }
        }
        for (program, cost) in programs.values_mut() {
            *cost = Cost::of(program)?;
            if cost.runs > 0 && run.first_sample.is_none() {
                run.first_sample = Some(started.elapsed());
            }
        }
        if let Some(ended) = wait(pid).context("cannot wait for it")? {
            guard.0 = None;
            break ended;
        }
        // Often at first, to see the first sample; seldom later, not to disturb.
        let pause = if run.first_sample.is_none() { 1 } else { 100 };
        std::thread::sleep(Duration::from_millis(pause));
    };
    if !libc::WIFEXITED(status) || libc::WEXITSTATUS(status) != 0 {
        bail!("{command:?} ended with wait status {status}");
    }
    // The programs live on in our descriptors: the last reading is complete.
    for (program, _) in programs.values() {
        run.bpf.add(Cost::of(program)?);
    }
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    run.cpu = time(usage.ru_utime) + time(usage.ru_stime);
    run.rss = usage.ru_maxrss as u64 * 1024;
    Ok(run)
}

fn ids() -> Result<Vec<u32>> {
    bpf_syscall::program_ids().context("cannot list BPF programs: needs CAP_SYS_ADMIN")
}

/// Reaps a child, if it has ended.
fn wait(pid: u32) -> io::Result<Option<(i32, libc::rusage)>> {
    let mut status = 0;
    // SAFETY: an all-zero `rusage` is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values for the call to fill.
    match unsafe { libc::wait4(pid as i32, &raw mut status, libc::WNOHANG, &raw mut usage) } {
        0 => Ok(None),
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(Some((status, usage))),
    }
}
