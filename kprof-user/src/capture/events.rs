//! The perf events: one for each CPU, opened here so that their own counts can be read.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, anyhow, bail};

use super::Request;
use crate::kernel::cpus;
use crate::kernel::event::Event;
use crate::kernel::perf_syscall::{
    self, Attr, FLAG_DISABLED, FLAG_FREQ, TYPE_SOFTWARE, TYPE_TRACEPOINT,
};
use crate::kernel::refusal::{self, Action};
use crate::kernel::sampling::Sampling;

/// `PERF_COUNT_SW_CPU_CLOCK` and `PERF_COUNT_SW_TASK_CLOCK`: they count nanoseconds.
const CLOCKS: [u64; 2] = [0, 1];

/// ioctls of include/uapi/linux/perf_event.h; the same number on all machines but MIPS, PowerPC and SPARC.
const ENABLE: libc::c_ulong = 0x2400;
const DISABLE: libc::c_ulong = 0x2401;
const SET_BPF: libc::c_ulong = 0x4004_2408;

/// One CPU's event.
#[derive(Debug)]
struct CpuEvent {
    fd: OwnedFd,
    /// The event's own count when it was last read.
    count: u64,
    /// The count of a clock stood still: its CPU went away and came back, and the event with it did not.
    stalled: bool,
}

/// All events of a capture.
#[derive(Debug)]
pub(super) struct Events {
    attr: Attr,
    /// Counter increments from one sample to the next, where that is fixed.
    period: Option<u64>,
    wanted: Option<Vec<u32>>,
    open: BTreeMap<u32, CpuEvent>,
    event: Event,
}

/// Whether an event counts nanoseconds, whatever its CPU does.
fn is_clock(type_: u32, config: u64) -> bool {
    type_ == TYPE_SOFTWARE && CLOCKS.contains(&config)
}

/// `perf_event_attr` for a request, and the fixed period if there is one.
fn attributes(event: &Event, sampling: Sampling) -> (Attr, Option<u64>) {
    let is_clock = is_clock(event.type_, event.config);
    let (sample, flags, period) = match sampling {
        // A clock has a fixed period whatever is asked for; asked for outright, its counts can be checked.
        Sampling::Frequency(hz) if is_clock => {
            let period = 1_000_000_000 / hz.max(1);
            (period, 0, Some(period))
        }
        // The program takes every hit itself, or one in so many, and perf counts none.
        _ if event.type_ == TYPE_TRACEPOINT => (1, 0, None),
        Sampling::Frequency(hz) => (hz, FLAG_FREQ, None),
        Sampling::Period(period) => (period, 0, Some(period)),
    };
    let attr = Attr {
        type_: event.type_,
        config: event.config,
        sample,
        flags: FLAG_DISABLED | flags,
        ..Attr::default()
    };
    (attr, period)
}

impl Events {
    /// Opens an event on each CPU and attaches the program; they are not enabled yet.
    pub(super) fn open(request: &Request, program: BorrowedFd<'_>) -> Result<Events> {
        let (attr, period) = attributes(&request.event, request.sampling);
        let mut events = Events {
            attr,
            period,
            wanted: request.cpus.clone(),
            open: BTreeMap::new(),
            event: request.event.clone(),
        };
        let online = cpus::online()?;
        if let Some(missing) = request
            .cpus
            .iter()
            .flatten()
            .find(|cpu| !online.contains(cpu))
        {
            bail!("CPU {missing} is not online; online are {online:?}");
        }
        for cpu in events.chosen(&online) {
            let fd = events
                .open_one(cpu, program)
                .map_err(|error| events.refused(error, cpu))?;
            events.open.insert(cpu, CpuEvent::new(fd));
        }
        Ok(events)
    }

    fn chosen(&self, online: &[u32]) -> Vec<u32> {
        let wanted = |cpu: &u32| {
            self.wanted
                .as_ref()
                .is_none_or(|wanted| wanted.contains(cpu))
        };
        online.iter().copied().filter(wanted).collect()
    }

    fn open_one(&self, cpu: u32, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let fd = perf_syscall::open(&self.attr, cpu)?;
        match ioctl(&fd, SET_BPF, program.as_raw_fd()) {
            // A tracepoint has one list of programs for all CPUs, and ours is on it already.
            Err(error) if self.is_tracepoint() && error.raw_os_error() == Some(libc::EEXIST) => {}
            other => other?,
        }
        Ok(fd)
    }

    fn is_clock(&self) -> bool {
        is_clock(self.attr.type_, self.attr.config)
    }

    fn is_tracepoint(&self) -> bool {
        self.attr.type_ == TYPE_TRACEPOINT
    }

    fn refused(&self, error: io::Error, cpu: u32) -> anyhow::Error {
        let words = refusal::explain(&error, Action::OpenPerfEvent);
        anyhow!(words).context(format!(
            "cannot open the event {} on CPU {cpu}",
            self.event.name
        ))
    }

