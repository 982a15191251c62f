//! `kworker`: dirty pages that the kernel's flusher threads write back.
//!
//! `fsync` and `sync_file_range` would write in the caller's own context. `syncfs` queues the work to
//! the file system's write-back work queue, so a `kworker/u…-flush-…` thread does it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail};
use rustix::fs::{fstatfs, syncfs};

use super::proc::{self, CpuTime};
use super::run::Run;
use super::scratch;

const PAGE: u64 = 4096;
/// Pages made dirty between two write-backs: few, so that one write-back is short.
const ROUND: u64 = 256;
/// One page in so many is written, so that each is an extent and a request to the disk of its own:
/// most work for the least data.
const STRIDE: u64 = 8;

/// Magic numbers (`linux/magic.h`) of file systems in memory, which have nothing to write back.
const TMPFS: u32 = 0x0102_1994;
const RAMFS: u32 = 0x8584_58f6;

pub(super) fn run(run: &Run) -> Result<String> {
    let file = scratch::unnamed_file(run.dir())?;
    let kind = fstatfs(&file)
        .context("ask for the file system's type")?
        .f_type as u32;
    if kind == TMPFS || kind == RAMFS {
        bail!(
            "{} is in memory and is never written back: name a directory on a disk with --dir",
            run.dir().display()
        );
    }
    let before = proc::cpu_times("kworker/")?;
    eprintln!(
        "load kworker: making pages of a file in {} dirty and having them written back; \
         watch the kworker threads: cargo xtask run -- --comm kworker -d 5",
        run.dir().display()
    );
    rustix::thread::set_name(c"kprof-dirty").context("name the writing thread")?;
    let (written, rounds) = write(run, &file)?;
    let burned = growth(&before, &proc::cpu_times("kworker/")?);
    Ok(format!(
        "kworker: bytes_written={written} write_backs={rounds} kworker_cpu_ms={} kworker_cpu_percent={:.1}",
        burned.as_millis(),
        proc::percent(burned, run.elapsed()),
    ))
}

/// Makes pages dirty and has them written back, over and over; returns bytes and rounds.
fn write(run: &Run, file: &File) -> Result<(u64, u64)> {
    let page = [0x6b; PAGE as usize];
    let (mut written, mut rounds) = (0, 0);
    while !run.over() {
        // Give the blocks back, so that each round also has the file system place the pages anew.
        file.set_len(0).context("empty the temporary file")?;
        file.set_len(ROUND * STRIDE * PAGE)
            .context("size the temporary file")?;
        for index in 0..ROUND {
            let offset = index * STRIDE * PAGE;
            file.write_all_at(&page, offset)
                .context("write to the temporary file (is the disk full?)")?;
            written += PAGE;
        }
        syncfs(file).context("have the file system written back")?;
        rounds += 1;
        run.working(0, 1);
    }
    Ok((written, rounds))
}

/// CPU time that threads burned between two looks; threads that came meanwhile count in full.
fn growth(before: &[(u32, CpuTime)], after: &[(u32, CpuTime)]) -> std::time::Duration {
    after
        .iter()
        .map(|(pid, time)| {
            let earlier = before
                .iter()
                .find(|(other, _)| other == pid)
                .map_or_else(CpuTime::default, |(_, time)| *time);
            time.total().saturating_sub(earlier.total())
        })
        .sum()
}
