//! Reads of kernel files: nearly every one of them has a show function of its own.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::Ops;
use crate::load::random::Random;

/// Files and directories taken from one tree at most.
const MOST: usize = 6_000;
const DEPTH: usize = 7;
/// Read from one file at most.
const BYTES: usize = 64 << 10;

/// Files that block, that act when they are read, or that show raw memory.
const LEFT_OUT: [&str; 14] = [
    "kmsg",
    "kcore",
    "vmcore",
    "kpagecount",
    "kpageflags",
    "kpagecgroup",
    "mem",
    "sysrq-trigger",
    "stat_refresh",
    // Deprecated: each read is a line in the kernel log.
    "retrans_time",
    "base_reachable_time",
    "acpi",
    "bus",
    "tracing",
];

pub(super) fn procfs() -> Result<Ops> {
    let mut tree = Tree::default();
    // Not the directories of other processes: those come and go.
    tree.list(Path::new("/proc"));
    for below in [
        "self/task",
        "self/net",
        "self/ns",
        "self/attr",
        "self/fdinfo",
        "sys",
        "fs",
        "irq",
        "tty",
        "sysvipc",
        "driver",
        "pressure",
        "self",
    ] {
        tree.walk(&Path::new("/proc").join(below), DEPTH);
    }
    tree.ops()
}

pub(super) fn sysfs() -> Result<Ops> {
    let mut tree = Tree::default();
    // Not the devices on a bus: reading a register of real hardware may have an effect.
    for below in [
        "fs/cgroup",
        "kernel",
        "fs",
        "module",
        "devices/system",
        "devices/virtual",
        "class/bdi",
        "power",
    ] {
        tree.walk(&Path::new("/sys").join(below), DEPTH);
    }
    tree.ops()
}

#[derive(Default)]
struct Tree {
    files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
}

impl Tree {
    /// Takes the files of a directory and what is below it, on the same file system.
    fn walk(&mut self, directory: &Path, depth: usize) {
        let Ok(device) = fs::metadata(directory).map(|metadata| metadata.dev()) else {
            return; // not every kernel has each of them
        };
        for below in self.list(directory) {
            let same = fs::metadata(&below).is_ok_and(|metadata| metadata.dev() == device);
            if same && depth > 0 {
                self.walk(&below, depth - 1);
            }
        }
    }

    /// Takes the readable files of a directory; returns the directories in it.
    fn list(&mut self, directory: &Path) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(directory) else {
            return Vec::new();
        };
        let mut below = Vec::new();
        self.directories.push(directory.to_owned());
        for entry in entries.flatten() {
            let name = entry.file_name();
            let (Some(name), Ok(metadata)) = (name.to_str(), entry.metadata()) else {
                continue;
            };
            if LEFT_OUT.contains(&name) || self.files.len() >= MOST {
                continue;
            }
            if metadata.is_dir() {
                below.push(entry.path());
            } else if metadata.is_file() && metadata.permissions().mode() & 0o400 != 0 {
                self.files.push(entry.path());
            }
        }
        below
    }

    fn ops(self) -> Result<Ops> {
        ensure!(!self.files.is_empty(), "found no kernel file to read");
        let Self { files, directories } = self;
        let mut buffer = vec![0; BYTES];
        let mut ops = Ops::default();
        let read_from = files.clone();
        ops.add("read-kernel-file", move |random| {
            read(random.pick::<PathBuf>(&read_from), &mut buffer)
        });
        let mut small = [0; 1];
        let piece_of = files.clone();
        ops.add("read-kernel-byte", move |random| {
            read(random.pick::<PathBuf>(&piece_of), &mut small)
        });
        ops.add("stat-kernel-file", move |random| {
            fs::metadata(random.pick(&files)).map(drop)
        });
        ops.add("list-kernel-directory", move |random: &mut Random| {
            fs::read_dir(random.pick(&directories))?
                .flatten()
                .take(64)
                .try_for_each(|entry| entry.metadata().map(drop))
        });
        Ok(ops)
    }
}

/// Reads what fits into the buffer. A file that refuses has been asked all the same.
fn read(path: &Path, buffer: &mut [u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) | Err(_) => break,
            Ok(count) => filled += count,
        }
    }
    Ok(())
}
