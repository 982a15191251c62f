//! Files and directories: the same calls serve a file system on disk and one in memory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{
    Advice, AtFlags, CWD, FallocateFlags, FlockOperation, Mode, OFlags, RenameFlags, StatxFlags,
    Timespec, Timestamps, XattrFlags, copy_file_range, fadvise, fallocate, fdatasync, flock, fsync,
    futimens, getxattr, listxattr, mkfifoat, open, removexattr, renameat_with, sendfile, setxattr,
    statfs, statx,
};

use super::Ops;

/// Size of the file that is read and written.
const SIZE: u64 = 4 << 20;
const PAGE: u64 = 4096;

pub(super) fn ops(directory: &Path) -> Result<Ops> {
    let at = |name: &str| directory.join(name);
    let make = |name: &str| -> Result<File> {
        let path = directory.join(name);
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .with_context(|| format!("make {}", path.display()))
    };
    let data = make("data")?;
    data.write_all_at(&vec![0x6b; SIZE as usize], 0)
        .context("fill a temporary file")?;
    make("other")?;
    fs::create_dir_all(at("tree/a/b/c")).context("make a directory tree")?;
    for index in 0..100 {
        File::create(directory.join(format!("tree/a/b/c/file{index}")))
            .context("fill a directory")?;
    }
    let mut ops = Ops::default();
    reads_and_writes(&mut ops, &data, &at("data"))?;
    space(&mut ops, &data, make("sparse")?)?;
    names(&mut ops, directory);
    attributes(&mut ops, &data, at("other"))?;
    Ok(ops)
}

fn reads_and_writes(ops: &mut Ops, data: &File, path: &Path) -> Result<()> {
    let duplicate = || data.try_clone().context("duplicate a file descriptor");
    let page = |random: u64| random % (SIZE / PAGE) * PAGE;

    let (file, mut buffer) = (duplicate()?, vec![0; 32 << 10]);
    ops.add("pread", move |random| {
        let length = 1 + random.below(buffer.len() as u64) as usize;
        file.read_at(&mut buffer[..length], page(random.below(SIZE)))?;
        Ok(())
    });
    let (file, buffer) = (duplicate()?, vec![1; 32 << 10]);
    ops.add("pwrite", move |random| {
        let length = 1 + random.below(buffer.len() as u64) as usize;
        file.write_at(&buffer[..length], random.below(SIZE - 40_000))?;
        Ok(())
    });
    let (mut file, mut buffer) = (duplicate()?, [0; 100]);
    ops.add("seek-read-write", move |random| {
        file.seek(SeekFrom::Start(random.below(SIZE - 1000)))?;
        file.read_exact(&mut buffer)?;
        file.write_all(&buffer)
    });
    let path = path.to_owned();
    ops.add("open-append", move |_| {
        let mut file = OpenOptions::new().append(true).open(&path)?;
        file.write_all(b"line\n")?;
        file.set_len(SIZE)
    });
    let file = duplicate()?;
    ops.add("sync", move |random| match random.below(40) {
        // Seldom: a disk is slow to answer.
        0 => Ok(fsync(&file)?),
        1 => Ok(fdatasync(&file)?),
        _ => Ok(fadvise(
            &file,
            page(random.below(SIZE)),
            None,
            Advice::WillNeed,
        )?),
    });
    let file = duplicate()?;
    ops.add("drop-from-page-cache", move |random| {
        fadvise(
            &file,
            page(random.below(SIZE)),
            std::num::NonZero::new(16 * PAGE),
            Advice::DontNeed,
        )?;
        Ok(())
    });
    let file = duplicate()?;
    let null = OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .context("open /dev/null")?;
    ops.add("sendfile", move |random| {
        let mut from = page(random.below(SIZE));
        sendfile(&null, &file, Some(&mut from), 64 << 10)?;
        Ok(())
    });
    Ok(())
}

fn space(ops: &mut Ops, data: &File, sparse: File) -> Result<()> {
    let duplicate = |file: &File| file.try_clone().context("duplicate a file descriptor");
    let file = duplicate(&sparse)?;
    ops.add("truncate", move |random| file.set_len(random.below(SIZE)));
    let file = duplicate(&sparse)?;
    ops.add("fallocate", move |random| {
        let mode = *random.pick(&[
            FallocateFlags::empty(),
            FallocateFlags::KEEP_SIZE,
            FallocateFlags::PUNCH_HOLE.union(FallocateFlags::KEEP_SIZE),
        ]);
        fallocate(&file, mode, random.below(SIZE / 2), 16 * PAGE)?;
        Ok(())
    });
    let (file, from) = (duplicate(&sparse)?, duplicate(data)?);
    ops.add("copy-file-range", move |random| {
        let (mut read, mut write) = (random.below(SIZE / 2), random.below(SIZE / 2));
        copy_file_range(&from, Some(&mut read), &file, Some(&mut write), 100_000)?;
        Ok(())
    });
    let file = sparse;
    ops.add("seek-hole", move |random| {
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
        let from = random.below(1000);
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(from)).map_err(io::Error::from)?;
        Ok(())
    });
    Ok(())
}

