//! Signals to the calling thread, and timers that send them.

use std::io;

use anyhow::{Context, Result};

use super::{Ops, check};

extern "C" fn do_nothing(_signal: libc::c_int) {}

pub(super) fn ops() -> Result<Ops> {
    handle(libc::SIGUSR1).context("handle SIGUSR1")?;
    handle(libc::SIGUSR2).context("handle SIGUSR2")?;
    let mut ops = Ops::default();
    ops.add("deliver", |_| send(libc::SIGUSR1));
    ops.add("block-and-take", |_| {
        let set = set_of(libc::SIGUSR2)?;
        mask(libc::SIG_BLOCK, &set)?;
        let taken = send(libc::SIGUSR2).and_then(|()| take(&set));
        mask(libc::SIG_UNBLOCK, &set)?;
        taken
    });
    ops.add("block-and-deliver", |_| {
        let set = set_of(libc::SIGUSR1)?;
        mask(libc::SIG_BLOCK, &set)?;
        let sent = send(libc::SIGUSR1);
        mask(libc::SIG_UNBLOCK, &set)?;
        sent
    });
    ops.add("signalfd", |_| {
        let set = set_of(libc::SIGUSR2)?;
        mask(libc::SIG_BLOCK, &set)?;
        let read = send(libc::SIGUSR2).and_then(|()| read_one(&set));
        mask(libc::SIG_UNBLOCK, &set)?;
        read
    });
    ops.add("timer", |random| {
        let timer = Timer::new()?;
        timer.arm(1 + random.below(30_000) as i64)?;
        if random.below(2) == 0 {
            // The signal ends the sleep.
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
        Ok(())
    });
    ops.add("alternate-stack", |_| {
        // SAFETY: an all-zero `stack_t` is a valid value, and a null pointer leaves the stack as it is.
        let mut stack: libc::stack_t = unsafe { std::mem::zeroed() };
        // SAFETY: `stack` is live and of the type the call fills in.
        check(unsafe { libc::sigaltstack(std::ptr::null(), &raw mut stack) })?;
        Ok(())
    });
    Ok(ops)
}

fn handle(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: an all-zero `sigaction` is a valid value: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = do_nothing as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is initialized and its handler does nothing.
    check(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) })?;
    Ok(())
}

/// Sends a signal to the calling thread.
fn send(signal: libc::c_int) -> io::Result<()> {
    let (process, thread) = (std::process::id(), this_thread());
    // SAFETY: the call takes numbers only, and the signals sent here have a handler.
    check(unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) })?;
    Ok(())
}

fn this_thread() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

fn set_of(signal: libc::c_int) -> io::Result<libc::sigset_t> {
    // SAFETY: an all-zero `sigset_t` is a valid value, and both calls get a live one.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        check(libc::sigemptyset(&raw mut set))?;
        check(libc::sigaddset(&raw mut set, signal))?;
        Ok(set)
    }
}

fn mask(how: libc::c_int, set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: `set` is live and initialized.
    match unsafe { libc::pthread_sigmask(how, set, std::ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

fn take(set: &libc::sigset_t) -> io::Result<()> {
    let at_once = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `set` and `at_once` are live and initialized.
    check(unsafe { libc::sigtimedwait(set, std::ptr::null_mut(), &raw const at_once) })?;
    Ok(())
}

fn read_one(set: &libc::sigset_t) -> io::Result<()> {
    use std::os::fd::{FromRawFd, OwnedFd};
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: `set` is live and initialized.
    let descriptor = check(unsafe { libc::signalfd(-1, set, flags) })?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor as i32) };
    let mut information = [0u8; size_of::<libc::signalfd_siginfo>()];
    rustix::io::read(&descriptor, &mut information)?;
    Ok(())
}

/// A timer that sends SIGUSR1 to the thread that made it, gone when dropped.
struct Timer(libc::timer_t);

impl Timer {
    fn new() -> io::Result<Self> {
        // SAFETY: an all-zero `sigevent` is a valid value.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGUSR1;
        event.sigev_notify_thread_id = this_thread();
        let mut timer: libc::timer_t = std::ptr::null_mut();
        // SAFETY: `event` is initialized, and `timer` is live for the answer.
        check(unsafe {
            libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer)
        })?;
        Ok(Self(timer))
    }

    fn arm(&self, nanoseconds: i64) -> io::Result<()> {
        let zero = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let setting = libc::itimerspec {
            it_interval: zero,
            it_value: libc::timespec {
                tv_sec: 0,
                tv_nsec: nanoseconds,
            },
        };
        // SAFETY: the timer exists as long as `self`, and `setting` is initialized.
        check(unsafe { libc::timer_settime(self.0, 0, &raw const setting, std::ptr::null_mut()) })?;
        Ok(())
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timer exists and is not used again.
        unsafe { libc::timer_delete(self.0) };
    }
}
