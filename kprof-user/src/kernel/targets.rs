//! Whether the processes and threads that were asked for exist.

use std::path::Path;

use anyhow::{Result, bail};

/// Refuses a process id that no process has.
pub fn process_exists(pid: u32) -> Result<()> {
    if !Path::new(&format!("/proc/{pid}")).exists() {
        bail!("there is no process {pid}");
    }
    Ok(())
}

/// Refuses a thread id that no thread has.
pub fn thread_exists(tid: u32) -> Result<()> {
    if !Path::new(&format!("/proc/{tid}")).exists() {
        bail!("there is no thread {tid}");
    }
    Ok(())
}