    /// Starts sampling.
    pub(super) fn enable(&self) -> Result<()> {
        self.open
            .values()
            .try_for_each(|event| ioctl(&event.fd, ENABLE, 0))
            .context("cannot enable the perf events")
    }

    /// Stops sampling; the counts stay readable.
    pub(super) fn disable(&self) -> Result<()> {
        self.open
            .values()
            .try_for_each(|event| ioctl(&event.fd, DISABLE, 0))
            .context("cannot disable the perf events")
    }

    /// CPUs with an event, ascending.
    pub(super) fn cpus(&self) -> Vec<u32> {
        self.open.keys().copied().collect()
    }

    /// Samples that fell due since the last call, by the events' own counts; `None` where the
    /// period varies.
    pub(super) fn newly_due(&mut self) -> Option<u64> {
        let period = self.period?;
        Some(
            self.open
                .values_mut()
                .map(|event| event.newly_due(period))
                .sum(),
        )
    }

    /// Opens events on CPUs that came and drops those of CPUs that went. Answers what the dropped
    /// ones had due.
    pub(super) fn follow(&mut self, program: BorrowedFd<'_>) -> Result<u64> {
        let online = cpus::online()?;
        let chosen = self.chosen(&online);
        let stalled = |event: &CpuEvent| self.is_clock() && event.stalled;
        if chosen.iter().eq(self.open.keys()) && !self.open.values().any(stalled) {
            return Ok(0);
        }
        let gone: Vec<u32> = self
            .open
            .iter()
            .filter(|(cpu, event)| !chosen.contains(cpu) || stalled(event))
            .map(|(cpu, _)| *cpu)
            .collect();
        let mut due = 0;
        for cpu in gone {
            if let Some(mut event) = self.open.remove(&cpu) {
                due += self.period.map_or(0, |period| event.newly_due(period));
            }
        }
        for cpu in chosen {
            if self.open.contains_key(&cpu) {
                continue;
            }
            // The CPU may be gone again: then the next drain sees to it.
            let Ok(fd) = self.open_one(cpu, program) else {
                continue;
            };
            if ioctl(&fd, ENABLE, 0).is_ok() {
                self.open.insert(cpu, CpuEvent::new(fd));
            }
        }
        Ok(due)
    }
}

impl CpuEvent {
    fn new(fd: OwnedFd) -> CpuEvent {
        CpuEvent {
            fd,
            count: 0,
            stalled: false,
        }
    }

    /// Samples due between the last reading and now.
    fn newly_due(&mut self, period: u64) -> u64 {
        let Ok(count) = read_count(&self.fd) else {
            return 0;
        };
        let before = self.count;
        self.count = count.max(before);
        self.stalled = self.count == before;
        // Whole periods since the start, so that parts of one are not lost between two readings.
        let period = period.max(1);
        self.count / period - before / period
    }
}

fn read_count(fd: &OwnedFd) -> io::Result<u64> {
    let mut count = [0u8; 8];
    // SAFETY: the buffer is live and as long as said.
    let read = unsafe { libc::read(fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    match read {
        8 => Ok(u64::from_ne_bytes(count)),
        0.. => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        _ => Err(io::Error::last_os_error()),
    }
}

fn ioctl(fd: &OwnedFd, request: libc::c_ulong, argument: libc::c_int) -> io::Result<()> {
    // SAFETY: these requests take an integer and touch no memory of ours.
    let answer = unsafe { libc::ioctl(fd.as_raw_fd(), request as _, argument) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(type_: u32, config: u64) -> Event {
        Event {
            name: "test".into(),
            type_,
            config,
            timer_driven: false,
            hardware: false,
            is_time: true,
        }
    }

    #[test]
    fn a_clock_has_a_fixed_period_in_nanoseconds() {
        let (attr, period) = attributes(&event(TYPE_SOFTWARE, 0), Sampling::Frequency(4999));
        assert_eq!(
            (attr.sample, attr.flags, period),
            (200_040, FLAG_DISABLED, Some(200_040))
        );
    }

    #[test]
    fn a_counter_at_a_frequency_has_no_fixed_period() {
        let (attr, period) = attributes(&event(0, 0), Sampling::Frequency(99));
        assert_eq!(
            (attr.sample, attr.flags, period),
            (99, FLAG_DISABLED | FLAG_FREQ, None)
        );
    }

    #[test]
    fn a_period_is_taken_as_it_is() {
        let (attr, period) = attributes(&event(TYPE_SOFTWARE, 2), Sampling::Period(100));
        assert_eq!(
            (attr.sample, attr.flags, period),
            (100, FLAG_DISABLED, Some(100))
        );
    }
}
