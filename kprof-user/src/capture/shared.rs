//! An array map that this process has mapped into its memory (`BPF_F_MMAPABLE`, Linux 5.5).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;

use super::sys::Plain;

/// The elements of a map, shared with the programs.
#[derive(Debug)]
pub(super) struct Shared<T> {
    first: NonNull<T>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone, and does not care which thread uses it.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T: Plain> Shared<T> {
    /// Maps a map of `len` elements. The kernel lays elements out at multiples of 8 bytes, from a page's beginning.
    pub(super) fn map(map: &OwnedFd, len: usize) -> io::Result<Shared<T>> {
        const { assert!(size_of::<T>().is_multiple_of(8)) };
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len * size_of::<T>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        match NonNull::new(address.cast()) {
            Some(first) => Ok(Shared { first, len }),
            None => Err(io::Error::other("a map was mapped at address 0")),
        }
    }

    /// All elements. Programs may write them meanwhile: read and write them as volatile.
    pub(super) fn elements(&self) -> impl Iterator<Item = NonNull<T>> {
        // SAFETY: the mapping holds `len` elements for as long as `self` lives.
        (0..self.len).map(|index| unsafe { self.first.add(index) })
    }

    /// An element; `None` behind the last.
    pub(super) fn element(&self, index: usize) -> Option<NonNull<T>> {
        // SAFETY: as above.
        (index < self.len).then(|| unsafe { self.first.add(index) })
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `map`, and nothing refers to it any more.
        unsafe { libc::munmap(self.first.as_ptr().cast(), self.len * size_of::<T>()) };
    }
}
