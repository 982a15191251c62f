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

/// Gives the calling thread a name.
pub fn rename(name: &str) {
    let name = CString::new(name).expect("a name without NUL");
    // SAFETY: the name is a C string that outlives the call.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}
