//! What the capture itself costs.

use std::os::fd::OwnedFd;

use super::load::Loaded;
use super::own;
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

    /// Nanoseconds of CPU that this process used since the last call; the first call counts from
    /// [`own::begin`].
    pub(super) fn process(&mut self) -> u64 {
        let now = own::cpu_ns();
        let added = now.saturating_sub(self.last_cpu);
        self.last_cpu = now;
        added
    }
}
