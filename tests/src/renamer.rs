//! Threads that change their names all the time.

use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::burn::rename;
use crate::pages::Page;

/// What a thread does under its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Reads /dev/zero without rest.
    Read,
    /// Has one page fault under each name, else sleeps.
    Fault,
    /// Changes names alone, as fast as it can.
    Nothing,
}

/// Names begin anew after so many.
pub const NAMES: u64 = 10_000_000;

/// A thread that takes one new name after the other; ends when dropped.
#[derive(Debug)]
pub struct Renamer {
    stop: Arc<AtomicBool>,
    tid: u32,
    taken: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Renamer {
    /// Starts a thread that takes so many names a second, all of which begin with `letter`. One that was kept off
    /// its CPU makes up for what it missed. With [`Work::Nothing`] there is no limit.
    pub fn start(letter: char, a_second: u64, work: Work) -> Renamer {
        let stop = Arc::new(AtomicBool::new(false));
        let (tid, taken) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU64::new(0)));
        let (stopped, id, count) = (stop.clone(), tid.clone(), taken.clone());
        let thread = std::thread::spawn(move || {
            // SAFETY: gettid has no preconditions.
            id.store(unsafe { libc::gettid() } as u32, Ordering::Release);
            let mut zero = File::open("/dev/zero").expect("open /dev/zero");
            let mut buffer = vec![0; 16 * 1024];
            let page = Page::new();
            let start = Instant::now();
            let mut number = 0;
            while !stopped.load(Ordering::Relaxed) {
                let due = start.elapsed().as_micros() * u128::from(a_second) / 1_000_000;
                let behind = work == Work::Nothing || u128::from(number) < due;
                if behind {
                    // Before it is taken, so that no name is seen that does not count as taken yet.
                    count.store(number + 1, Ordering::Release);
                    rename(&name(letter, number));
                    number += 1;
                }
                match work {
                    Work::Read => zero.read_exact(&mut buffer).expect("read /dev/zero"),
                    Work::Fault if behind => page.fault(),
                    Work::Fault => std::thread::sleep(Duration::from_millis(1)),
                    Work::Nothing => {}
                }
            }
        });
        while tid.load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
        Renamer {
            stop,
            tid: tid.load(Ordering::Acquire),
            taken,
            thread: Some(thread),
        }
    }

    /// The thread's id.
    pub fn tid(&self) -> u32 {
        self.tid
    }

    /// How many names it has taken.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }
}

impl Drop for Renamer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A thread's name of this number. The kernel keeps a name as two words of 8 bytes: the even ones fill both and have the
/// number in each, so that parts of two names are none; the odd ones are short, so that part of a longer one may lie
/// behind them.
fn name(letter: char, number: u64) -> String {
    let number = number % NAMES;
    match number % 2 {
        0 => format!("{letter}{number:07}{number:07}"),
        _ => format!("{letter}{number}"),
    }
}

/// The number of a name that begins with `letter`; `None` if it is none that a [`Renamer`] takes.
pub fn number(letter: char, name: &str) -> Option<u64> {
    let digits = name.strip_prefix(letter)?;
    let number = digits.get(..digits.len().min(7))?.parse().ok()?;
    (self::name(letter, number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_two_names_are_no_name() {
        for i in [0, 1, 99, 1000, 123_456] {
            assert_eq!(number('k', &name('k', i)), Some(i));
            assert!(name('k', i).len() <= 15);
        }
        for torn in [
            "k00000120000014",
            "k0000012",
            "k00000120000",
            "k12",
            "x13",
            "k",
            "",
        ] {
            assert_eq!(number('k', torn), None, "{torn}");
        }
    }
}
