//! Anonymous network namespaces: they have no name in the file system and live as long as a file
//! descriptor of this process, or a socket made inside them, is open.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use anyhow::{Context, Result, anyhow};
use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use super::netlink::{Rtnetlink, index_of};

/// A network namespace of its own, with its loopback device up.
pub(super) struct Netns(File);

impl Netns {
    pub(super) fn new() -> Result<Self> {
        let made = on_own_thread(|| {
            // SAFETY: CLONE_NEWNET leaves the file descriptor table shared; only the network
            // namespace of this thread, which ends right after, changes.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.map_err(explain)?;
            let rtnetlink = Rtnetlink::open().context("open rtnetlink")?;
            rtnetlink
                .set_up(index_of("lo").context("find the loopback device")?)
                .context("set the loopback device up")?;
            File::open("/proc/thread-self/ns/net").context("open the new network namespace")
        })?;
        Ok(Self(made))
    }

    /// Runs `work` on a thread inside this namespace. Sockets it opens stay in the namespace
    /// wherever they are used later.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        on_own_thread(|| self.run_here(work))
    }

    /// Moves the calling thread into this namespace, for good, and runs `work` there.
    pub(super) fn run_here<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
            .context("enter the network namespace")?;
        work()
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A new file system of this kind, mounted nowhere: it goes away with the descriptor. A sysfs shows
/// the devices of the calling thread's network namespace. Needs Linux 5.2 (`fsopen`).
pub(super) fn detached_mount(kind: &str, options: &[(&CStr, &CStr)]) -> Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
        .with_context(|| format!("open a {kind} (needs root)"))?;
    for (key, value) in options {
        fsconfig_set_string(&context, *key, *value)
            .with_context(|| format!("set {} of a {kind}", key.to_string_lossy()))?;
    }
    fsconfig_create(&context).with_context(|| format!("create a {kind}"))?;
    fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )
    .with_context(|| format!("mount a {kind}"))
}

/// Writes `value` to the file `path` below the directory `root`.
pub(super) fn write_at(root: &OwnedFd, path: &str, value: &str) -> Result<()> {
    let file = openat(root, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .with_context(|| format!("open {path} of the network namespace"))?;
    rustix::io::write(&file, value.as_bytes())
        .with_context(|| format!("write {value} to {path} of the network namespace"))?;
    Ok(())
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|_| Err(anyhow!("a thread that set up a network namespace panicked")))
}

fn explain(errno: rustix::io::Errno) -> anyhow::Error {
    let error = io::Error::from(errno);
    if errno == rustix::io::Errno::PERM {
        return anyhow!(
            "this load makes its own network namespaces and needs root (CAP_SYS_ADMIN): run it with sudo"
        );
    }
    anyhow::Error::new(error).context("make a network namespace")
}
