//! `syscalls`: threads that each make one system call, at a known share of a CPU.
//!
//! Their kernel paths and shares are known in advance, so a profile of them can be checked. The last
//! line gives what each really burned.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::fs::{Mode, OFlags, RawDir, SeekFrom, open, seek, stat};
use rustix::time::{ClockId, clock_gettime};

use super::proc;
use super::random::Random;
use super::run::Run;

/// A thread of the load.
struct Worker {
    name: &'static CStr,
    /// Wanted share of one CPU, in per cent. Together they leave room on a machine of two CPUs.
    percent: u32,
    /// Calls between two looks at the clock, which is a system call too.
    batch: u64,
    /// Prepares the call.
    prepare: fn() -> Result<Call>,
}

/// Makes the system call once.
type Call = Box<dyn FnMut() -> io::Result<()>>;

const WORKERS: [Worker; 3] = [
    Worker {
        name: c"kprof-read",
        percent: 50,
        batch: 64,
        prepare: read_zeros,
    },
    Worker {
        name: c"kprof-getdents",
        percent: 25,
        batch: 128,
        prepare: list_directory,
    },
    Worker {
        name: c"kprof-stat",
        percent: 12,
        batch: 256,
        prepare: stat_file,
    },
];

/// A directory and a file that every kernel has.
const DIRECTORY: &CStr = c"/sys/devices/system/cpu";
const FILE: &CStr = c"/sys/devices/system/cpu/online";

/// What one thread did.
struct Did {
    name: String,
    calls: u64,
    cpu: Duration,
}

pub(super) fn run(run: &Run) -> Result<String> {
    let names: Vec<String> = WORKERS
        .iter()
        .map(|worker| format!("{} ({} %)", worker.name.to_string_lossy(), worker.percent))
        .collect();
    eprintln!(
        "load syscalls: threads at known shares of a CPU: {}; \
         watch them: cargo xtask run -- --comm 'kprof-*' -d 5",
        names.join(", ")
    );
    let results: Vec<Result<Did>> = thread::scope(|scope| {
        let threads: Vec<_> = WORKERS
            .iter()
            .enumerate()
            .map(|(index, worker)| scope.spawn(move || repeat(run, worker, index)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(anyhow!("a thread of the load panicked")))
            })
            .collect()
    });
    let mut line = "syscalls:".to_owned();
    for did in results {
        let did = did?;
        line += &format!(
            " {name}_calls={} {name}_cpu_ms={} {name}_cpu_percent={:.1}",
            did.calls,
            did.cpu.as_millis(),
            proc::percent(did.cpu, run.elapsed()),
            name = did.name
        );
    }
    Ok(line)
}

/// Repeats the work, sleeping whenever the thread is ahead of its share.
fn repeat(run: &Run, worker: &Worker, index: usize) -> Result<Did> {
    rustix::thread::set_name(worker.name).context("name a thread of the load")?;
    let mut call = (worker.prepare)()?;
    let started = Instant::now();
    let cpu_at_start = thread_cpu_time();
    let mut random = Random::new(index as u64);
    let mut calls = 0;
    while !run.over() {
        // Slices of random length, so that they keep no step with a sampling timer.
        let slice = Duration::from_micros(1_000 + random.below(9_000));
        let until = thread_cpu_time() + slice;
        while thread_cpu_time() < until {
            for _ in 0..worker.batch {
                call()
                    .with_context(|| format!("make a call in {}", worker.name.to_string_lossy()))?;
            }
            calls += worker.batch;
        }
        run.working(index, WORKERS.len());
        let due = (thread_cpu_time() - cpu_at_start) * 100 / worker.percent;
        thread::sleep(due.saturating_sub(started.elapsed()));
    }
    Ok(Did {
        name: worker.name.to_string_lossy().into_owned(),
        calls,
        cpu: thread_cpu_time() - cpu_at_start,
    })
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// `read` of `/dev/zero`: `vfs_read`, `read_zero`, and the clearing of the buffer.
fn read_zeros() -> Result<Call> {
    let mut zeros = File::open("/dev/zero").context("open /dev/zero")?;
    let mut buffer = vec![0u8; 64 << 10];
    Ok(Box::new(move || zeros.read_exact(&mut buffer)))
}

/// `getdents64` of a directory: `iterate_dir` and what the file system does below it.
fn list_directory() -> Result<Call> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(DIRECTORY, flags, Mode::empty())
        .with_context(|| format!("open {}", DIRECTORY.to_string_lossy()))?;
    let mut buffer = vec![MaybeUninit::uninit(); 32 << 10];
    Ok(Box::new(move || {
        seek(&directory, SeekFrom::Start(0))?;
        // The first entry fetches them all.
        RawDir::new(&directory, &mut buffer).next().transpose()?;
        Ok(())
    }))
}

/// `newfstatat` of a file: `vfs_statx` and a path walk.
fn stat_file() -> Result<Call> {
    Ok(Box::new(|| {
        stat(FILE)?;
        Ok(())
    }))
}
