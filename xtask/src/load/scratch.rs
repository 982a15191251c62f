//! Temporary files of the loads, and how those of a killed load go away.
//!
//! A single file never has a name ([`unnamed_file`]), so the kernel frees it with the process. A
//! directory needs one: [`Scratch`] holds a lock on it for as long as the process lives, and each
//! start removes the directories of this kind that nobody holds.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

const PREFIX: &str = "kprof-load-";

/// The workspace's `target` directory: on a disk, and ignored by git.
pub(super) fn default_dir() -> Result<PathBuf> {
    let dir = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
    };
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    dir.canonicalize()
        .with_context(|| format!("resolve {}", dir.display()))
}

/// A file in `dir` that has no name and is gone when it is closed.
pub(super) fn unnamed_file(dir: &Path) -> Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(file.into()),
        // The file system has no O_TMPFILE: make a file and take its name away.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {
            let path = dir.join(format!("{PREFIX}{}", std::process::id()));
            let file = File::create_new(&path)
                .with_context(|| format!("make the temporary file {}", path.display()))?;
            fs::remove_file(&path).with_context(|| format!("unlink {}", path.display()))?;
            Ok(file)
        }
        Err(errno) => {
            Err(errno).with_context(|| format!("make a temporary file in {}", dir.display()))
        }
    }
}

/// A directory for temporary files, removed with all it holds when dropped.
pub(super) struct Scratch {
    path: PathBuf,
    /// Its lock says that the owner lives.
    _lock: File,
}

impl Scratch {
    /// Makes a directory below `parent`, after removing what killed loads left there.
    pub(super) fn create(parent: &Path) -> Result<Self> {
        sweep(parent)?;
        for attempt in 0..100 {
            let path = parent.join(format!("{PREFIX}{}-{attempt}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => {
                    return Err(error).with_context(|| format!("make {}", path.display()));
                }
            }
            // Another start may sweep the directory before its lock is held: then try again.
            if let Some(lock) = lock(&path) {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(anyhow!(
            "make a temporary directory in {}: every name is taken",
            parent.display()
        ))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!(
                "load: could not remove {} ({error}); the next load tries again",
                self.path.display()
            );
        }
    }
}

/// The lock of the directory, if nobody else holds it and the directory still exists.
fn lock(path: &Path) -> Option<File> {
    let directory = File::open(path).ok()?;
    flock(&directory, FlockOperation::NonBlockingLockExclusive).ok()?;
    (directory.metadata().ok()?.nlink() > 0).then_some(directory)
}

/// Removes the temporary directories below `parent` whose owner is gone.
fn sweep(parent: &Path) -> Result<()> {
    let entries = fs::read_dir(parent).with_context(|| format!("list {}", parent.display()))?;
    for entry in entries.flatten() {
        let ours = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX));
        if ours && let Some(_lock) = lock(&entry.path()) {
            fs::remove_dir_all(entry.path())
                .with_context(|| format!("remove {} of a killed load", entry.path().display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{PREFIX, Scratch, unnamed_file};

    #[test]
    fn a_directory_goes_with_its_owner_and_a_stranded_one_with_the_next() {
        let parent = Scratch::create(&std::env::temp_dir()).unwrap();
        let stranded = parent.path().join(format!("{PREFIX}1-0"));
        fs::create_dir_all(stranded.join("deep")).unwrap();
        let unrelated = parent.path().join("unrelated");
        fs::create_dir(&unrelated).unwrap();

        let first = Scratch::create(parent.path()).unwrap();
        let second = Scratch::create(parent.path()).unwrap();
        assert!(!stranded.exists());
        assert!(unrelated.exists());
        assert!(first.path().exists() && second.path().exists());

        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_without_a_name_is_not_in_the_directory() {
        let parent = Scratch::create(&std::env::temp_dir()).unwrap();
        let _file = unnamed_file(parent.path()).unwrap();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
