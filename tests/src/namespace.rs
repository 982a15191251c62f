//! Has a command run in namespaces of its own, as in a container.
//!
//! `unshare(1)` of util-linux does the same, and busybox's less; nothing but the kernel is needed here.

use std::ffi::CStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output};

use crate::Skip;

/// What is mounted over the machine's own in a new mount namespace. Nobody else sees it.
#[derive(Clone, Copy, Debug)]
pub enum Mount {
    /// A `/proc` of the new pid namespace.
    Proc,
    /// A `/sys` that can't be written, with nothing mounted in it.
    ReadOnlySys,
    /// The tree of cgroups of version 2 at `/sys/fs/cgroup`, not to be written.
    ReadOnlyCgroups,
    /// An empty folder in a folder's place.
    Empty(&'static CStr),
    /// Nothing, in place of what is mounted there.
    Unmounted(&'static CStr),
}

/// Has the command run in new namespaces (`CLONE_NEW…`) with these mounts. In a new pid namespace it is the first
/// process, and all others there end with it.
///
/// Where the kernel refuses, running the command fails; see [`output`] and [`spawn`]. Other changes of the command
/// take place inside, if they are asked for after this one.
pub fn enter(command: &mut Command, namespaces: libc::c_int, mounts: &'static [Mount]) {
    let go = move || {
        // SAFETY: the call takes an integer.
        check(unsafe { libc::unshare(namespaces) })?;
        if namespaces & libc::CLONE_NEWPID != 0 {
            become_first()?;
        }
        if namespaces & libc::CLONE_NEWUSER != 0 {
            stay_root()?;
        }
        if namespaces & libc::CLONE_NEWNS != 0 {
            // Else mounts would show outside.
            mount(None, c"/", None, libc::MS_REC | libc::MS_PRIVATE)?;
        }
        mounts.iter().try_for_each(|one| one.make())
    };
    // SAFETY: only system calls are made between fork and exec, and nothing is allocated.
    unsafe { command.pre_exec(go) };
}

/// Runs the command to its end. The test is skipped where the kernel refuses the namespaces.
pub fn output(command: &mut Command) -> Result<Output, Skip> {
    command.output().map_err(|error| refused(command, &error))
}

/// Starts the command. The test is skipped where the kernel refuses the namespaces.
pub fn spawn(command: &mut Command) -> Result<Child, Skip> {
    command.spawn().map_err(|error| refused(command, &error))
}

fn refused(command: &Command, error: &io::Error) -> Skip {
    let known = [
        libc::EPERM,
        libc::EINVAL,
        libc::ENODEV,
        libc::ENOSPC,
        libc::ENOSYS,
    ];
    assert!(
        error
            .raw_os_error()
            .is_some_and(|code| known.contains(&code)),
        "cannot run {command:?}: {error}"
    );
    Skip::because(format_args!("no such namespaces here: {error}"))
}

impl Mount {
    fn make(self) -> io::Result<()> {
        const FIRM: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        match self {
            Mount::Proc => mount(Some(c"proc"), c"/proc", Some(c"proc"), FIRM),
            Mount::ReadOnlySys => mount(
                Some(c"sysfs"),
                c"/sys",
                Some(c"sysfs"),
                FIRM | libc::MS_RDONLY,
            ),
            Mount::ReadOnlyCgroups => mount(
                Some(c"cgroup2"),
                c"/sys/fs/cgroup",
                Some(c"cgroup2"),
                FIRM | libc::MS_RDONLY,
            ),
            Mount::Empty(folder) => mount(Some(c"tmpfs"), folder, Some(c"tmpfs"), FIRM),
            // SAFETY: the path is a C string that outlives the call.
            Mount::Unmounted(folder) => check(unsafe { libc::umount(folder.as_ptr()) }),
        }
    }
}

/// The process that unshared is still outside of the new pid namespace; its next child is the first one inside. So it
/// waits for that child and ends as the child did, and the child goes on.
fn become_first() -> io::Result<()> {
    // SAFETY: the process has one thread here, between fork and exec.
    let child = unsafe { libc::fork() };
    match child {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the call takes integers.
        0 => check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }),
        // SAFETY: system calls on integers, and on a status that outlives the call.
        _ => unsafe {
            // The pipe too by which std learns whether exec worked, or it would wait for the end.
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
            let mut status = 0;
            while libc::waitpid(child, &mut status, 0) == -1 {}
            match libc::WIFEXITED(status) {
                true => libc::_exit(libc::WEXITSTATUS(status)),
                // As shells say it.
                false => libc::_exit(128 + libc::WTERMSIG(status)),
            }
        },
    }
}

/// In a new user namespace the user is nobody until this is written (user_namespaces(7)).
fn stay_root() -> io::Result<()> {
    for (file, text) in [
        (c"/proc/self/setgroups", "deny"),
        (c"/proc/self/uid_map", "0 0 1"),
        (c"/proc/self/gid_map", "0 0 1"),
    ] {
        // SAFETY: the path is a C string, and the text as long as said; both outlive the calls.
        unsafe {
            let fd = libc::open(file.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            let written = libc::write(fd, text.as_ptr().cast(), text.len());
            let error = io::Error::last_os_error();
            libc::close(fd);
            if written < 0 {
                return Err(error);
            }
        }
    }
    Ok(())
}

fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: the texts are C strings that outlive the call, or null, which it takes.
    check(unsafe {
        libc::mount(
            pointer(source),
            target.as_ptr(),
            pointer(kind),
            flags,
            std::ptr::null(),
        )
    })
}

fn check(answer: libc::c_int) -> io::Result<()> {
    match answer {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
