//! What this process used since kprof began in it.
//!
//! A program that becomes kprof by `exec`, as `cargo xtask run` does, leaves its CPU time, age and peak memory to the
//! process; they are not kprof's.

use std::sync::OnceLock;
use std::time::Instant;

use crate::kernel::text;

static BEGAN: OnceLock<(Instant, u64)> = OnceLock::new();

/// Starts the count, the first time; to be called before anything else is done.
pub fn begin() {
    began();
}

fn began() -> &'static (Instant, u64) {
    BEGAN.get_or_init(|| (Instant::now(), process_cpu_ns()))
}

/// Nanoseconds since the beginning.
pub fn age_ns() -> u64 {
    began().0.elapsed().as_nanos() as u64
}

/// CPU time since the beginning, user and system, nanoseconds.
pub fn cpu_ns() -> u64 {
    process_cpu_ns().saturating_sub(began().1)
}

/// Largest resident size, bytes; of the whole process's life where `/proc` can't be read.
pub fn peak_rss_bytes() -> u64 {
    let status = text::read("/proc/self/status").unwrap_or_default();
    peak_in(&status).unwrap_or_else(|| {
        // SAFETY: all-zero is a valid rusage, and the kernel fills in the one it is given.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_SELF, &mut usage);
            usage
        };
        usage.ru_maxrss as u64 * 1024
    })
}

/// `VmHWM` of /proc/PID/status, which begins anew with each `exec` (proc(5)).
pub(super) fn peak_in(status: &str) -> Option<u64> {
    let rest = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = rest.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

fn process_cpu_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a live struct for the call to fill.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_kibibytes() {
        let status = "Name:\tkprof\nVmPeak:\t  90000 kB\nVmHWM:\t    8564 kB\nVmRSS:\t 100 kB\n";
        assert_eq!(peak_in(status), Some(8564 * 1024));
        assert_eq!(peak_in("Name:\tkthreadd\n"), None);
        assert!(peak_rss_bytes() > 1 << 20);
    }
}
