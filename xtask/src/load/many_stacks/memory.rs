//! Mappings and page faults. No more than a few MiB are mapped at a time.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use anyhow::{Context, Result};
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};
use rustix::mm::{
    Advice, MapFlags, MprotectFlags, MremapFlags, MsyncFlags, ProtFlags, madvise, mlock, mmap,
    mmap_anonymous, mprotect, mremap, msync, munlock, munmap,
};

use super::{Ops, check};

const PAGE: usize = 4096;

/// A mapping, gone when dropped.
struct Mapping {
    start: NonNull<c_void>,
    length: usize,
}

impl Mapping {
    fn anonymous(pages: usize, flags: MapFlags) -> io::Result<Self> {
        let length = pages * PAGE;
        // SAFETY: the kernel chooses a free place, so no memory in use is affected.
        let start = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                flags,
            )
        }?;
        Self::own(start, length)
    }

    fn of_file(
        file: impl AsFd,
        pages: usize,
        access: ProtFlags,
        flags: MapFlags,
    ) -> io::Result<Self> {
        let length = pages * PAGE;
        // SAFETY: the kernel chooses a free place, so no memory in use is affected.
        let start = unsafe { mmap(std::ptr::null_mut(), length, access, flags, file, 0) }?;
        Self::own(start, length)
    }

    fn own(start: *mut c_void, length: usize) -> io::Result<Self> {
        let start = NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, length })
    }

    fn at(&self) -> *mut c_void {
        self.start.as_ptr()
    }

    /// Writes to each page.
    fn write(&mut self) {
        for offset in (0..self.length).step_by(PAGE) {
            // SAFETY: `offset` is inside this mapping, which is writable wherever this is called.
            unsafe { self.at().cast::<u8>().add(offset).write_volatile(1) };
        }
    }

    /// Reads from each page.
    fn read(&self) {
        for offset in (0..self.length).step_by(PAGE) {
            // SAFETY: `offset` is inside this mapping, which is readable wherever this is called.
            unsafe { self.at().cast::<u8>().add(offset).read_volatile() };
        }
    }

    fn advise(&self, advice: Advice) -> io::Result<()> {
        // SAFETY: the range is this mapping, whose content nothing relies on.
        Ok(unsafe { madvise(self.at(), self.length, advice) }?)
    }

    fn protect(&mut self, access: MprotectFlags) -> io::Result<()> {
        // SAFETY: the range is this mapping; callers make it writable again before a write.
        Ok(unsafe { mprotect(self.at(), self.length, access) }?)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is this mapping, and no reference into it exists.
        let _ = unsafe { munmap(self.at(), self.length) };
    }
}

pub(super) fn ops() -> Result<Ops> {
    let mut ops = Ops::default();
    ops.add("map-write-unmap", |random| {
        let pages = 1 + random.below(64) as usize;
        Mapping::anonymous(pages, MapFlags::PRIVATE)?.write();
        Ok(())
    });
    ops.add("map-read-zero-page", |_| {
        Mapping::anonymous(32, MapFlags::PRIVATE)?.read();
        Ok(())
    });
    ops.add("map-populated", |random| {
        let pages = 1 + random.below(256) as usize;
        Mapping::anonymous(pages, MapFlags::PRIVATE | MapFlags::POPULATE).map(drop)
    });
    ops.add("map-shared", |_| {
        Mapping::anonymous(32, MapFlags::SHARED)?.write();
        Ok(())
    });
    ops.add("protect", |_| {
        let mut mapping = Mapping::anonymous(16, MapFlags::PRIVATE)?;
        mapping.write();
        mapping.protect(MprotectFlags::READ)?;
        mapping.read();
        mapping.protect(MprotectFlags::READ | MprotectFlags::WRITE)?;
        mapping.write();
        Ok(())
    });
    ops.add("remap", |_| {
        let mut mapping = Mapping::anonymous(8, MapFlags::PRIVATE)?;
        mapping.write();
        let length = 64 * PAGE;
        // SAFETY: the range is this mapping, no reference into it exists, and its new place replaces
        // the old one right away.
        let start = unsafe { mremap(mapping.at(), mapping.length, length, MremapFlags::MAYMOVE) }?;
        mapping.start = NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?;
        mapping.length = length;
        mapping.write();
        Ok(())
    });
    ops.add("advise", |random| {
        let mut mapping = Mapping::anonymous(64, MapFlags::PRIVATE)?;
        mapping.write();
        mapping.advise(*random.pick(&[
            Advice::LinuxDontNeed,
            Advice::LinuxFree,
            Advice::LinuxCold,
            Advice::LinuxDontFork,
            Advice::WillNeed,
        ]))?;
        mapping.write();
        Ok(())
    });
    ops.add("huge-page", |_| {
        let mut mapping = Mapping::anonymous(1024, MapFlags::PRIVATE)?;
        mapping.advise(Advice::LinuxHugepage)?;
        mapping.write();
        Ok(())
    });
    ops.add("lock", |_| {
        let mapping = Mapping::anonymous(4, MapFlags::PRIVATE)?;
        // SAFETY: the range is this mapping.
        unsafe { mlock(mapping.at(), mapping.length) }?;
        // SAFETY: as above.
        unsafe { munlock(mapping.at(), mapping.length) }?;
        Ok(())
    });
    ops.add("resident", |_| {
        let mut mapping = Mapping::anonymous(64, MapFlags::PRIVATE)?;
        mapping.write();
        let mut resident = [0u8; 64];
        // SAFETY: the range is this mapping, and `resident` has a byte for each of its pages.
        check(unsafe { libc::mincore(mapping.at(), mapping.length, resident.as_mut_ptr()) })?;
        Ok(())
    });
    ops.add("read-by-process-vm", |_| {
        let from = [1u8; 3 * PAGE];
        let mut to = [0u8; 3 * PAGE];
        let remote = libc::iovec {
            iov_base: from.as_ptr().cast_mut().cast(),
            iov_len: from.len(),
        };
        let local = libc::iovec {
            iov_base: to.as_mut_ptr().cast(),
            iov_len: to.len(),
        };
        let pid = std::process::id() as libc::pid_t;
        let (local, remote) = (&raw const local, &raw const remote);
        // SAFETY: both ranges are live buffers of this process with their own lengths, and only the
        // one borrowed mutably is written.
        let read = unsafe { libc::process_vm_readv(pid, local, 1, remote, 1, 0) };
        check(read as i64)?;
        Ok(())
    });
    ops.add("memfd", |_| {
        let file = memfd_create(c"kprof-load", MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&file, 32 * PAGE as u64)?;
        let mut mapping = Mapping::of_file(
            &file,
            32,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::SHARED,
        )?;
        mapping.write();
        // SAFETY: the range is this mapping.
        unsafe { msync(mapping.at(), mapping.length, MsyncFlags::SYNC) }?;
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&file, hole, 0, 8 * PAGE as u64)?;
        Ok(())
    });
    let program = File::open("/proc/self/exe").context("open this program's file")?;
    ops.add("map-file", move |_| {
        Mapping::of_file(&program, 64, ProtFlags::READ, MapFlags::PRIVATE)?.read();
        Ok(())
    });
    let program = File::open("/proc/self/exe").context("open this program's file")?;
    ops.add("copy-on-write", move |_| {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        Mapping::of_file(&program, 16, access, MapFlags::PRIVATE)?.write();
        Ok(())
    });
    Ok(ops)
}