fn names(ops: &mut Ops, directory: &Path) {
    let at = |name: &str| directory.join(name);
    let (path, other) = (at("new"), at("renamed"));
    ops.add("create-rename-unlink", move |_| {
        File::create(&path)?;
        fs::rename(&path, &other)?;
        fs::remove_file(&other)
    });
    let (path, other) = (at("data"), at("link"));
    ops.add("link-unlink", move |_| {
        fs::hard_link(&path, &other)?;
        fs::remove_file(&other)
    });
    let path = at("symlink");
    ops.add("symlink-readlink-unlink", move |_| {
        symlink("tree/a/b", &path)?;
        fs::read_link(&path)?;
        fs::metadata(&path)?;
        fs::remove_file(&path)
    });
    let path = at("made");
    ops.add("mkdir-rmdir", move |_| {
        fs::create_dir(&path)?;
        fs::remove_dir(&path)
    });
    let path = at("fifo");
    ops.add("mkfifo-open-unlink", move |_| {
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR)?;
        let opened = open(
            &path,
            OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        );
        fs::remove_file(&path)?;
        opened?;
        Ok(())
    });
    let (path, other) = (at("left"), at("right"));
    ops.add("exchange", move |_| {
        File::create(&path)?;
        fs::create_dir(&other)?;
        let exchanged = renameat_with(CWD, &path, CWD, &other, RenameFlags::EXCHANGE);
        // Whichever is what now, both go.
        for name in [&path, &other] {
            fs::remove_file(name).or_else(|_| fs::remove_dir(name))?;
        }
        Ok(exchanged?)
    });
    let path = directory.to_owned();
    ops.add("unnamed-file", move |_| {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = File::from(open(&path, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all_at(b"unnamed", 0)
    });
    let path = at("tree");
    ops.add("walk", move |_| walk(&path));
    let path = at("tree/a/b/c");
    ops.add("negative-lookup", move |random| {
        match fs::metadata(path.join(format!("none{}", random.below(1 << 20)))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map(drop),
        }
    });
}

fn attributes(ops: &mut Ops, data: &File, other: PathBuf) -> Result<()> {
    let path = other.clone();
    ops.add("xattr", move |random| {
        let value = vec![7; 1 + random.below(200) as usize];
        setxattr(&path, c"user.kprof", &value, XattrFlags::empty())?;
        let mut buffer = [0u8; 256];
        getxattr(&path, c"user.kprof", &mut buffer)?;
        listxattr(&path, &mut buffer)?;
        removexattr(&path, c"user.kprof")?;
        Ok(())
    });
    let path = other.clone();
    ops.add("chmod", move |random| {
        let mode = 0o600 | random.below(0o100) as u32;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
    });
    let path = other.clone();
    ops.add("chown", move |_| {
        std::os::unix::fs::chown(&path, Some(0), Some(0))
    });
    let path = other;
    ops.add("statx-statfs", move |_| {
        statx(CWD, &path, AtFlags::empty(), StatxFlags::ALL)?;
        statfs(&path)?;
        Ok(())
    });
    let file = data.try_clone().context("duplicate a file descriptor")?;
    ops.add("utimens", move |random| {
        let time = Timespec {
            tv_sec: random.below(1 << 30) as i64,
            tv_nsec: 0,
        };
        futimens(
            &file,
            &Timestamps {
                last_access: time,
                last_modification: time,
            },
        )?;
        Ok(())
    });
    let file = data.try_clone().context("duplicate a file descriptor")?;
    ops.add("flock", move |_| {
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        flock(&file, FlockOperation::NonBlockingLockShared)?;
        flock(&file, FlockOperation::Unlock)?;
        Ok(())
    });
    let file = data.try_clone().context("duplicate a file descriptor")?;
    ops.add("record-lock", move |_| {
        rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)?;
        rustix::fs::fcntl_lock(&file, FlockOperation::Unlock)?;
        Ok(())
    });
    Ok(())
}

fn walk(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.metadata()?.is_dir() {
            walk(&entry.path())?;
        }
    }
    Ok(())
}
