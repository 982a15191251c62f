//! Page faults to order.

/// A page of memory of our own that can be made to fault.
#[derive(Debug)]
pub struct Page(*mut u8);

const LENGTH: usize = 4096;

impl Default for Page {
    fn default() -> Self {
        Page::new()
    }
}

impl Page {
    /// A new page.
    pub fn new() -> Page {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                LENGTH,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(address, libc::MAP_FAILED, "no memory");
        Page(address.cast())
    }

    /// Takes one page fault in user mode.
    pub fn fault(&self) {
        // SAFETY: the mapping is our own, and nothing of it is needed after.
        let given = unsafe { libc::madvise(self.0.cast(), LENGTH, libc::MADV_DONTNEED) };
        assert_eq!(given, 0, "{}", std::io::Error::last_os_error());
        // SAFETY: the mapping is our own and may be written.
        unsafe { self.0.write_volatile(1) };
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `new`, and nothing refers to it.
        unsafe { libc::munmap(self.0.cast(), LENGTH) };
    }
}
