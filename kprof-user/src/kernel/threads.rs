//! Threads and their CPU time, from `/proc`: what explains an empty result.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context, Result};

use super::comm::{MAX_NAME, without_work_queue};
use super::pid_ns::{self, Ids};

/// `PF_KTHREAD` in the flags of `/proc/PID/stat` (`include/linux/sched.h`).
const PF_KTHREAD: u64 = 0x0020_0000;

/// One thread at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Thread id.
    pub tid: u32,
    /// Process id.
    pub tgid: u32,
    /// Name as the kernel keeps it and the BPF program sees it, at most 15 bytes.
    pub comm: String,
    /// Whether it is a kernel thread.
    pub kernel: bool,
    /// CPU time, user and system, in nanoseconds: since its start, or between two snapshots.
    pub cpu_ns: u64,
    /// When it started, in clock ticks since boot: tells a thread from a later one of the same id.
    pub start_ticks: u64,
}

/// CPU time of threads at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Threads by ascending thread id.
    pub threads: Vec<Thread>,
    /// `/proc` is a pid namespace's: it shows the tasks in there alone, and no kernel threads.
    pub partial: bool,
}

impl Snapshot {
    /// Reads all threads; some 10 µs for each.
    pub fn take() -> Result<Snapshot> {
        Snapshot::take_matching(|_| true)
    }

    /// Reads the threads that are wanted; the function sees them without their CPU time. Threads that end
    /// meanwhile are left out.
    pub fn take_matching(mut want: impl FnMut(&Thread) -> bool) -> Result<Snapshot> {
        let mut threads = Vec::new();
        let processes = fs::read_dir("/proc").context("cannot list the processes in /proc")?;
        for pid in processes.flatten().filter_map(|entry| number(&entry)) {
            let Some((main, more)) = read(pid, pid) else {
                continue;
            };
            if main.kernel || !more {
                threads.extend(Some(main).filter(&mut want));
                continue;
            }
            let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
                continue;
            };
            let tasks = tasks.flatten().filter_map(|entry| number(&entry));
            threads.extend(
                tasks
                    .filter_map(|tid| Some(read(pid, tid)?.0))
                    .filter(&mut want),
            );
        }
        for thread in &mut threads {
            if let Some(ns) = run_time(thread.tgid, thread.tid) {
                thread.cpu_ns = ns;
            }
        }
        threads.sort_unstable_by_key(|thread| thread.tid);
        Ok(Snapshot {
            threads,
            partial: pid_ns::of_proc().ids != Ids::Initial,
        })
    }

    /// Threads of this snapshot, with the CPU time they used since `before`, most first.
    pub fn since(&self, before: &Snapshot) -> Vec<Thread> {
        let before: HashMap<(u32, u64), u64> = before
            .threads
            .iter()
            .map(|t| ((t.tid, t.start_ticks), t.cpu_ns))
            .collect();
        let mut used: Vec<Thread> = self
            .threads
            .iter()
            .map(|thread| {
                let earlier = before
                    .get(&(thread.tid, thread.start_ticks))
                    .copied()
                    .unwrap_or(0);
                Thread {
                    cpu_ns: thread.cpu_ns.saturating_sub(earlier),
                    ..thread.clone()
                }
            })
            .collect();
        used.sort_by(|a, b| b.cpu_ns.cmp(&a.cpu_ns).then(a.tid.cmp(&b.tid)));
        used
    }
}

fn number(entry: &fs::DirEntry) -> Option<u32> {
    entry.file_name().to_str()?.parse().ok()
}

/// Whether the task that `/proc` shows under this id is a kernel thread; `None` where it shows none.
pub fn is_kernel_thread(id: u32) -> Option<bool> {
    read(id, id).map(|(thread, _)| thread.kernel)
}

/// One thread, and whether its process has more than one.
fn read(tgid: u32, tid: u32) -> Option<(Thread, bool)> {
    // Names hold any bytes.
    let stat = fs::read(format!("/proc/{tgid}/task/{tid}/stat")).ok()?;
    parse(&String::from_utf8_lossy(&stat), tgid, tid)
}

/// CPU time to the nanosecond, where the kernel has scheduler statistics (`CONFIG_SCHED_INFO`).
fn run_time(tgid: u32, tid: u32) -> Option<u64> {
    run_time_in(&fs::read_to_string(format!("/proc/{tgid}/task/{tid}/schedstat")).ok()?)
}

