//! Reading tracefs, for the ids of tracepoints.
//!
//! Where tracefs is not mounted, a private mount that no other process sees serves (`fsopen`, `fsmount`,
//! Linux 5.2): it is attached nowhere and gone when its descriptor is closed.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use super::cgroup::unescape;
use super::refusal::{self, Lack, Situation};
use super::text;

/// An accessible tracefs.
#[derive(Debug)]
pub struct Tracefs {
    root: PathBuf,
    /// Keeps a private mount alive; `None` for one in the file system.
    private: Option<OwnedFd>,
}

impl Tracefs {
    /// The id of a tracepoint, for `perf_event_attr.config`.
    pub fn id(&self, system: &str, point: &str) -> io::Result<u64> {
        let path = self.root.join("events").join(system).join(point).join("id");
        fs::read_to_string(path)?
            .trim()
            .parse()
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// All systems, such as `sched`.
    pub fn systems(&self) -> io::Result<Vec<String>> {
        folders(self.root.join("events"))
    }

    /// All tracepoints of a system, such as `sched_switch`.
    pub fn points(&self, system: &str) -> io::Result<Vec<String>> {
        folders(self.root.join("events").join(system))
    }

    /// Whether it is mounted where everyone can see it.
    pub fn is_mounted(&self) -> bool {
        self.private.is_none()
    }
}

fn folders(path: PathBuf) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(path)?
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Finds a mounted tracefs, or mounts one privately.
pub fn find() -> Result<Tracefs, Lack> {
    let mounts = text::read("/proc/self/mounts").unwrap_or_default();
    let mut denied = false;
    for root in roots(&mounts) {
        match fs::metadata(root.join("events")) {
            Ok(_) => {
                return Ok(Tracefs {
                    root,
                    private: None,
                });
            }
            Err(error) => denied |= error.kind() == io::ErrorKind::PermissionDenied,
        }
    }
    if denied {
        return Err(refusal::tracefs_denied());
    }
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !known
        .lines()
        .any(|line| line.trim_start_matches("nodev").trim() == "tracefs")
    {
        return Err(refusal::no_tracefs());
    }
    match mount_privately() {
        Ok(fd) => Ok(Tracefs {
            root: PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())),
            private: Some(fd),
        }),
        Err(_) => Err(refusal::tracefs_not_mounted(&Situation::now())),
    }
}

/// Where tracefs may be: its usual places first.
pub(super) fn roots(mounts: &str) -> Vec<PathBuf> {
    let mut roots = vec![
        PathBuf::from("/sys/kernel/tracing"),
        PathBuf::from("/sys/kernel/debug/tracing"),
    ];
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        if let (Some(path), Some("tracefs")) = (fields.next(), fields.next()) {
            roots.push(PathBuf::from(unescape(path)));
        }
    }
    roots
}

fn mount_privately() -> io::Result<OwnedFd> {
    const FSOPEN_CLOEXEC: libc::c_uint = 1;
    const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
    const FSMOUNT_CLOEXEC: libc::c_uint = 1;
    const TRACEFS: &CStr = c"tracefs";
    // SAFETY: the name is a C string, and the kernel only reads it.
    let context =
        owned(unsafe { libc::syscall(libc::SYS_fsopen, TRACEFS.as_ptr(), FSOPEN_CLOEXEC) })?;
    let null = std::ptr::null::<libc::c_char>();
    // SAFETY: this command takes neither key nor value, so both pointers are null.
    let created = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            null,
            null,
            0,
        )
    };
    if created < 0 {
        return Err(io::Error::last_os_error());
    }
    let attributes = (libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOEXEC | libc::MOUNT_ATTR_NOSUID)
        as libc::c_uint;
    // SAFETY: all arguments are integers.
    owned(unsafe {
        libc::syscall(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            FSMOUNT_CLOEXEC,
            attributes,
        )
    })
}

/// Takes a system call's result as a new descriptor.
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned this descriptor, and nothing else owns it. It fits: descriptors
    // are ints.
    Ok(unsafe { OwnedFd::from_raw_fd(result as i32) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounted_places_are_found() {
        let mounts = "proc /proc proc rw 0 0\nnone /t tracefs rw 0 0\n";
        assert_eq!(roots(mounts).last().unwrap(), &PathBuf::from("/t"));
        let mounts = "none /a\\040b tracefs rw 0 0\n";
        assert_eq!(roots(mounts).last().unwrap(), &PathBuf::from("/a b"));
        assert_eq!(roots("").len(), 2);
    }

    #[test]
    fn the_scheduler_has_a_tracepoint() {
        let tracefs = match find() {
            Ok(tracefs) => tracefs,
            Err(lack) => crate::skip::skip!("{}", lack.cause),
        };
        assert!(tracefs.systems().unwrap().iter().any(|s| s == "sched"));
        assert!(tracefs.id("sched", "sched_switch").unwrap() > 0);
        assert_eq!(
            tracefs.id("sched", "no_such_point").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
