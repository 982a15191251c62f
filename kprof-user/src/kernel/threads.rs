//! Threads and their CPU time, from `/proc`.

use anyhow::Result;

/// One thread at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Thread id.
    pub tid: u32,
    /// Process id.
    pub tgid: u32,
    /// Name as the kernel keeps it, at most 15 bytes.
    pub comm: String,
    /// Whether it is a kernel thread.
    pub kernel: bool,
    /// CPU time since its start, user and system, in nanoseconds (10 ms steps).
    pub cpu_ns: u64,
}

/// CPU time of all threads at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Threads by ascending thread id.
    pub threads: Vec<Thread>,
}

impl Snapshot {
    /// Reads `/proc`.
    pub fn take() -> Result<Snapshot> {
        Ok(Snapshot::default())
    }

    /// Threads of this snapshot, with the CPU time they used since `before`, most first.
    pub fn since(&self, _before: &Snapshot) -> Vec<Thread> {
        Vec::new()
    }
}
