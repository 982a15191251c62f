//! One CPU's event.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::kernel::perf_syscall::{self, Attr};

/// ioctls of include/uapi/linux/perf_event.h; the same number on all machines but MIPS, PowerPC and SPARC.
const ENABLE: libc::c_ulong = 0x2400;
const DISABLE: libc::c_ulong = 0x2401;
const SET_BPF: libc::c_ulong = 0x4004_2408;

/// `PERF_FORMAT_TOTAL_TIME_ENABLED`: read(2) gives, after the count, for how many nanoseconds the event was enabled.
pub(super) const READ_FORMAT: u64 = 1 << 0;

/// An event may be enabled for so much less than the clock on the wall says before it is doubted.
const LATE: Duration = Duration::from_millis(10);
/// The time for which an event was enabled stands still for so long before its CPU is known to have left it. Where the
/// CPUs' clocks aren't trusted (`sched_clock_local`, kernel/sched/clock.c), that of a live one does so until the next
/// timer interrupt.
const STILL: Duration = Duration::from_millis(250);

/// The event of one CPU.
///
/// When a CPU goes offline, the kernel takes its events off it, and does not put them back when it returns
/// (`perf_event_exit_cpu_context`, kernel/events/core.c). No call fails then; but the time for which the event was
/// enabled stands still, whereas that of a live one runs, whatever it counts.
#[derive(Debug)]
pub(super) struct CpuEvent {
    fd: OwnedFd,
    last: Reading,
    /// The first of the readings since which it stands still.
    still_since: Option<Instant>,
    /// Before the last reading, more time passed than it was enabled for.
    late: bool,
}

/// What an event said.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    count: u64,
    enabled: Duration,
}

impl CpuEvent {
    /// Opens it; it does not count yet.
    pub(super) fn open(attr: &Attr, cpu: u32) -> io::Result<CpuEvent> {
        let last = Reading {
            at: Instant::now(),
            count: 0,
            enabled: Duration::ZERO,
        };
        Ok(CpuEvent {
            fd: perf_syscall::open(attr, cpu)?,
            last,
            still_since: None,
            late: false,
        })
    }

    /// Has the program run at each overflow; at each hit, whatever the CPU, if this is a tracepoint.
    pub(super) fn attach(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        self.ioctl(SET_BPF, program.as_raw_fd())
    }

    pub(super) fn enable(&self) -> io::Result<()> {
        self.ioctl(ENABLE, 0)
    }

    pub(super) fn disable(&self) -> io::Result<()> {
        self.ioctl(DISABLE, 0)
    }

    /// Another descriptor of the same event, which keeps it open.
    pub(super) fn hold(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// Samples due between the last reading and now; 0 where the period varies.
    pub(super) fn newly_due(&mut self, period: Option<u64>) -> u64 {
        let Ok(now) = self.read() else {
            return 0;
        };
        let before = std::mem::replace(&mut self.last, now);
        let wall = now.at - before.at;
        let ran = now.enabled.saturating_sub(before.enabled);
        self.still_since = match ran.is_zero() {
            true => self.still_since.or(Some(before.at)),
            false => None,
        };
        self.late = wall.saturating_sub(ran) > LATE.min(wall / 2);
        self.last.count = now.count.max(before.count);
        // Whole periods since the start, so that parts of one are not lost between two readings.
        period.map_or(0, |period| {
            let period = period.max(1);
            self.last.count / period - before.count / period
        })
    }

    /// Whether its CPU left it behind, as of the last reading.
    pub(super) fn is_dead(&self) -> bool {
        self.still_since
            .is_some_and(|since| self.last.at - since >= STILL)
    }

    /// How soon to read it again to know whether its CPU left it behind; `None` where there is no doubt.
    pub(super) fn read_again(&self) -> Option<Duration> {
        (self.late && !self.is_dead()).then_some(STILL)
    }

    fn read(&self) -> io::Result<Reading> {
        let mut words = [0u64; 2];
        let size = size_of_val(&words);
        // SAFETY: the buffer is live and as long as said.
        let read = unsafe { libc::read(self.fd.as_raw_fd(), words.as_mut_ptr().cast(), size) };
        match usize::try_from(read) {
            Ok(read) if read == size => Ok(Reading {
                at: Instant::now(),
                count: words[0],
                enabled: Duration::from_nanos(words[1]),
            }),
            Ok(_) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Err(_) => Err(io::Error::last_os_error()),
        }
    }

    fn ioctl(&self, request: libc::c_ulong, argument: libc::c_int) -> io::Result<()> {
        // SAFETY: these requests take an integer and touch no memory of ours.
        let answer = unsafe { libc::ioctl(self.fd.as_raw_fd(), request as _, argument) };
        if answer < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}
