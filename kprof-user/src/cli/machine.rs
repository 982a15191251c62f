//! What `record` needs from the machine, behind traits, so that its loop is tested without one.

use std::time::Duration;

use anyhow::Result;

use crate::capture::{Capture, RawWindow, Request};
use crate::kernel::threads::Snapshot;
use crate::kernel::{sampling, targets, text};
use crate::profile::Profile;
use crate::symbolize::{Options, Symbolizer};

/// A running capture.
pub(super) trait Sampler {
    /// What was counted since the last call.
    fn drain(&mut self) -> Result<RawWindow>;
    /// Samples CPUs that came online since, and no longer those that went; draining does so too.
    fn follow_cpus(&mut self) -> Result<()>;
    /// How soon to do so again, where that is to be before long.
    fn follow_again(&self) -> Option<Duration>;
    /// How long the maps have room for.
    fn period(&self) -> Duration;
    /// Stops and hands out the rest.
    fn finish(self: Box<Self>) -> Result<RawWindow>;
    /// From the start of this process to when sampling ran.
    fn first_sample_ns(&self) -> Option<u64>;
}

/// Gives addresses names.
pub(super) trait Namer {
    /// Takes down what is loaded, for names that are given later.
    fn look(&mut self);
    /// Adds a window to a profile.
    fn add_window(&mut self, window: &RawWindow, profile: &mut Profile) -> Result<()>;
}

/// The machine under observation.
pub(super) trait Machine {
    /// Starts sampling.
    fn start(&self, request: &Request) -> Result<Box<dyn Sampler>>;
    /// Checks what naming needs; `ready`: reads it as well, instead of at the first name.
    fn namer(&self, options: &Options, ready: bool) -> Result<Box<dyn Namer>>;
    /// CPU time of all threads now.
    fn threads(&self) -> Result<Snapshot>;
    /// The kernel's limit of samples a second and CPU, now; `None` where it can't be read.
    fn sample_rate_limit(&self) -> Option<u64>;
    /// Whether any of these processes and threads still runs.
    fn any_alive(&self, pids: &[u32], tids: &[u32]) -> bool;
}

/// The one kprof runs on.
#[derive(Debug)]
pub(super) struct ThisMachine;

impl Machine for ThisMachine {
    fn start(&self, request: &Request) -> Result<Box<dyn Sampler>> {
        Ok(Box::new(Capture::start(request)?))
    }

    fn namer(&self, options: &Options, ready: bool) -> Result<Box<dyn Namer>> {
        let mut symbolizer = Symbolizer::new(options.clone())?;
        if ready {
            // Any address has the symbols read.
            symbolizer.resolve(u64::MAX);
        }
        Ok(Box::new(symbolizer))
    }

    fn threads(&self) -> Result<Snapshot> {
        Snapshot::take()
    }

    fn sample_rate_limit(&self) -> Option<u64> {
        sampling::rate_limit()
    }

    fn any_alive(&self, pids: &[u32], tids: &[u32]) -> bool {
        pids.iter()
            .any(|&pid| targets::process_exists(pid).is_ok() && !is_zombie(pid))
            || tids
                .iter()
                .any(|&tid| targets::thread_exists(tid).is_ok() && !is_zombie(tid))
    }
}

/// Whether a task is dead and only waits to be reaped. A process whose first thread ended but others run on
/// counts as alive.
fn is_zombie(id: u32) -> bool {
    let Ok(stat) = text::read(format!("/proc/{id}/stat")) else {
        return true;
    };
    matches!(state(&stat), Some('Z' | 'X'))
        && std::fs::read_dir(format!("/proc/{id}/task")).map_or(0, Iterator::count) <= 1
}

/// The state in the text of `/proc/PID/stat`: the first letter behind the name, which may hold anything.
pub(super) fn state(stat: &str) -> Option<char> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.trim_start().chars().next()
}

impl Sampler for Capture {
    fn drain(&mut self) -> Result<RawWindow> {
        Capture::drain(self)
    }

    fn follow_cpus(&mut self) -> Result<()> {
        Capture::follow_cpus(self)
    }

    fn follow_again(&self) -> Option<Duration> {
        Capture::follow_again(self)
    }

    fn period(&self) -> Duration {
        Capture::period(self)
    }

    fn finish(self: Box<Self>) -> Result<RawWindow> {
        Capture::finish(*self)
    }

    fn first_sample_ns(&self) -> Option<u64> {
        Some(Capture::first_sample_ns(self))
    }
}

impl Namer for Symbolizer {
    fn look(&mut self) {
        Symbolizer::look(self);
    }

    fn add_window(&mut self, window: &RawWindow, profile: &mut Profile) -> Result<()> {
        Symbolizer::add_window(self, window, profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_with_a_name_that_is_no_text_is_alive() {
        let named = || {
            // SAFETY: the name is a C string, and the kernel only reads it.
            unsafe { libc::prctl(libc::PR_SET_NAME, c"\xff) Z \xfe".as_ptr()) };
            // SAFETY: gettid takes nothing and can't fail.
            let tid = unsafe { libc::gettid() } as u32;
            assert!(!is_zombie(tid));
        };
        std::thread::spawn(named).join().unwrap();
    }
}
