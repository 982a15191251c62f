//! Names of threads, and those that are not certain.
//!
//! A thread's name is read while the thread is interrupted. If that was in the middle of changing it (`__set_task_comm`,
//! fs/exec.c), the name is part of the new one and part of the old one, which the thread never had.

use kprof_ebpf::{Key, flags};

use crate::profile::{Profile, StackId, Thread};

/// Stands for a name that was being changed.
const RENAMING: &str = "[renaming]";
/// The function that changes names, for prctl(2), exec(2), /proc/PID/comm and the kernel itself.
const SETTER: &str = "__set_task_comm";

/// Whether a stack goes through the change of a name.
pub(super) fn is_renaming(stack: StackId, profile: &Profile) -> bool {
    // The compiler marks changed copies: `__set_task_comm.isra.0`.
    let is_setter = |function: &str| {
        function
            .strip_prefix(SETTER)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut frames = profile.stack(stack).iter();
    frames.any(|&id| profile.frame(id).function().is_some_and(is_setter))
}

/// The thread of a sample that [`is_renaming`]. Its name is certain only if a sample before or after shows it, and
/// those must be in the profile already.
pub(super) fn renaming_thread(key: &Key, profile: &Profile) -> Thread {
    let thread = thread(key);
    match profile.has_thread(&thread) {
        true => thread,
        false => Thread {
            comm: RENAMING.to_owned(),
            ..thread
        },
    }
}

/// The thread of any other sample.
pub(super) fn thread(key: &Key) -> Thread {
    let mut comm = [0u8; 16];
    comm[..8].copy_from_slice(&key.comm[0].to_ne_bytes());
    comm[8..].copy_from_slice(&key.comm[1].to_ne_bytes());
    let length = comm
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(comm.len());
    let comm = if key.tid == 0 {
        format!("swapper/{}", key.idle_cpu)
    } else {
        String::from_utf8_lossy(&comm[..length]).into_owned()
    };
    Thread {
        tgid: key.tgid,
        tid: key.tid,
        comm,
        kthread: key.flags & flags::KTHREAD != 0,
        host_ids: key.flags & flags::HOST_IDS != 0,
    }
}
