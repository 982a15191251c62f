//! What trying an input costs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

/// Memory and time that an input took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// The most memory that this thread held at one time, bytes, beyond what it held before.
    pub peak: usize,
    /// CPU time of this thread.
    pub cpu: Duration,
}

impl Cost {
    /// Measures.
    pub(crate) fn of(work: impl FnOnce()) -> Cost {
        let before = HELD.get();
        PEAK.set(before);
        let start = cpu_time();
        work();
        Cost {
            cpu: cpu_time().saturating_sub(start),
            peak: usize::try_from(PEAK.get() - before).unwrap_or(0),
        }
    }
}

/// CPU time that an input of so many bytes may take: far above what builds without optimization need on an emulated
/// machine. It is for what would take for ever.
pub(crate) fn time_limit(len: usize) -> Duration {
    Duration::from_secs(20) + Duration::from_micros(400) * u32::try_from(len).unwrap_or(u32::MAX)
}

fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a live struct for the call to fill.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

thread_local! {
    /// Bytes that this thread allocated and did not free: less than 0 where it frees what others allocated.
    static HELD: Cell<isize> = const { Cell::new(0) };
    /// The most since [`Cost::of`] began.
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, with a count of what is asked of it.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn more(bytes: usize) {
    // No allocation is larger than an isize holds.
    let held = HELD.get() + bytes as isize;
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
}

fn less(bytes: usize) {
    HELD.set(HELD.get() - bytes as isize);
}

// SAFETY: every call goes to the system's allocator with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may be there while one is copied to the other.
        more(size);
        // SAFETY: as the caller promises.
        let memory = unsafe { System.realloc(memory, layout, size) };
        less(if memory.is_null() {
            size
        } else {
            layout.size()
        });
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) };
        less(layout.size());
    }
}
