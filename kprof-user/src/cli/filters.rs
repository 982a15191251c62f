//! From flags to filters: which CPUs and tasks, each checked to be there.

use anyhow::Context as _;
use kprof_ebpf::config::MAX_CGROUPS;

use super::args::RecordArgs;
use super::failure::Failure;
use crate::capture::Filters;
use crate::kernel::comm::Patterns;
use crate::kernel::{cgroup, cpus, targets, threads};

/// CPUs as they were asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ChosenCpus {
    /// Those that this machine can have.
    pub(super) cpus: Vec<u32>,
    /// How many of them are online.
    pub(super) online: usize,
    /// How many that were asked for are not, and may never be.
    pub(super) absent: usize,
}

/// The CPUs of a list; at least one of them is online.
pub(super) fn chosen_cpus(list: &str) -> Result<ChosenCpus, Failure> {
    let chosen = cpus::parse_list(list)
        .context("--cpu")
        .map_err(Failure::Usage)?;
    let online = cpus::online()?;
    let there = chosen.iter().filter(|cpu| online.contains(cpu)).count();
    if there == 0 {
        let online: Vec<String> = online.iter().map(u32::to_string).collect();
        return Err(Failure::usage(format!(
            "--cpu {list} names no CPU that is online; online are {}",
            online.join(",")
        )));
    }
    let absent = chosen.len() - there;
    let possible = cpus::possible()?;
    let can_be = |cpu: &u32| possible.contains(cpu);
    Ok(ChosenCpus {
        cpus: chosen.into_iter().filter(can_be).collect(),
        online: there,
        absent,
    })
}

/// The filters, checked against what is there.
pub(super) fn filters(args: &RecordArgs) -> Result<Filters, Failure> {
    if args.pid.contains(&0) {
        return Err(Failure::usage(
            "--pid 0 is no process; --show-idle shows the idle loop",
        ));
    }
    if args.tid.contains(&0) {
        return Err(Failure::usage(
            "--tid 0 is no thread; --show-idle shows the idle loop",
        ));
    }
    let comm = match args.comm.as_slice() {
        [] => None,
        patterns => Some(
            Patterns::parse(patterns)
                .context("--comm")
                .map_err(Failure::Usage)?,
        ),
    };
    for &pid in &args.pid {
        targets::process_exists(pid)
            .and_then(|()| targets::can_be_matched(pid))
            .with_context(|| format!("--pid {pid}"))?;
    }
    for &tid in &args.tid {
        targets::thread_exists(tid)
            .and_then(|()| targets::can_be_matched(tid))
            .with_context(|| format!("--tid {tid}"))?;
    }
    let mut cgroups = Vec::new();
    for path in &args.cgroup {
        let group =
            cgroup::resolve(path).with_context(|| format!("--cgroup {}", path.display()))?;
        if !cgroups.contains(&group.path) {
            cgroups.push(group.path);
        }
    }
    if cgroups.len() > MAX_CGROUPS {
        return Err(Failure::usage(format!(
            "--cgroup can tell {MAX_CGROUPS} cgroups apart, {} are given; give one above them",
            cgroups.len()
        )));
    }
    let (mut pids, mut tids) = (args.pid.clone(), args.tid.clone());
    pids.sort_unstable();
    pids.dedup();
    tids.sort_unstable();
    tids.dedup();
    if !pids.is_empty() && !tids.is_empty() {
        // Different flags narrow: only those threads that belong to one of the processes.
        tids.retain(|tid| pids.iter().any(|pid| belongs(*pid, *tid)));
        if tids.is_empty() {
            return Err(Failure::usage(
                "--pid and --tid contradict each other: none of the threads belongs to one of the processes",
            ));
        }
        pids.clear();
    }
    if args.kthreads {
        let all = pids.iter().chain(&tids);
        if all.clone().next().is_some() && all.copied().all(is_user_task) {
            return Err(Failure::usage(
                "--kthreads contradicts --pid and --tid: none of them is a kernel thread",
            ));
        }
    }
    Ok(Filters {
        comm,
        pids,
        tids,
        kthreads: args.kthreads,
        cgroups,
    })
}

fn belongs(pid: u32, tid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}/task/{tid}")).exists()
}

/// Whether a task is known to be no kernel thread.
fn is_user_task(id: u32) -> bool {
    threads::is_kernel_thread(id) == Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_that_are_not_online_are_counted() {
        let expected = ChosenCpus {
            cpus: vec![0],
            online: 1,
            absent: 2,
        };
        assert_eq!(chosen_cpus("0,8190-8191").unwrap(), expected);
    }

    #[test]
    fn a_cgroup_given_twice_is_one() {
        let Ok(args) = cgroup_args(9, ".") else {
            crate::skip::skip!("no cgroup2 mount");
        };
        assert_eq!(filters(&args).unwrap().cgroups.len(), 1);
    }

    /// Arguments with a cgroup so many times.
    fn cgroup_args(times: usize, path: &str) -> anyhow::Result<RecordArgs> {
        use clap::Parser as _;
        cgroup::resolve(path.as_ref())?;
        let words = ["--cgroup", path].repeat(times);
        let cli = super::super::Cli::try_parse_from(std::iter::once("kprof").chain(words)).unwrap();
        Ok(cli.record)
    }

    #[test]
    fn threads_belong_to_processes() {
        let pid = std::process::id();
        assert!(belongs(pid, pid) && !belongs(1, pid));
        assert!(is_user_task(pid) && !is_user_task(2));
    }
}
