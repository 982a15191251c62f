//! What is read here, open to tests/fuzz.

use std::io;
use std::path::PathBuf;

use super::health::{bpf, perf, system};
use super::refusal::situation;
use super::{btf, caps, cgroup, event, nearest, pid_ns, targets, threads, tracefs};

/// Reads up to the slice's length at an offset; fewer bytes at the end.
pub type ReadAt<'a> = &'a dyn Fn(&mut [u8], u64) -> io::Result<usize>;

struct Source<'a>(ReadAt<'a>);

impl btf::Source for Source<'_> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        (self.0)(buf, offset)
    }
}

/// The offsets of members of `task_struct` in BTF.
pub fn task_offsets(read_at: ReadAt<'_>) -> anyhow::Result<btf::TaskOffsets> {
    btf::task_offsets_in(&Source(read_at))
}

/// The capabilities in the text of `/proc/PID/status`.
pub fn capabilities(status: &str) -> Option<caps::Capabilities> {
    caps::parse(status)
}

/// Where cgroup2 is mounted, from the text of `/proc/self/mountinfo`.
pub fn cgroup_mounts(mountinfo: &str) -> Vec<PathBuf> {
    cgroup::parse_mounts(mountinfo)
}

/// Where tracefs may be, from the text of `/proc/self/mounts`.
pub fn tracefs_roots(mounts: &str) -> Vec<PathBuf> {
    tracefs::roots(mounts)
}

/// A thread, and whether its process has more than one, from the text of `/proc/PID/stat`.
pub fn stat(text: &str, tgid: u32, tid: u32) -> Option<(threads::Thread, bool)> {
    threads::parse(text, tgid, tid)
}

/// Whose ids `/proc` shows, from the text of `/proc/self/status`, in a container that sees neither kernel
/// threads nor its first process.
pub fn numbering(status: Option<&str>, own: pid_ns::PidNamespace) -> pid_ns::Numbering {
    pid_ns::judge(status, || Some(own), || None, || None)
}

/// How many namespaces a task has an id in, from the text of `/proc/PID/status`.
pub fn levels(status: &str) -> Option<usize> {
    pid_ns::levels(status)
}

/// The process of a thread, from the text of `/proc/TID/status`.
pub fn tgid(status: &str) -> Option<u32> {
    targets::tgid_in(status)
}

/// CPU time in nanoseconds, from the text of `/proc/PID/schedstat`.
pub fn run_time(schedstat: &str) -> Option<u64> {
    threads::run_time_in(schedstat)
}

/// Those of the candidates that `name` may have meant.
pub fn near<'a>(name: &str, candidates: &[&'a str]) -> Vec<&'a str> {
    nearest::of(name, candidates.iter().copied())
}

/// Letters to insert, remove or replace to make one of the other.
pub fn distance(a: &str, b: &str) -> usize {
    nearest::distance(a, b)
}

/// The lockdown in force, from the text of `/sys/kernel/security/lockdown`.
pub fn lockdown(text: &str) -> Option<String> {
    situation::chosen(text)
}

/// A path as a shell takes it.
pub fn quoted(path: &str) -> String {
    situation::quoted(path)
}

/// Whether the verifier's log says that it knows the helper that was called.
pub fn knows_helper(log: &str) -> bool {
    bpf::knows_helper(log)
}

/// Whether `/proc/kallsyms` shows addresses.
pub fn has_address(kallsyms: &str) -> bool {
    system::has_address(kallsyms)
}

/// Whether the kernel was told to use pseudo-NMIs, from the text of `/proc/cmdline`.
pub fn has_pseudo_nmi(cmdline: &str) -> bool {
    perf::has_pseudo_nmi(cmdline)
}

/// Whether a part of a tracepoint's name may become a part of a path.
pub fn is_plain(part: &str) -> bool {
    event::is_plain(part)
}

/// What is said of an event that is not known.
pub fn unknown_event(name: &str) -> String {
    event::unknown(name)
}
