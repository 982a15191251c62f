//! What the capture itself costs.

use std::os::fd::OwnedFd;

use super::load::Loaded;
use crate::kernel::bpf_syscall;

/// Reads the program's run time while it lives. The kernel measures only while someone asks for it.
#[derive(Debug)]
pub(super) struct Cost {
    _stats: Option<OwnedFd>,
    last: (u64, u64),
    last_cpu: u64,
}

impl Cost {
    /// Asks the kernel to measure (Linux 5.8, `CAP_SYS_ADMIN`); does without where it refuses.
    pub(super) fn start() -> Cost {
        let stats = bpf_syscall::enable_run_time_stats().ok();
        Cost {
            _stats: stats,
            last: (0, 0),
            last_cpu: 0,
        }
    }

    /// Nanoseconds in the program, and runs, since the last call.
    pub(super) fn program(&mut self, loaded: &Loaded) -> Option<(u64, u64)> {
        self._stats.as_ref()?;
        let now = loaded.run_cost()?;
        let added = (now.0 - self.last.0, now.1 - self.last.1);
        self.last = now;
        Some(added)
    }

    /// Nanoseconds of CPU that this process used since the last call; the first call counts from the
    /// process's start.
    pub(super) fn process(&mut self) -> u64 {
        let now = process_cpu_ns();
        let added = now.saturating_sub(self.last_cpu);
        self.last_cpu = now;
        added
    }
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a live struct for the call to fill.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn process_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Nanoseconds since this process was started, as /proc tells it in clock ticks of 10 ms.
pub(super) fn process_age_ns() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold spaces; field 22 (`starttime`) is the 20th behind it.
    let ticks: u64 = stat
        .rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()?;
    // SAFETY: the call takes an integer.
    let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok()?;
    let start = ticks * (1_000_000_000 / per_second.max(1));
    Some(clock_ns(libc::CLOCK_BOOTTIME).saturating_sub(start))
}
