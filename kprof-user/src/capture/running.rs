//! A capture from start to finish.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use super::cost::Cost;
use super::epoch::{Counts, Epoch};
use super::events::Events;
use super::grace::Grace;
use super::load::Loaded;
use super::own;
use super::sizing::Sizes;
use super::stacks::Interner;
use super::{RawSample, RawWindow, Request};
use crate::kernel::cpus;
use crate::kernel::sampling::Sampling;
use crate::profile::Accounting;

/// A running capture. Dropping it stops it.
#[derive(Debug)]
pub struct Capture {
    // First, so that a drop stops the events before the maps go.
    events: Events,
    /// CPUs that were sampled since the last window.
    sampled: BTreeSet<u32>,
    loaded: Loaded,
    sizes: Sizes,
    grace: Grace,
    cost: Cost,
    /// The epoch that programs use.
    active: u32,
    epochs: [Epoch; 2],
    interner: Interner,
    counts: Counts,
    accounting: Accounting,
    /// When the samples begin that were not handed out yet.
    started: Moment,
    /// When the epoch was flipped last.
    flipped: Moment,
    first_sample_ns: u64,
    #[cfg(feature = "bpf-log")]
    log: super::bpf_log::BpfLog,
}

/// A point in time, by the clock that can be set and by the one that can't.
#[derive(Clone, Copy, Debug)]
struct Moment(SystemTime, Instant);

impl Moment {
    fn now() -> Moment {
        Moment(SystemTime::now(), Instant::now())
    }
}

impl Capture {
    /// Loads the programs and starts sampling.
    pub fn start(request: &Request) -> Result<Capture> {
        let cpus = request.chosen(&cpus::online()?).len();
        let rate = match request.sampling {
            Sampling::Frequency(hz) => Some(hz * cpus as u64),
            Sampling::Period(_) => None,
        };
        let sizes = Sizes::choose(rate, cpus, request.window, request.max_stacks);
        let loaded = Loaded::load(request, &sizes)?;
        #[cfg(feature = "bpf-log")]
        let log = super::bpf_log::BpfLog::of(&loaded.program)?;
        let grace = Grace::probe()?;
        let cost = Cost::start();
        let events = Events::open(request, loaded.program.as_fd())?;
        let started = Moment::now();
        events.enable()?;
        Ok(Capture {
            sampled: events.cpus().collect(),
            events,
            loaded,
            sizes,
            grace,
            cost,
            active: 0,
            epochs: Default::default(),
            interner: Interner::new(),
            counts: Counts::new(),
            accounting: Accounting::default(),
            started,
            flipped: started,
            first_sample_ns: own::age_ns(),
            #[cfg(feature = "bpf-log")]
            log,
        })
    }

    /// Call [`Capture::collect`] or [`Capture::drain`] at least this often, or maps may fill up.
    pub fn period(&self) -> Duration {
        self.sizes.period
    }

    /// How long after [`own::begin`] sampling began, nanoseconds.
    pub fn first_sample_ns(&self) -> u64 {
        self.first_sample_ns
    }

    /// CPUs that are being sampled.
    pub fn cpus(&self) -> Vec<u32> {
        self.events.cpus().collect()
    }

    /// Moves counts out of the kernel, for the next [`Capture::drain`] to hand out.
    pub fn collect(&mut self) -> Result<()> {
        let retired = self.active;
        let next = retired ^ 1;
        self.loaded.cpus.switch(next);
        self.active = next;
        // Samples from here on are of the next window, however long it takes to read those before.
        self.flipped = Moment::now();
        // The events go on: what they count from here on is the next epoch's.
        let due = self.events.newly_due();
        self.grace.wait()?;
        #[cfg(feature = "bpf-log")]
        self.log.flush();
        self.read(retired, due)
    }

    fn read(&mut self, epoch: u32, due: Option<u64>) -> Result<()> {
        let mut accounting = self.epochs[epoch as usize & 1].read(
            epoch,
            &mut self.loaded,
            &self.sizes,
            &mut self.interner,
            &mut self.counts,
        )?;
        accounting.expected = due;
        if let Some((time, runs)) = self.cost.program(&self.loaded) {
            accounting.bpf_run_time_ns = Some(time);
            accounting.bpf_run_count = Some(runs);
        }
        accounting.user_cpu_ns = self.cost.process();
        self.accounting.merge(&accounting);
        Ok(())
    }

    /// Hands out what was counted since the last call. Sampling goes on meanwhile.
    pub fn drain(&mut self) -> Result<RawWindow> {
        self.collect()?;
        let due = self.events.follow(self.loaded.program.as_fd())?;
        self.expect(due);
        let window = self.hand_out(self.flipped);
        self.sampled = self.events.cpus().collect();
        Ok(window)
    }

    /// How soon to call [`Capture::follow_cpus`] again, where some may have gone and come back.
    pub fn follow_again(&self) -> Option<Duration> {
        self.events.follow_again()
    }

    /// Samples CPUs that came online, and drops those that went. [`Capture::drain`] does so too; call this in
    /// between where windows are long.
    pub fn follow_cpus(&mut self) -> Result<()> {
        let due = self.events.newly_due().unwrap_or(0);
        self.expect(due);
        let due = self.events.follow(self.loaded.program.as_fd())?;
        self.expect(due);
        self.sampled.extend(self.events.cpus());
        Ok(())
    }

    /// Adds to what is due; nothing is where the period varies.
    fn expect(&mut self, due: u64) {
        if due > 0 {
            *self.accounting.expected.get_or_insert(0) += due;
        }
    }

    /// Stops sampling and hands out the rest.
    pub fn finish(mut self) -> Result<RawWindow> {
        let due = self.events.newly_due().unwrap_or(0);
        self.expect(due);
        let due = self.events.drop_gone(&cpus::online()?);
        self.expect(due);
        self.events.disable()?;
        let ended = Moment::now();
        // Two flips read both epochs, and leave no program in either.
        self.collect()?;
        self.collect()?;
        Ok(self.hand_out(ended))
    }

    /// `end` is when the samples end that were taken out of the maps.
    fn hand_out(&mut self, end: Moment) -> RawWindow {
        let Moment(unix, instant) = std::mem::replace(&mut self.started, end);
        let samples = self
            .counts
            .drain()
            .map(|(key, count)| RawSample {
                key,
                stack: self.interner.get(key.stack as u32),
                count,
            })
            .collect();
        // A load that never repeats a stack must not fill the memory.
        if self.interner.len() > self.sizes.stacks as usize * 4 {
            self.interner = Interner::new();
            self.epochs.iter_mut().for_each(Epoch::forget);
        }
        let mut accounting = std::mem::take(&mut self.accounting);
        accounting.windows = 1;
        RawWindow {
            samples,
            accounting,
            start_unix_ns: unix
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_nanos() as u64),
            duration_ns: end.1.duration_since(instant).as_nanos() as u64,
            cpus: self.sampled.iter().copied().collect(),
            changed_cpus: self.events.take_changed().into_iter().collect(),
            // `bpf_get_stack` stops at the same number, for stacks that went to the spill map.
            max_frames: self.loaded.epochs[0].stacks.value_size() / 8,
        }
    }
}
