//! When a load has to end: its time is over, or a signal asked for it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn request_stop(_signal: libc::c_int) {
    STOP.store(true, Ordering::Relaxed);
}

/// One run of a load: its clock, and where its temporary files go.
pub(super) struct Run {
    started: Instant,
    deadline: Instant,
    dir: PathBuf,
    /// One bit for each part of the load that works.
    working: AtomicU32,
}

impl Run {
    /// Starts the clock. From here on Ctrl-C, SIGTERM and SIGHUP end the load early and in order; a
    /// second one ends the process at once.
    pub(super) fn start(length: Duration, dir: PathBuf) -> Result<Self> {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            on_signal(signal).with_context(|| format!("handle signal {signal}"))?;
        }
        let started = Instant::now();
        Ok(Self {
            started,
            deadline: started + length,
            dir,
            working: AtomicU32::new(0),
        })
    }

    /// Notes that part number `part` of `parts` has done its first work. Once all have, a line on stderr says so;
    /// what waits for a load waits for that line.
    pub(super) fn working(&self, part: usize, parts: usize) {
        let (this, all) = (1 << part, (1 << parts) - 1);
        if self.working.load(Ordering::Relaxed) & this == 0
            && self.working.fetch_or(this, Ordering::Relaxed) | this == all
        {
            eprintln!("load: working");
        }
    }

    /// Whether the load has to end now.
    pub(super) fn over(&self) -> bool {
        STOP.load(Ordering::Relaxed) || Instant::now() >= self.deadline
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

fn on_signal(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: an all-zero `sigaction` is a valid value: no flags, an empty mask, the default handler.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = request_stop as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_RESETHAND;
    // SAFETY: `action` is initialized, and its handler only stores to an atomic, which is
    // async-signal-safe.
    if unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