/// The first number of `/proc/PID/schedstat` (Documentation/scheduler/sched-stats.rst).
pub(super) fn run_time_in(schedstat: &str) -> Option<u64> {
    schedstat.split(' ').next()?.trim().parse().ok()
}

/// Parses `/proc/PID/stat` (proc_pid_stat(5)).
pub(super) fn parse(stat: &str, tgid: u32, tid: u32) -> Option<(Thread, bool)> {
    /// A tick of `utime` and `stime`: `USER_HZ` is 100 on all Linux ports but alpha and ia64.
    const TICK_NS: u64 = 10_000_000;
    // The name may hold spaces and brackets; nothing behind it does.
    let (before, after) = (stat.find('(')?, stat.rfind(')')?);
    let shown = stat.get(before + 1..after)?;
    let fields: Vec<&str> = stat.get(after + 1..)?.split_ascii_whitespace().collect();
    // The manual counts from 1, and the first field here is its third.
    let field = |n: usize| fields.get(n - 3)?.parse::<u64>().ok();
    let kernel = field(9)? & PF_KTHREAD != 0;
    let ticks = field(14)?.saturating_add(field(15)?);
    let thread = Thread {
        tid,
        tgid,
        comm: kept(shown, kernel),
        kernel,
        cpu_ns: ticks.saturating_mul(TICK_NS),
        start_ticks: field(22)?,
    };
    Some((thread, field(20)? > 1))
}

/// The name that the kernel keeps, from the one that `/proc` shows: for kworkers it adds the work queue.
fn kept(shown: &str, kernel: bool) -> String {
    let name = if kernel {
        without_work_queue(shown).unwrap_or(shown)
    } else {
        shown
    };
    let end = (0..=MAX_NAME.min(name.len()))
        .rev()
        .find(|&end| name.is_char_boundary(end));
    name[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_and_spaces_are_read() {
        let stat = "7 (a) (b c) S 0 0 0 0 -1 2129984 0 0 0 0 3 4 0 0 20 0 1 0 22 0 0";
        let (thread, more) = parse(stat, 7, 7).unwrap();
        assert_eq!(
            (thread.comm.as_str(), thread.kernel, more),
            ("a) (b c", true, false)
        );
        assert_eq!((thread.cpu_ns, thread.start_ticks), (70_000_000, 22));
    }

    #[test]
    fn cut_lines_are_left_out() {
        let stat = "7 (x) S 0 0 0 0 -1 2129984 0 0 0 0 3 4 0 0 20 0 1 0 22";
        for end in 0..stat.len() - 1 {
            assert_eq!(parse(&stat[..end], 7, 7), None, "{end}");
        }
    }

    #[test]
    fn a_kworker_has_the_name_that_the_kernel_keeps() {
        assert_eq!(kept("kworker/u8:3-events_unbound", true), "kworker/u8:3");
        assert_eq!(kept("kworker/R-rcu_gp", true), "kworker/R-rcu_g");
        assert_eq!(kept("ééééééééé", false), "ééééééé");
    }

    #[test]
    fn differences_are_by_thread_not_by_id() {
        let thread = |tid, start_ticks, cpu_ns| Thread {
            tid,
            tgid: tid,
            comm: String::new(),
            kernel: true,
            cpu_ns,
            start_ticks,
        };
        let before = Snapshot {
            threads: vec![thread(1, 5, 100), thread(2, 5, 100)],
            ..Snapshot::default()
        };
        let after = Snapshot {
            threads: vec![thread(1, 5, 130), thread(2, 9, 40), thread(3, 9, 50)],
            ..Snapshot::default()
        };
        let used: Vec<_> = after
            .since(&before)
            .iter()
            .map(|t| (t.tid, t.cpu_ns))
            .collect();
        assert_eq!(used, [(3, 50), (2, 40), (1, 30)]);
    }

    #[test]
    fn this_thread_is_there_and_kthreadd_is_a_kernel_thread() {
        let snapshot = Snapshot::take().unwrap();
        // SAFETY: gettid takes nothing and can't fail.
        let tid = unsafe { libc::gettid() } as u32;
        assert!(snapshot.threads.iter().any(|t| t.tid == tid && !t.kernel));
        if !snapshot.partial {
            let kthreadd = snapshot.threads.iter().find(|t| t.tid == 2).unwrap();
            assert!(kthreadd.kernel && kthreadd.comm == "kthreadd" && kthreadd.cpu_ns > 0);
        }
    }
}
