//! Which pid namespace's ids kprof takes and shows: those that `/proc` shows, for people have their ids
//! from there, and kprof itself looks targets and threads up there.
//!
//! A BPF program sees the ids of the initial namespace, which are other tasks' ids in any other one. For
//! that one the program asks the kernel by the namespace's device and inode
//! (`bpf_get_ns_current_pid_tgid`, Linux 5.7).

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::{text, threads};

/// Inode of the initial pid namespace (`PROC_PID_INIT_INO`, `include/linux/proc_ns.h`).
const INITIAL: u64 = 0xEFFF_FFFC;

/// The second task of the machine, and the kernel thread that starts all others.
const KTHREADD: u32 = 2;

/// A pid namespace, by the file that stands for it in `/proc/PID/ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidNamespace {
    /// Device of the file system of namespaces, as the kernel encodes it.
    pub dev: u32,
    /// Inode of the namespace.
    pub ino: u64,
}

/// Whose ids `/proc` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// The initial namespace's, which every task of the machine has.
    Initial,
    /// Those of a namespace below it. Kernel threads have none.
    Of(PidNamespace),
    /// It can't be told.
    Unknown,
}

/// Whose ids `/proc` shows, and whether kprof is in that namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbering {
    /// Whose they are.
    pub ids: Ids,
    /// Whether kprof runs in that namespace, so that `kill` and a shell's `$$` mean the same ids.
    pub own: bool,
}

/// Looks.
pub fn of_proc() -> Numbering {
    let status = text::read("/proc/self/status").ok();
    judge(
        status.as_deref(),
        || look("/proc/self/ns/pid"),
        || (threads::is_kernel_thread(KTHREADD) == Some(true)).then_some(Ids::Initial),
        || look("/proc/1/ns/pid"),
    )
}

/// `/proc/self/status` lists this process's ids from the namespace of `/proc` down to its own. Kernel threads
/// are of the initial namespace. A namespace's first process is always in it, but may not be this user's to look
/// at.
pub(super) fn judge(
    status: Option<&str>,
    own: impl FnOnce() -> Option<PidNamespace>,
    kernel_threads: impl FnOnce() -> Option<Ids>,
    first: impl FnOnce() -> Option<PidNamespace>,
) -> Numbering {
    let (own, ids) = match status.map(levels) {
        // A kernel without CONFIG_PID_NS has one namespace.
        Some(None) => (true, Some(Ids::Initial)),
        Some(Some(1)) => (true, own().map(ids_of)),
        Some(Some(_)) => (false, kernel_threads().or_else(|| first().map(ids_of))),
        // Of a namespace that this process is not in, nor above.
        None => (false, None),
    };
    Numbering {
        ids: ids.unwrap_or(Ids::Unknown),
        own,
    }
}

fn ids_of(namespace: PidNamespace) -> Ids {
    match namespace.ino {
        INITIAL => Ids::Initial,
        _ => Ids::Of(namespace),
    }
}

/// How many namespaces a task has an id in, from that of `/proc` down: `NSpid` of `/proc/PID/status`
/// (`task_state`, fs/proc/array.c).
pub(super) fn levels(status: &str) -> Option<usize> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    Some(line.split_whitespace().count())
}

fn look(path: &str) -> Option<PidNamespace> {
    let file = fs::metadata(path).ok()?;
    Some(PidNamespace {
        dev: kernel_dev(file.dev()),
        ino: file.ino(),
    })
}

/// A device number as the kernel has it (`MKDEV`, include/linux/kdev_t.h), from the one that stat(2) gives,
/// where it is spread over the bits otherwise (`new_encode_dev`).
fn kernel_dev(dev: u64) -> u32 {
    (libc::major(dev) << 20) | libc::minor(dev)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: PidNamespace = PidNamespace {
        dev: 4,
        ino: INITIAL,
    };
    const CONTAINER: PidNamespace = PidNamespace {
        dev: 4,
        ino: 4_026_532_201,
    };

    /// In a container whose `/proc` shows, or not, kernel threads and its first process.
    fn judged(status: Option<&str>, kthreads: bool, first: Option<PidNamespace>) -> (Ids, bool) {
        let kthreads = || kthreads.then_some(Ids::Initial);
        let Numbering { ids, own } = judge(status, || Some(CONTAINER), kthreads, || first);
        (ids, own)
    }

    #[test]
    fn one_id_means_that_proc_is_of_this_namespace() {
        let status = Some("Pid:\t7\nNSpid:\t7\n");
        assert_eq!(judged(status, false, None), (Ids::Of(CONTAINER), true));
        let host = judge(status, || Some(HOST), || None, || None);
        assert_eq!((host.ids, host.own), (Ids::Initial, true));
    }

    #[test]
    fn more_ids_mean_that_proc_is_of_a_namespace_above() {
        let status = Some("NSpid:\t4711\t7\n");
        assert_eq!(judged(status, true, None), (Ids::Initial, false));
        assert_eq!(judged(status, false, Some(HOST)), (Ids::Initial, false));
        let above = PidNamespace {
            ino: 9,
            ..CONTAINER
        };
        assert_eq!(judged(status, false, Some(above)), (Ids::Of(above), false));
        assert_eq!(judged(status, false, None), (Ids::Unknown, false));
    }

    #[test]
    fn without_namespaces_and_without_proc() {
        assert_eq!(judged(Some("Pid:\t7\n"), false, None), (Ids::Initial, true));
        assert_eq!(judged(None, false, Some(HOST)), (Ids::Unknown, false));
    }

    #[test]
    fn device_numbers_are_the_kernels() {
        assert_eq!(kernel_dev(4), 4);
        // Minor 300 of no device: stat(2) has its upper bits above the major's.
        assert_eq!(kernel_dev(0x10_002c), 300);
        assert_eq!(kernel_dev(libc::makedev(8, 1)), (8 << 20) | 1);
    }

    #[test]
    fn this_process_is_somewhere() {
        let namespace = look("/proc/self/ns/pid").unwrap();
        assert!(namespace.dev != 0 && namespace.ino >= INITIAL);
        assert_ne!(of_proc().ids, Ids::Unknown);
    }
}
