//! Threads and processes that burn CPU time on a known path in the kernel.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::wait_until;

/// A thread that uses CPU time until it is dropped: it reads /dev/zero for some time, sleeps for some time, and so on; or
/// does something else.
#[derive(Debug)]
pub struct Burner {
    stop: Arc<AtomicBool>,
    tid: u32,
    thread: Option<JoinHandle<()>>,
}

impl Burner {
    /// Starts the thread under `names[0]`; it takes the next name every `busy + rest`.
    pub fn start(names: &'static [&'static str], busy: Duration, rest: Duration) -> Burner {
        Burner::spawn(names[0], move |stopped| {
            let mut zero = File::open("/dev/zero").expect("open /dev/zero");
            let mut buffer = vec![0; 256 * 1024];
            for name in names.iter().cycle() {
                rename(name);
                let end = Instant::now() + busy;
                while Instant::now() < end {
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    zero.read_exact(&mut buffer).expect("read /dev/zero");
                }
                std::thread::sleep(rest);
            }
        })
    }

    /// Starts a thread that does the same all the time, some milliseconds each.
    pub fn doing(name: &'static str, mut work: impl FnMut() + Send + 'static) -> Burner {
        Burner::spawn(name, move |stopped| {
            while !stopped.load(Ordering::Relaxed) {
                work();
            }
        })
    }

    fn spawn(name: &'static str, work: impl FnOnce(&AtomicBool) + Send + 'static) -> Burner {
        let stop = Arc::new(AtomicBool::new(false));
        let tid = Arc::new(AtomicU32::new(0));
        let (stopped, id) = (stop.clone(), tid.clone());
        let thread = std::thread::spawn(move || {
            rename(name);
            // SAFETY: gettid has no preconditions.
            id.store(unsafe { libc::gettid() } as u32, Ordering::Release);
            work(&stopped);
        });
        while tid.load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
        Burner {
            stop,
            tid: tid.load(Ordering::Acquire),
            thread: Some(thread),
        }
    }

    /// The thread's id.
    pub fn tid(&self) -> u32 {
        self.tid
    }

    /// Waits until the thread has used so much more CPU time; panics where it can't within a minute.
    pub fn burn(&self, time: Duration) {
        let enough = self.cpu_time() + time;
        wait_until("a thread uses CPU time", Duration::from_secs(60), || {
            self.cpu_time() >= enough
        });
    }

    /// Starts a thread that hardly rests, on one CPU; see [`Burner::pin`].
    pub fn pinned(name: &str, cpu: u32) -> Burner {
        let name: &'static str = String::leak(name.to_owned());
        let names = Vec::leak(vec![name]);
        Burner::start(names, Duration::from_millis(50), Duration::ZERO).pin(cpu)
    }

    /// Keeps the thread on one CPU, which must be online. Should that go offline, the kernel lets it run anywhere.
    pub fn pin(self, cpu: u32) -> Burner {
        pin(self.tid, cpu);
        self
    }

    /// CPU time the thread has used, by /proc/TID/schedstat.
    pub fn cpu_time(&self) -> Duration {
        let path = format!("/proc/self/task/{}/schedstat", self.tid);
        let text = std::fs::read_to_string(path).expect("read schedstat");
        let ns = text
            .split_whitespace()
            .next()
            .and_then(|ns| ns.parse().ok())
            .expect("nanoseconds in schedstat");
        Duration::from_nanos(ns)
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A process, `cat`, that is in the kernel most of the time; ends when dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts it.
    pub fn start() -> Process {
        let null = File::create("/dev/null").expect("open /dev/null");
        let child = Command::new("cat").arg("/dev/zero").stdout(null).spawn();
        Process(child.expect("run cat"))
    }

    /// Its process and thread id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// As outputs with threads' ids name it.
    pub fn comm(&self) -> String {
        format!("cat-{}", self.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Keeps a thread, 0 for the calling one, on one CPU, which must be online.
pub fn pin(tid: u32, cpu: u32) {
    // SAFETY: all zeros is an empty set, CPU_SET writes within it, and the call reads as much as is said.
    let answer = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu as usize, &mut set);
        libc::sched_setaffinity(tid as libc::pid_t, size_of_val(&set), &set)
    };
    let error = std::io::Error::last_os_error();
    assert_eq!(answer, 0, "pin a thread to CPU {cpu}: {error}");
}

/// Gives the calling thread a name.
pub fn rename(name: &str) {
    let name = CString::new(name).expect("a name without NUL");
    // SAFETY: the name is a C string that outlives the call.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}
