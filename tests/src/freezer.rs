//! Freezes a process by its cgroup, as container runtimes pause a container.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Skip, wait_until};

/// A cgroup (version 2) of one process; taken away when dropped.
#[derive(Debug)]
pub struct Freezer {
    group: PathBuf,
    pid: u32,
    /// A mount of our own, where there was none.
    mount: Option<tempfile::TempDir>,
}

impl Freezer {
    /// Moves a process into a new cgroup. The test is skipped where that is not allowed.
    pub fn of(pid: u32) -> Result<Freezer, Skip> {
        let no =
            |what: &str, e: io::Error| Skip::because(format_args!("no cgroup here: {what}: {e}"));
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("read /proc/self/mounts");
        let mounted = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (place, kind) = (words.next()?, words.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(place))
        });
        let (root, mount) = match mounted {
            Some(root) => (root, None),
            None => {
                let folder = tempfile::tempdir().expect("a folder to mount on");
                let path = std::ffi::CString::new(folder.path().to_str().expect("UTF-8"))
                    .expect("a path without NUL");
                // SAFETY: the strings live until the call returns; no data is given.
                let made = unsafe {
                    libc::mount(
                        c"none".as_ptr(),
                        path.as_ptr(),
                        c"cgroup2".as_ptr(),
                        0,
                        std::ptr::null(),
                    )
                };
                if made != 0 {
                    return Err(no("mount", io::Error::last_os_error()));
                }
                (folder.path().to_owned(), Some(folder))
            }
        };
        let group = root.join(format!("kprof-test-{pid}"));
        let freezer = Freezer { group, pid, mount };
        std::fs::create_dir(&freezer.group).map_err(|e| no("mkdir", e))?;
        std::fs::write(freezer.group.join("cgroup.procs"), pid.to_string())
            .map_err(|e| no("cgroup.procs", e))?;
        if !freezer.group.join("cgroup.freeze").exists() {
            return Err(Skip::because(
                "this kernel's cgroups can't freeze (Linux 5.2)",
            ));
        }
        Ok(freezer)
    }

    /// Freezes the process, and returns when it is.
    pub fn freeze(&self) {
        self.set(true);
    }

    /// Lets it run again.
    pub fn thaw(&self) {
        self.set(false);
    }

    fn set(&self, frozen: bool) {
        let digit = u8::from(frozen).to_string();
        std::fs::write(self.group.join("cgroup.freeze"), &digit).expect("write cgroup.freeze");
        let line = format!("frozen {digit}");
        wait_until(&line, Duration::from_secs(30), || {
            let events = std::fs::read_to_string(self.group.join("cgroup.events"));
            events.is_ok_and(|events| events.lines().any(|have| have == line))
        });
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _ = std::fs::write(self.group.join("cgroup.freeze"), "0");
        // A process that has gone leaves by itself.
        if let Some(root) = self.group.parent() {
            let _ = std::fs::write(root.join("cgroup.procs"), self.pid.to_string());
        }
        // A process that has just ended may hold the group for a moment more.
        for _ in 0..500 {
            match std::fs::remove_dir(&self.group) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                _ => break,
            }
        }
        if let Some(folder) = &self.mount {
            let path = std::ffi::CString::new(folder.path().to_str().unwrap_or_default());
            // SAFETY: the string lives until the call returns.
            path.map(|path| unsafe { libc::umount(path.as_ptr()) }).ok();
        }
    }
}
