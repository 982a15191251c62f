//! What kprof itself used, by getrusage(2), and the room it has on the terminal.

/// CPU time of this process up to now, user and system, nanoseconds.
pub(super) fn cpu_ns() -> u64 {
    let usage = usage();
    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|t| t.tv_sec as u64 * 1_000_000_000 + t.tv_usec as u64 * 1_000)
        .sum()
}

/// Largest resident size up to now, bytes.
pub(super) fn max_rss_bytes() -> u64 {
    usage().ru_maxrss as u64 * 1024
}

fn usage() -> libc::rusage {
    // SAFETY: all-zero is a valid rusage, and the kernel fills in the one it is given.
    unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    }
}

/// Columns of the terminal on standard output; `None` if there is none or it does not know.
pub(super) fn terminal_columns() -> Option<usize> {
    // SAFETY: all-zero is a valid winsize, and the kernel fills in the one it is given.
    let (answer, size) = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        let answer = libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size);
        (answer, size)
    };
    (answer == 0 && size.ws_col > 0).then_some(size.ws_col.into())
}
