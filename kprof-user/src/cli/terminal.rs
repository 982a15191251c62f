//! The room that kprof has on the terminal.

/// Columns of the terminal on standard output; `None` if there is none or it does not know.
pub(super) fn columns() -> Option<usize> {
    // SAFETY: all-zero is a valid winsize, and the kernel fills in the one it is given.
    let (answer, size) = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        let answer = libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size);
        (answer, size)
    };
    (answer == 0 && size.ws_col > 0).then_some(size.ws_col.into())
}
