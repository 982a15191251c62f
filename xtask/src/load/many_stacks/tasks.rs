//! Threads, processes, and what a task asks of the scheduler.

use std::io;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rustix::process::{Pid, PidfdFlags, Resource, Signal, WaitOptions, pidfd_open, waitpid};
use rustix::thread::{
    CpuSet, UnshareFlags, gettid, membarrier, sched_getaffinity, sched_setaffinity, sched_yield,
    unshare_unsafe,
};

use super::{Ops, check};

pub(super) fn ops() -> Result<Ops> {
    let mut ops = Ops::default();
    lives(&mut ops);
    scheduling(&mut ops);
    questions(&mut ops);
    Ok(ops)
}

fn lives(ops: &mut Ops) {
    ops.add("thread", |_| {
        thread::spawn(|| ())
            .join()
            .map_err(|_| io::Error::other("a thread panicked"))
    });
    ops.add("fork", |_| wait_for(fork(|| 0)?));
    ops.add("fork-exec", |random| {
        if random.below(4) > 0 {
            return wait_for(fork(|| 1)?);
        }
        let arguments = [c"xtask".as_ptr(), c"--version".as_ptr(), std::ptr::null()];
        let environment = [std::ptr::null()];
        wait_for(fork(|| {
            // SAFETY: these calls are async-signal-safe, the arrays end with a null pointer, and the
            // strings are constants. Without a stdout the program can say nothing.
            unsafe {
                libc::close(1);
                libc::close(2);
                libc::execve(
                    c"/proc/self/exe".as_ptr(),
                    arguments.as_ptr(),
                    environment.as_ptr(),
                );
            }
            1
        })?)
    });
    ops.add("new-namespaces", |_| {
        thread::spawn(|| {
            // SAFETY: the file descriptor table stays shared; the thread ends right after.
            unsafe { unshare_unsafe(UnshareFlags::NEWUTS | UnshareFlags::NEWIPC) }
        })
        .join()
        .map_err(|_| io::Error::other("a thread panicked"))?
        .map_err(io::Error::from)
    });
    ops.add("pidfd", |_| {
        let process = pidfd_open(this_process()?, PidfdFlags::empty())?;
        let mut watched = [rustix::event::PollFd::new(
            &process,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut watched, Some(&rustix::event::Timespec::default()))?;
        Ok(())
    });
}

/// Forks; the child runs `child` and ends with what it returns. `child` must make only
/// async-signal-safe calls, because other threads' locks stay locked in the child.
fn fork(child: impl FnOnce() -> i32) -> io::Result<Pid> {
    // SAFETY: the child calls only prctl, `child` (see above) and _exit.
    match check(unsafe { libc::fork() })? {
        0 => {
            // SAFETY: both calls are async-signal-safe. The child ends with its parent.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::_exit(child())
            }
        }
        pid => Pid::from_raw(pid as i32).ok_or_else(|| io::Error::other("fork gave no pid")),
    }
}

fn wait_for(child: Pid) -> io::Result<()> {
    waitpid(Some(child), WaitOptions::empty())?;
    Ok(())
}

fn this_process() -> io::Result<Pid> {
    Ok(rustix::process::getpid())
}

fn scheduling(ops: &mut Ops) {
    ops.add("yield", |_| {
        sched_yield();
        Ok(())
    });
    ops.add("migrate", |random| {
        let all = sched_getaffinity(None)?;
        let cpus: Vec<usize> = (0..CpuSet::MAX_CPU)
            .filter(|cpu| all.is_set(*cpu))
            .collect();
        let mut one = CpuSet::new();
        one.set(*random.pick(&cpus));
        sched_setaffinity(None, &one)?;
        sched_setaffinity(None, &all)?;
        Ok(())
    });
    ops.add("policy", |random| {
        let policy = *random.pick(&[libc::SCHED_BATCH, libc::SCHED_IDLE, libc::SCHED_OTHER]);
        let parameter = libc::sched_param { sched_priority: 0 };
        let other = libc::SCHED_OTHER;
        // SAFETY: `parameter` is live and initialized; 0 is the calling thread.
        check(unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) })?;
        // SAFETY: as above.
        check(unsafe { libc::sched_setscheduler(0, other, &raw const parameter) })?;
        Ok(())
    });
    ops.add("sleep", |random| {
        thread::sleep(Duration::from_micros(random.below(200)));
        Ok(())
    });
    ops.add("futex-timeout", |_| {
        let word = std::sync::atomic::AtomicU32::new(0);
        let soon = rustix::thread::futex::Timespec {
            tv_sec: 0,
            tv_nsec: 20_000,
        };
        let flags = rustix::thread::futex::Flags::PRIVATE;
        match rustix::thread::futex::wait(&word, flags, 0, Some(&soon)) {
            Ok(()) | Err(rustix::io::Errno::TIMEDOUT | rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        rustix::thread::futex::wake(&word, rustix::thread::futex::Flags::empty(), 1)?;
        Ok(())
    });
    ops.add("futex-hand-over", |_| {
        let (send, receive) = std::sync::mpsc::sync_channel(0);
        let other = thread::spawn(move || (0..20).try_for_each(|number| send.send(number)));
        let received = receive.iter().count();
        let sent = other.join().is_ok_and(|result| result.is_ok());
        if sent && received == 20 {
            Ok(())
        } else {
            Err(io::Error::other("lost a message"))
        }
    });
    ops.add("membarrier", |random| {
        // The grace period of the global one takes long: seldom.
        let command = if random.below(20) == 0 {
            rustix::thread::MembarrierCommand::Global
        } else {
            rustix::thread::MembarrierCommand::RegisterPrivateExpedited
        };
        membarrier(command)?;
        if random.below(2) == 0 {
            membarrier(rustix::thread::MembarrierCommand::PrivateExpedited)?;
        }
        Ok(())
    });
}

fn questions(ops: &mut Ops) {
    ops.add("usage", |_| {
        // SAFETY: an all-zero `rusage` is a valid value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        for who in [
            libc::RUSAGE_SELF,
            libc::RUSAGE_THREAD,
            libc::RUSAGE_CHILDREN,
        ] {
            // SAFETY: `usage` is live and of the type the call fills in.
            check(unsafe { libc::getrusage(who, &raw mut usage) })?;
        }
        Ok(())
    });
    ops.add("limits", |_| {
        let limit = rustix::process::getrlimit(Resource::Nofile);
        rustix::process::setrlimit(Resource::Nofile, limit)?;
        Ok(())
    });
    ops.add("machine", |_| {
        let _ = rustix::system::uname();
        let _ = rustix::system::sysinfo();
        Ok(())
    });
    ops.add("random-bytes", |random| {
        let mut bytes = vec![0u8; 1 + random.below(8_000) as usize];
        rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
        Ok(())
    });
    ops.add("cpu-clocks", |_| {
        for clock in [
            libc::CLOCK_PROCESS_CPUTIME_ID,
            libc::CLOCK_THREAD_CPUTIME_ID,
        ] {
            let mut time = libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            // SAFETY: `time` is live and of the type the call fills in.
            check(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
        }
        Ok(())
    });
    ops.add("kill-nothing", |_| {
        rustix::process::test_kill_process(this_process()?)?;
        rustix::process::getpriority_process(None)?;
        // A signal that is ignored by default.
        let process = pidfd_open(this_process()?, PidfdFlags::empty())?;
        rustix::process::pidfd_send_signal(&process, Signal::CONT)?;
        Ok(())
    });
    ops.add("thread-name", |_| {
        let path = format!("/proc/self/task/{}/comm", gettid().as_raw_nonzero());
        std::fs::read(path).map(drop)
    });
}
