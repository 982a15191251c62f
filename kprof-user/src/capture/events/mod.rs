//! The perf events: one for each CPU, opened here so that their own counts can be read.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::Request;
use crate::kernel::cpus;
use crate::kernel::event::Event;
use crate::kernel::perf_syscall::{Attr, FLAG_DISABLED, FLAG_FREQ, TYPE_SOFTWARE, TYPE_TRACEPOINT};
use crate::kernel::refusal::{self, Action};
use crate::kernel::sampling::Sampling;

mod cpu_event;

use cpu_event::CpuEvent;

/// `PERF_COUNT_SW_CPU_CLOCK` and `PERF_COUNT_SW_TASK_CLOCK`: they count nanoseconds.
const CLOCKS: [u64; 2] = [0, 1];

/// All events of a capture.
#[derive(Debug)]
pub(super) struct Events {
    request: Request,
    attr: Attr,
    /// Counter increments from one sample to the next, where that is fixed.
    period: Option<u64>,
    open: BTreeMap<u32, CpuEvent>,
    /// A tracepoint has one list of programs for all CPUs. Ours is on it by one event, until that one is closed; so
    /// it is kept though its CPU may go.
    holder: Option<OwnedFd>,
    /// CPUs that came or went since [`Events::take_changed`].
    changed: BTreeSet<u32>,
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
        read_format: cpu_event::READ_FORMAT,
        ..Attr::default()
    };
    (attr, period)
}

/// Opens the event of each CPU. One that went offline meanwhile is left out.
fn open_each<E>(
    cpus: &[u32],
    mut open: impl FnMut(u32) -> io::Result<E>,
    online: impl Fn() -> Result<Vec<u32>>,
) -> Result<BTreeMap<u32, E>, (u32, anyhow::Error)> {
    let mut opened = BTreeMap::new();
    for &cpu in cpus {
        match open(cpu) {
            Ok(event) => {
                opened.insert(cpu, event);
            }
            Err(error) if online().is_ok_and(|online| !online.contains(&cpu)) => drop(error),
            Err(error) => {
                let words = refusal::explain(&error, Action::OpenPerfEvent);
                return Err((cpu, anyhow!(words)));
            }
        }
    }
    Ok(opened)
}

impl Events {
    /// Opens an event on each CPU and attaches the program; they are not enabled yet.
    pub(super) fn open(request: &Request, program: BorrowedFd<'_>) -> Result<Events> {
        let (attr, period) = attributes(&request.event, request.sampling);
        let mut events = Events {
            request: request.clone(),
            attr,
            period,
            open: BTreeMap::new(),
            holder: None,
            changed: BTreeSet::new(),
        };
        let chosen = request.chosen(&cpus::online()?);
        let open = |cpu| events.open_one(cpu, program);
        events.open = open_each(&chosen, open, cpus::online).map_err(|(cpu, error)| {
            error.context(format!(
                "cannot open the event {} on CPU {cpu}",
                request.event.name
            ))
        })?;
        if events.open.is_empty() {
            bail!("none of the CPUs to sample is online");
        }
        let gone = |cpu: &u32| !events.open.contains_key(cpu);
        events.changed = chosen.into_iter().filter(gone).collect();
        Ok(events)
    }

    fn open_one(&mut self, cpu: u32, program: BorrowedFd<'_>) -> io::Result<CpuEvent> {
        let event = CpuEvent::open(&self.attr, cpu)?;
        if !self.is_tracepoint() {
            event.attach(program)?;
        } else if self.holder.is_none() {
            event.attach(program)?;
            self.holder = Some(event.hold()?);
        }
        Ok(event)
    }

    fn is_tracepoint(&self) -> bool {
        self.attr.type_ == TYPE_TRACEPOINT
    }

    /// Starts sampling.
    pub(super) fn enable(&self) -> Result<()> {
        self.open
            .values()
            .try_for_each(CpuEvent::enable)
            .context("cannot enable the perf events")
    }

    /// Stops sampling; the counts stay readable.
    pub(super) fn disable(&self) -> Result<()> {
        self.open
            .values()
            .try_for_each(CpuEvent::disable)
            .context("cannot disable the perf events")
    }

    /// CPUs with an event, ascending.
    pub(super) fn cpus(&self) -> impl Iterator<Item = u32> {
        self.open.keys().copied()
    }

    /// CPUs that came online or went offline since the last call.
    pub(super) fn take_changed(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.changed)
    }

    /// Samples that fell due since the last call, by the events' own counts; `None` where the
    /// period varies.
    pub(super) fn newly_due(&mut self) -> Option<u64> {
        if self.is_tracepoint() {
            return None;
        }
        let period = self.period;
        let due = self.open.values_mut().map(|event| event.newly_due(period));
        let due = due.sum();
        period.map(|_| due)
    }

    /// How soon to [`Events::follow`] again, where some CPUs may have gone and come back.
    pub(super) fn follow_again(&self) -> Option<Duration> {
        self.open.values().filter_map(CpuEvent::read_again).min()
    }

    /// Opens events on CPUs that came and drops those of CPUs that went, also if they are back by now; to be called
    /// right after [`Events::newly_due`]. Answers what the dropped ones had due since.
    pub(super) fn follow(&mut self, program: BorrowedFd<'_>) -> Result<u64> {
        let chosen = self.request.chosen(&cpus::online()?);
        let due = self.drop_gone(&chosen);
        for cpu in chosen {
            if self.open.contains_key(&cpu) {
                continue;
            }
            // The CPU may be gone again: then the next call sees to it.
            let Ok(event) = self.open_one(cpu, program) else {
                continue;
            };
            if event.enable().is_ok() {
                self.open.insert(cpu, event);
                self.changed.insert(cpu);
            }
        }
        Ok(due)
    }

    /// As [`Events::follow`], without the new ones.
    pub(super) fn drop_gone(&mut self, online: &[u32]) -> u64 {
        let gone = |(cpu, event): (&u32, &CpuEvent)| {
            let dead = !online.contains(cpu) || event.is_dead();
            dead.then_some(*cpu)
        };
        let gone: Vec<u32> = self.open.iter().filter_map(gone).collect();
        let mut due = 0;
        for cpu in gone {
            if let Some(mut event) = self.open.remove(&cpu) {
                due += event.newly_due(self.period);
            }
            self.changed.insert(cpu);
        }
        due
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

    #[test]
    fn a_cpu_that_goes_while_events_are_opened_is_left_out() {
        let offline = |cpu| match cpu {
            1 => Err(io::Error::from_raw_os_error(libc::ENODEV)),
            cpu => Ok(cpu),
        };
        let opened = open_each(&[0, 1, 2], offline, || Ok(vec![0, 2])).unwrap();
        assert_eq!(opened.into_keys().collect::<Vec<_>>(), [0, 2]);
        // One that is there is refused for another reason, which is told.
        let (cpu, error) = open_each(&[0, 1, 2], offline, || Ok(vec![0, 1, 2])).unwrap_err();
        assert_eq!(cpu, 1);
        assert!(!error.to_string().is_empty());
    }
}
