//! What a capture is asked for and what each of its windows holds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kprof_ebpf::Key;

use crate::kernel::comm::Patterns;
use crate::kernel::event::Event;
use crate::kernel::sampling::Sampling;
use crate::profile::Accounting;

/// What to sample, where and whom.
#[derive(Clone, Debug)]
pub struct Request {
    /// The perf event that takes the samples.
    pub event: Event,
    /// How often it takes one.
    pub sampling: Sampling,
    /// CPUs to sample whenever they are online; `None`: all.
    pub cpus: Option<Vec<u32>>,
    /// Which tasks' samples count.
    pub filters: Filters,
    /// Time between two drains that the caller intends; map sizes follow from it.
    pub window: Duration,
    /// Buckets of each stack-trace map; `None`: chosen from the rate of samples.
    pub max_stacks: Option<u32>,
}

impl Request {
    /// Of these CPUs, which are online, those to sample.
    pub(super) fn chosen(&self, online: &[u32]) -> Vec<u32> {
        let wanted = |cpu: &u32| self.cpus.as_ref().is_none_or(|cpus| cpus.contains(cpu));
        online.iter().copied().filter(wanted).collect()
    }
}

/// Which tasks' samples count. Filters of different kinds narrow; the entries of one kind widen.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// Names of threads.
    pub comm: Option<Patterns>,
    /// Process ids.
    pub pids: Vec<u32>,
    /// Thread ids.
    pub tids: Vec<u32>,
    /// Only kernel threads.
    pub kthreads: bool,
    /// Control groups (version 2), with all groups below them.
    pub cgroups: Vec<PathBuf>,
}

impl Filters {
    /// Whether every sample counts.
    pub fn is_empty(&self) -> bool {
        let Filters {
            comm,
            pids,
            tids,
            kthreads,
            cgroups,
        } = self;
        comm.is_none() && pids.is_empty() && tids.is_empty() && !kthreads && cgroups.is_empty()
    }
}

/// What one window caught. Addresses are raw kernel addresses: they must not leave the machine.
#[derive(Clone, Debug, Default)]
pub struct RawWindow {
    /// Counts by thread, name and stack, each key once.
    pub samples: Vec<RawSample>,
    /// How many samples went which way.
    pub accounting: Accounting,
    /// Start, nanoseconds since 1970.
    pub start_unix_ns: u64,
    /// Wall-clock time covered, nanoseconds.
    pub duration_ns: u64,
    /// CPUs that were sampled in it.
    pub cpus: Vec<u32>,
    /// CPUs that came online or went offline in it.
    pub changed_cpus: Vec<u32>,
    /// Most frames that were kept of a stack; 0: not known.
    pub max_frames: u32,
}

/// One distinct thread, name and stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawSample {
    /// What the count is filed under in the kernel; [`Key::stack`] is of no use outside of it.
    pub key: Key,
    /// Addresses, innermost first; empty in user mode.
    pub stack: Arc<[u64]>,
    /// How many samples.
    pub count: u64,
}
