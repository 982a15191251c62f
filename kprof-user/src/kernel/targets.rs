//! Whether the processes and threads that were asked for exist, and whether their samples can be told.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use super::pid_ns::{self, Ids};
use super::{refusal, text};

/// Inode of the initial user namespace (`PROC_USER_INIT_INO`, `include/linux/proc_ns.h`).
const INITIAL_USER_NAMESPACE: &str = "user:[4026531837]";

/// Whether this process's capabilities count for the whole machine; `None` where `/proc` doesn't say.
pub fn in_initial_user_namespace() -> Option<bool> {
    let link = fs::read_link("/proc/self/ns/user").ok()?;
    Some(link == Path::new(INITIAL_USER_NAMESPACE))
}

/// Refuses a process id that no process has.
pub fn process_exists(pid: u32) -> Result<()> {
    match tgid_of(pid) {
        Some(tgid) if tgid == pid => Ok(()),
        Some(tgid) => bail!(
            "there is no process {pid}: {pid} is a thread of process {tgid}. Write --tid {pid} for the thread, or \
             --pid {tgid} for the process"
        ),
        None => bail!("there is no process {pid}. Look for it with: `ps -e`"),
    }
}

/// Refuses a thread id that no thread has.
pub fn thread_exists(tid: u32) -> Result<()> {
    match tgid_of(tid) {
        Some(_) => Ok(()),
        None => bail!("there is no thread {tid}. Look for it with: `ps -eL`"),
    }
}

/// Refuses a process or thread whose id, as `/proc` shows it, the BPF program can't match.
pub fn can_be_matched(id: u32) -> Result<()> {
    let lack = match pid_ns::of_proc().ids {
        Ids::Initial => return Ok(()),
        Ids::Unknown => refusal::unknown_pid_namespace(),
        Ids::Of(_) if is_below(id) => refusal::nested_pid_namespace(id),
        Ids::Of(_) => return Ok(()),
    };
    bail!("{}. {}", lack.cause, lack.mend)
}

/// Whether a task is in a pid namespace below that of `/proc`.
fn is_below(id: u32) -> bool {
    let status = text::read(format!("/proc/{id}/status")).unwrap_or_default();
    pid_ns::levels(&status).is_some_and(|levels| levels > 1)
}

/// The process of a thread; `None` where there is no such thread. (`/proc/TID` exists for every thread, though
/// it is listed only for processes.)
fn tgid_of(tid: u32) -> Option<u32> {
    tgid_in(&text::read(format!("/proc/{tid}/status")).ok()?)
}

pub(super) fn tgid_in(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_exists_and_its_thread_is_told_from_it() {
        let pid = std::process::id();
        process_exists(pid).unwrap();
        thread_exists(pid).unwrap();
        // SAFETY: gettid takes nothing and can't fail.
        let tid = unsafe { libc::gettid() } as u32;
        thread_exists(tid).unwrap();
        can_be_matched(tid).unwrap();
        if tid != pid {
            let error = process_exists(tid).unwrap_err().to_string();
            assert!(error.contains(&format!("--tid {tid}")), "{error}");
        }
    }

    #[test]
    fn a_thread_with_a_name_that_is_no_text_exists() {
        let named = || {
            // SAFETY: the name is a C string, and the kernel only reads it.
            unsafe { libc::prctl(libc::PR_SET_NAME, c"\xff\xfe(".as_ptr()) };
            // SAFETY: gettid takes nothing and can't fail.
            let tid = unsafe { libc::gettid() } as u32;
            thread_exists(tid).unwrap();
            can_be_matched(tid).unwrap();
        };
        std::thread::spawn(named).join().unwrap();
    }

    #[test]
    fn absent_ones_are_refused() {
        // Past the largest possible pid.
        assert!(process_exists(u32::MAX).is_err());
        assert!(thread_exists(u32::MAX).is_err());
    }
}
