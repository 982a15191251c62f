//! Threads that burn CPU time on a known path in the kernel.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A thread that reads /dev/zero for some time, sleeps for some time, and so on.
#[derive(Debug)]
pub struct Burner {
    stop: Arc<AtomicBool>,
    tid: u32,
    thread: Option<JoinHandle<()>>,
}

impl Burner {
    /// Starts the thread under `names[0]`; it takes the next name every `busy + rest`.
    pub fn start(names: &'static [&'static str], busy: Duration, rest: Duration) -> Burner {
        let stop = Arc::new(AtomicBool::new(false));
        let tid = Arc::new(AtomicU32::new(0));
        let (stopped, id) = (stop.clone(), tid.clone());
        let thread = std::thread::spawn(move || {
            rename(names[0]);
            // SAFETY: gettid has no preconditions.
            id.store(unsafe { libc::gettid() } as u32, Ordering::Release);
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
fn rename(name: &str) {
    let name = CString::new(name).expect("a name without NUL");
    // SAFETY: the name is a C string that outlives the call.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}
