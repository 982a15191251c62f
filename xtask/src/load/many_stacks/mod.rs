//! `many-stacks`: as many distinct kernel stacks as possible.
//!
//! Threads with names of their own each pick system calls at random from a group: kernel files,
//! files on disk and in memory, mappings and page faults, pipes and other channels, tasks, signals and
//! timers, terminals, sockets. No call blocks for long, and each undoes what it did.

use std::ffi::CStr;
use std::io;
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result, anyhow};

use super::netns::{Netns, detached_mount};
use super::random::Random;
use super::run::Run;
use super::scratch::Scratch;

mod channels;
mod files;
mod kernel_files;
mod memory;
mod signals;
mod sockets;
mod tasks;
mod terminals;

type Call = Box<dyn FnMut(&mut Random) -> io::Result<()> + Send>;

/// One thing a thread of this load can do.
struct Op {
    name: &'static str,
    call: Call,
    worked: u64,
    failed: u64,
}

/// What one thread chooses from.
#[derive(Default)]
struct Ops(Vec<Op>);

impl Ops {
    fn add(
        &mut self,
        name: &'static str,
        call: impl FnMut(&mut Random) -> io::Result<()> + Send + 'static,
    ) {
        self.0.push(Op {
            name,
            call: Box::new(call),
            worked: 0,
            failed: 0,
        });
    }
}

/// Where the threads may work.
struct Place {
    /// A directory on disk.
    disk: PathBuf,
    /// A directory in memory (tmpfs), mounted nowhere.
    memory: PathBuf,
}

/// A thread of the load.
struct Group {
    thread: &'static CStr,
    prepare: fn(&Place) -> Result<Ops>,
}

const GROUPS: [Group; 10] = [
    Group {
        thread: c"ms-procfs",
        prepare: |_| kernel_files::procfs(),
    },
    Group {
        thread: c"ms-sysfs",
        prepare: |_| kernel_files::sysfs(),
    },
    Group {
        thread: c"ms-disk",
        prepare: |place| files::ops(&place.disk),
    },
    Group {
        thread: c"ms-tmpfs",
        prepare: |place| files::ops(&place.memory),
    },
    Group {
        thread: c"ms-memory",
        prepare: |_| memory::ops(),
    },
    Group {
        thread: c"ms-channels",
        prepare: |place| channels::ops(&place.disk),
    },
    Group {
        thread: c"ms-tasks",
        prepare: |_| tasks::ops(),
    },
    Group {
        thread: c"ms-signals",
        prepare: |_| signals::ops(),
    },
    Group {
        thread: c"ms-terminals",
        prepare: |_| terminals::ops(),
    },
    Group {
        thread: c"ms-sockets",
        prepare: |_| sockets::ops(),
    },
];

pub(super) fn run(run: &Run) -> Result<String> {
    // Every thread works in this namespace, so that no packet leaves it.
    let netns = Netns::new()?;
    let scratch = Scratch::create(run.dir())?;
    let tmpfs = detached_mount("tmpfs", &[(c"size", c"64m")])?;
    let place = Place {
        disk: scratch.path().to_owned(),
        memory: PathBuf::from(format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&tmpfs)
        )),
    };
    eprintln!(
        "load many-stacks: {} threads named ms-* in system calls picked at random; \
         watch them: cargo xtask run -- --comm 'ms-*' -d 5",
        GROUPS.len()
    );
    let done: Vec<Result<Ops>> = thread::scope(|scope| {
        let threads: Vec<_> = GROUPS
            .iter()
            .enumerate()
            .map(|(index, group)| {
                let (netns, place) = (&netns, &place);
                scope.spawn(move || netns.run_here(|| work(run, group, place, index)))
            })
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
    let (mut kinds, mut calls, mut unavailable) = (0, 0, Vec::new());
    for ops in done {
        for op in ops?.0 {
            calls += op.worked;
            if op.worked > 0 {
                kinds += 1;
            } else if op.failed > 0 {
                unavailable.push(op.name);
            }
        }
    }
    let unavailable = if unavailable.is_empty() {
        "none".to_owned()
    } else {
        unavailable.join(",")
    };
    Ok(format!(
        "many-stacks: threads={} kinds={kinds} calls={calls} unavailable={unavailable}",
        GROUPS.len()
    ))
}

/// Makes calls of the group until the run is over.
fn work(run: &Run, group: &Group, place: &Place, number: usize) -> Result<Ops> {
    rustix::thread::set_name(group.thread).context("name a thread of the load")?;
    let mut ops = (group.prepare)(place)
        .with_context(|| format!("prepare {}", group.thread.to_string_lossy()))?;
    let mut random = Random::new(number as u64 + 1);
    while !run.over() {
        let index = random.below(ops.0.len() as u64) as usize;
        let op = &mut ops.0[index];
        match (op.call)(&mut random) {
            Ok(()) => op.worked += 1,
            Err(_) => op.failed += 1,
        }
        run.working(number, GROUPS.len());
    }
    Ok(ops)
}

/// The result of a libc call that says -1 on failure.
fn check<T: Into<i64>>(result: T) -> io::Result<i64> {
    match result.into() {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}
