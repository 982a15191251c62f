//! Cgroups that tests make.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Skip;
use crate::burn::Process;

/// Where guests have version 2.
const ROOT: &str = "/sys/fs/cgroup";

/// A cgroup; removed when dropped, with those below that were made before.
#[derive(Debug)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes it.
    pub fn new(path: impl AsRef<Path>) -> Cgroup {
        let path = path.as_ref();
        std::fs::create_dir(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Cgroup(path.to_owned())
    }

    /// Makes one of version 2 that is in no other.
    pub fn at_root(name: &str) -> Cgroup {
        Cgroup::new(Path::new(ROOT).join(name))
    }

    /// Makes one in this one.
    pub fn below(&self, name: &str) -> Cgroup {
        Cgroup::new(self.0.join(name))
    }

    /// Its folder.
    pub fn path(&self) -> &str {
        self.0.to_str().expect("a path in ASCII")
    }

    /// Moves a process in.
    pub fn takes(&self, process: &Process) {
        put(&self.0, process);
    }

    /// Removes it now. What it held must have left; the kernel sees an end a little later.
    pub fn remove(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        while let Err(error) = std::fs::remove_dir(&self.0) {
            assert!(Instant::now() < end, "{}: {error}", self.0.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if self.0.exists() && !std::thread::panicking() {
            self.remove();
        }
    }
}

/// Moves a process of version 2 to where it is in no cgroup.
pub fn take_out(process: &Process) {
    put(ROOT.as_ref(), process);
}

fn put(cgroup: &Path, process: &Process) {
    let file = cgroup.join("cgroup.procs");
    std::fs::write(file, process.id().to_string()).expect("move a process");
}

/// A hierarchy of version 1, with a controller or, where the kernel has none for version 1, without any.
#[derive(Debug)]
pub struct Version1 {
    _folder: tempfile::TempDir,
    /// Where it is mounted.
    pub path: PathBuf,
}

impl Version1 {
    /// Mounts one. The test is skipped where the kernel has none.
    pub fn mount() -> Result<Version1, Skip> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_owned();
        for options in ["cpu", "freezer", "none,name=kp"] {
            let mut mount = Command::new("mount");
            mount.args(["-t", "cgroup", "-o", options, "none"]);
            let output = mount.arg(&path).output().expect("run mount");
            if output.status.success() {
                println!("version 1 with -o {options}");
                return Ok(Version1 {
                    _folder: folder,
                    path,
                });
            }
        }
        Err(Skip::because("this kernel has no cgroups of version 1"))
    }
}

impl Drop for Version1 {
    fn drop(&mut self) {
        let done = Command::new("umount").arg(&self.path).status();
        let done = done.expect("run umount");
        assert!(done.success() || std::thread::panicking(), "umount: {done}");
    }
}
