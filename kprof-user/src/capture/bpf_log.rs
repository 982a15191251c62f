//! The programs' own records, with the feature `bpf-log`: they go to the global logger.

use std::fmt;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use aya_log::EbpfLogger;

use crate::kernel::bpf_syscall;

/// Reads a program's records.
pub(super) struct BpfLog(EbpfLogger<&'static dyn log::Log>);

impl BpfLog {
    /// For the program that was just loaded.
    pub(super) fn of(program: &OwnedFd) -> Result<BpfLog> {
        let id = bpf_syscall::program_id(program).context("cannot read the program's id")?;
        EbpfLogger::init_from_id(id)
            .map(BpfLog)
            .context("cannot read the program's log (needs CAP_SYS_ADMIN)")
    }

    /// Hands over what was recorded since the last call. What finds no room in between, 128 KiB, is dropped.
    pub(super) fn flush(&mut self) {
        self.0.flush();
    }
}

impl fmt::Debug for BpfLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BpfLog")
    }
}
