//! Where outputs go: standard output, regular files that appear whole or not at all, and special files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::fd::FromRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tempfile::NamedTempFile;

use super::signals;

/// An output that was opened before sampling starts and is written after it.
#[derive(Debug)]
pub(super) struct Output {
    /// The path as it was given, for messages.
    pub(super) path: PathBuf,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    /// A temporary file beside the target, which it replaces when it is complete.
    Replace {
        file: NamedTempFile,
        target: PathBuf,
    },
    /// A pipe, a terminal, a device: written as it is, never replaced.
    Stream(File),
    /// Standard output.
    Stdout,
}

impl Output {
    /// Opens `path` for writing, so that what can't be written is known before sampling starts.
    pub(super) fn open(path: &Path) -> Result<Output> {
        let action = || format!("write {}", path.display());
        if let Some(fd) = inherited(path) {
            let sink = match fd {
                1 => Sink::Stdout,
                // SAFETY: duplicating a descriptor touches no memory; one that isn't open is an error.
                _ => match unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) } {
                    -1 => return Err(io::Error::last_os_error()).with_context(action),
                    // SAFETY: the descriptor was made just now and has no other owner.
                    copy => Sink::Stream(unsafe { File::from_raw_fd(copy) }),
                },
            };
            return Ok(Output {
                path: path.into(),
                sink,
            });
        }
        let sink = match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => {
                bail!(
                    "write {}: it is a directory; give the name of a file in it",
                    path.display()
                )
            }
            Ok(meta) if meta.is_file() => {
                // Renaming needs no permission on the old file; a read-only file is meant to stay.
                OpenOptions::new()
                    .write(true)
                    .open(path)
                    .with_context(action)?;
                let target = fs::canonicalize(path).with_context(action)?;
                let file = temporary_beside(&target, meta.permissions().mode() & 0o7777)
                    .with_context(action)?;
                file.as_file()
                    .set_permissions(meta.permissions())
                    .with_context(action)?;
                Sink::Replace { file, target }
            }
            Ok(meta) if meta.file_type().is_socket() => {
                bail!("write {}: it is a socket", path.display())
            }
            Ok(_) => Sink::Stream(
                OpenOptions::new()
                    .write(true)
                    .open(path)
                    .with_context(action)?,
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if path.file_name().is_none() || path.to_string_lossy().ends_with('/') {
                    bail!("write {}: this names no file", path.display());
                }
                // A link to a file that is not there yet means that file.
                let target = followed(path);
                let file = temporary_beside(&target, 0o666).with_context(action)?;
                Sink::Replace { file, target }
            }
            Err(error) => return Err(error).with_context(action),
        };
        if let Sink::Replace { file, .. } = &sink {
            signals::remove_on_abort(file.path());
        }
        Ok(Output {
            path: path.into(),
            sink,
        })
    }

    /// Writes all of an output. A regular file is on disk and in place when this returns `Ok`; on any error it
    /// is as it was before.
    pub(super) fn write(self, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        let path = self.path.display().to_string();
        let action = || format!("write {path}");
        match self.sink {
            Sink::Stdout => {
                let mut out = BufWriter::new(io::stdout().lock());
                fill(&mut out)
                    .and_then(|()| Ok(out.flush()?))
                    .context("write standard output")
            }
            Sink::Stream(file) => {
                let mut out = BufWriter::new(file);
                fill(&mut out)
                    .and_then(|()| Ok(out.flush()?))
                    .with_context(action)
            }
            Sink::Replace { file, target } => {
                let mut out = BufWriter::with_capacity(64 * 1024, file);
                fill(&mut out).with_context(action)?;
                let file = out
                    .into_inner()
                    .map_err(io::IntoInnerError::into_error)
                    .with_context(action)?;
                file.as_file().sync_all().with_context(action)?;
                file.persist(&target)
                    .map_err(|e| e.error)
                    .with_context(action)?;
                Ok(())
            }
        }
    }

    /// Whether this is the same place as another output, so that one would overwrite the other.
    pub(super) fn same_place(&self, other: &Output) -> bool {
        match (&self.sink, &other.sink) {
            (Sink::Replace { target: a, .. }, Sink::Replace { target: b, .. }) => {
                place(a) == place(b)
            }
            (Sink::Stdout, Sink::Stdout) => true,
            (Sink::Replace { .. } | Sink::Stream(_) | Sink::Stdout, _) => false,
        }
    }

    /// Whether it goes to standard output.
    pub(super) fn is_stdout(&self) -> bool {
        matches!(self.sink, Sink::Stdout)
    }

    /// Whether a path is written as it is: standard output, a pipe, a device.
    pub(super) fn is_special(path: &Path) -> bool {
        inherited(path).is_some()
            || fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
    }
}

