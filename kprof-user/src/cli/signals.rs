//! Ctrl-C and SIGTERM: the first one ends a capture, a second one gives up on its outputs.
//!
//! While sampling, the signals are blocked and waited for together with the clock, so that none is missed and no
//! call is cut short. While outputs are written they are let through to a handler: a second signal removes the
//! temporary files and ends the process, for a reader that never reads.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::time::{Duration, Instant};

const STOP: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Signals seen so far.
static SEEN: AtomicU32 = AtomicU32::new(0);

/// Files to remove if the process gives up; leaked C strings, so that a handler may read them at any time.
static REMOVE: [AtomicPtr<libc::c_char>; 32] = [const { AtomicPtr::new(ptr::null_mut()) }; 32];

/// Has a file removed if a second signal ends the process. Beyond the 32 first files this does nothing.
pub(super) fn remove_on_abort(path: &Path) {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return;
    };
    let path = path.into_raw();
    for slot in &REMOVE {
        if slot
            .compare_exchange(ptr::null_mut(), path, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
        {
            return;
        }
    }
    // SAFETY: `path` came from `into_raw` just above and was stored nowhere.
    drop(unsafe { CString::from_raw(path) });
}

/// The signals that mean "stop", blocked since [`Stop::block`].
#[derive(Debug)]
pub(super) struct Stop {
    set: libc::sigset_t,
}

impl Stop {
    /// Blocks the signals in this thread and those it starts; call it before anything that must be cleaned up.
    pub(super) fn block() -> Stop {
        // SAFETY: `sigemptyset` initializes the set; the other calls get valid pointers or null where that is allowed.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            for signal in STOP {
                // A signal that is ignored on purpose (nohup) stays ignored.
                let mut old: libc::sigaction = std::mem::zeroed();
                libc::sigaction(signal, ptr::null(), &mut old);
                if signal == libc::SIGINT || old.sa_sigaction != libc::SIG_IGN {
                    libc::sigaddset(&mut set, signal);
                }
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut());
            // A file over `ulimit -f` is an error of that file, not the end of the process.
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            Stop { set }
        }
    }

    /// Waits until `deadline`; returns early and true if a signal came, now or before.
    pub(super) fn wait_until(&self, deadline: Instant) -> bool {
        while SEEN.load(Ordering::Relaxed) == 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = libc::timespec {
                tv_sec: left.as_secs() as libc::time_t,
                tv_nsec: left.subsec_nanos() as libc::c_long,
            };
            // SAFETY: the set is initialized; no information about the signal is asked for.
            if unsafe { libc::sigtimedwait(&self.set, ptr::null_mut(), &timeout) } > 0 {
                SEEN.fetch_add(1, Ordering::Relaxed);
            } else if left.is_zero() {
                return false;
            }
        }
        true
    }

    /// Whether a signal came.
    pub(super) fn requested(&self) -> bool {
        self.wait_until(Instant::now() + Duration::ZERO)
    }

    /// From here on outputs are written: a further signal after the first ends the process.
    pub(super) fn allow_abort(&self) {
        // SAFETY: the handler only calls functions that are safe in a signal handler (signal-safety(7)); the set
        // is initialized.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let handler: extern "C" fn(libc::c_int) = on_signal;
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_RESTART;
            for signal in STOP {
                if libc::sigismember(&self.set, signal) == 1 {
                    libc::sigaction(signal, &action, ptr::null_mut());
                }
            }
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &self.set, ptr::null_mut());
        }
    }
}

extern "C" fn on_signal(_: libc::c_int) {
    if SEEN.fetch_add(1, Ordering::Relaxed) == 0 {
        return;
    }
    for slot in &REMOVE {
        let path = slot.load(Ordering::Acquire);
        if !path.is_null() {
            // SAFETY: slots hold C strings that are never freed; unlink is async-signal-safe.
            unsafe { libc::unlink(path) };
        }
    }
    // SAFETY: `_exit` is async-signal-safe and does not return.
    unsafe { libc::_exit(super::EXIT_INTERRUPTED) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_at_the_deadline() {
        let stop = Stop::block();
        let start = Instant::now();
        assert!(!stop.wait_until(start + Duration::from_millis(30)));
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert!(!stop.requested());
    }
}