/// The descriptor that a path such as `-`, `/dev/stdout` or `/dev/fd/63` stands for. Opening such a path would
/// open the file behind it anew, from its beginning.
fn inherited(path: &Path) -> Option<i32> {
    match path.to_str()? {
        "-" | "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        path => path
            .strip_prefix("/dev/fd/")
            .or_else(|| path.strip_prefix("/proc/self/fd/"))?
            .parse()
            .ok(),
    }
}

/// Where the links at a path's end lead; the kernel has found that they end, so that this does.
fn followed(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    while let Ok(link) = fs::read_link(&path) {
        path = path.parent().unwrap_or(Path::new("")).join(link);
    }
    path
}

/// A hidden temporary file in the folder of `target`; `mode` is narrowed by the umask.
fn temporary_beside(target: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    tempfile::Builder::new()
        .prefix(".kprof-")
        .suffix(".tmp")
        // Opened here, since tempfile's own opening puts its path into the error; the reader asked for another.
        .make_in(folder, |path| {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(path)
        })
}

/// A path made comparable: its folder without links and dots.
fn place(target: &Path) -> PathBuf {
    let folder = target
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.into());
    target
        .file_name()
        .map(|name| folder.join(name))
        .unwrap_or(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn a_file_appears_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.folded");
        let output = Output::open(&path).unwrap();
        assert!(!path.exists());
        output.write(|out| Ok(out.write_all(b"x 1\n")?)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x 1\n");
        assert_eq!(names(dir.path()), ["a.folded"]);
    }

    #[test]
    fn a_failure_leaves_nothing_and_the_old_file_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("new.svg");
        assert!(Output::open(&new).unwrap().write(|_| bail!("no")).is_err());
        assert_eq!(names(dir.path()), Vec::<String>::new());

        let old = dir.path().join("old.svg");
        fs::write(&old, "old").unwrap();
        let failed = Output::open(&old).unwrap().write(|out| {
            out.write_all(b"half")?;
            bail!("no")
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&old).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["old.svg"]);
    }

    #[test]
    fn dropping_an_output_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(Output::open(&dir.path().join("a.svg")).unwrap());
        assert_eq!(names(dir.path()), Vec::<String>::new());
    }

    #[test]
    fn links_and_modes_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file.txt"), dir.path().join("link.txt"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        Output::open(&link)
            .unwrap()
            .write(|out| Ok(out.write_all(b"new")?))
            .unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o640
        );
    }

    #[test]
    fn a_link_to_a_file_to_come_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("new.svg"), dir.path().join("link.svg"));
        std::os::unix::fs::symlink("link2.svg", &link).unwrap();
        std::os::unix::fs::symlink("new.svg", dir.path().join("link2.svg")).unwrap();
        let output = Output::open(&link).unwrap();
        assert!(output.same_place(&Output::open(&file).unwrap()));
        output.write(|out| Ok(out.write_all(b"new")?)).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        let astray = dir.path().join("astray.svg");
        std::os::unix::fs::symlink("no/such/x.svg", &astray).unwrap();
        assert!(Output::open(&astray).is_err());
    }

    #[test]
    fn places_that_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        for (path, word) in [
            (dir.path().to_path_buf(), "directory"),
            (dir.path().join("no/such/a.svg"), "No such file"),
            (dir.path().join("a.svg/"), "names no file"),
        ] {
            let error = format!("{:#}", Output::open(&path).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn devices_are_written_not_replaced() {
        Output::open(Path::new("/dev/null"))
            .unwrap()
            .write(|out| Ok(out.write_all(b"x")?))
            .unwrap();
        assert!(
            fs::metadata("/dev/null")
                .unwrap()
                .file_type()
                .is_char_device()
        );
        let full = Output::open(Path::new("/dev/full")).unwrap();
        let error = full.write(|out| Ok(out.write_all(b"x")?)).unwrap_err();
        assert!(format!("{error:#}").contains("No space left"), "{error:#}");
    }

    #[test]
    fn the_same_file_by_two_names() {
        let dir = tempfile::tempdir().unwrap();
        let a = Output::open(&dir.path().join("a.svg")).unwrap();
        let b = Output::open(&dir.path().join("./a.svg")).unwrap();
        let c = Output::open(&dir.path().join("c.svg")).unwrap();
        assert!(a.same_place(&b) && !a.same_place(&c));
    }
}
