//! `kprof record`: sample, drain, name, print.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::args::RecordArgs;
use super::changes::Changes;
use super::emit::Emitter;
use super::failure::Failure;
use super::machine::{Machine, Sampler, ThisMachine};
use super::nothing;
use super::plan::{self, Plan};
use super::progress::Progress;
use super::say::say;
use super::signals::Stop;
use crate::format::losses;
use crate::kernel::threads::Snapshot;
use crate::kernel::{pid_ns, refusal};

/// How often targets and the progress line are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How often CPUs that come and go and the kernel's limits are looked at, however long the windows are.
const CHANGES: Duration = Duration::from_secs(1);

/// Runs the command.
pub(super) fn run(args: &RecordArgs) -> Result<(), Failure> {
    let (plan, stop) = plan::plan(args)?;
    let filters = &plan.request.filters;
    let targeted = !filters.pids.is_empty() || !filters.tids.is_empty();
    if targeted && !plan.quiet && !pid_ns::of_proc().own {
        let lack = refusal::foreign_proc();
        eprintln!("kprof: {}: {}", lack.cause, lack.cost);
    }
    record(plan, &stop, &ThisMachine)
}

/// Why sampling ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The time was up.
    Time,
    /// Ctrl-C or SIGTERM.
    Signal,
    /// All processes and threads asked for are gone.
    TargetsGone,
    /// The reader of standard output went away.
    ReaderGone,
}

/// Samples as planned and writes all outputs, also those of a capture that ended early.
pub(super) fn record(plan: Plan, stop: &Stop, machine: &dyn Machine) -> Result<(), Failure> {
    if stop.requested() {
        return Err(Failure::Interrupted);
    }
    let mut emitter = Emitter::new(plan, machine)?;
    let request = &emitter.plan().request;
    let mut changes = Changes::of(request.sampling);
    let capture = machine.start(request)?;
    let started = Instant::now();
    // Only needed to explain an empty result, but then it must be from now.
    let before = match request.filters.is_empty() {
        true => None,
        false => machine.threads().ok(),
    };
    emitter.started(capture.first_sample_ns());
    let mut errors = Vec::new();
    let end = match sample(capture, started, stop, machine, &mut emitter, &mut changes) {
        Ok(end) => end,
        Err(error) => {
            errors.push(error);
            End::Time
        }
    };
    stop.allow_abort();
    if end == End::Signal && emitter.accounting().seen == 0 {
        return Err(Failure::Interrupted);
    }
    note_end(end, &emitter, started);
    if !emitter.plan().quiet {
        changes.notes(&emitter.changed_cpus()).iter().for_each(say);
    }
    let explanation = explain(&emitter, before.as_ref(), machine, started.elapsed());
    errors.extend(emitter.finish(explanation.as_deref()));
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Failure::Failed(errors)),
    }
}

/// Drains until the end; the last window is in the emitter when this returns `Ok`.
fn sample(
    mut capture: Box<dyn Sampler>,
    started: Instant,
    stop: &Stop,
    machine: &dyn Machine,
    emitter: &mut Emitter,
    changes: &mut Changes,
) -> Result<End> {
    let plan = emitter.plan();
    let deadline = plan.duration.map(|duration| started + duration);
    let (pids, tids) = (
        plan.request.filters.pids.clone(),
        plan.request.filters.tids.clone(),
    );
    let targeted = !pids.is_empty() || !tids.is_empty();
    let mut told = plan.quiet;
    let mut progress = Progress::new(plan.progress, started, plan.duration);
    let mut windows = Grid::new(started, even_part(plan.request.window, capture.period()));
    let mut looks = Grid::new(started, CHANGES);
    let mut prints = plan
        .interval
        .filter(|_| emitter.is_streaming())
        .map(|interval| Grid::new(started, interval));
    let end = loop {
        let now = Instant::now();
        let mut wake = windows.next.min(looks.next);
        wake = deadline.map_or(wake, |deadline| wake.min(deadline));
        if targeted || progress.is_on() {
            wake = wake.min(now + LOOK);
        }
        if stop.wait_until(wake) {
            break End::Signal;
        }
        let now = Instant::now();
        let look = looks.passed(now).is_some();
        if look {
            changes.note_rate_limit(machine.sample_rate_limit());
        }
        if deadline.is_some_and(|deadline| now >= deadline) {
            break End::Time;
        }
        if targeted && !machine.any_alive(&pids, &tids) {
            break End::TargetsGone;
        }
        if let Some(late) = windows.passed(now) {
            let mut window = capture.drain().context("reading what was sampled")?;
            window.accounting.late_ns = late.as_nanos() as u64;
            if window.accounting.was_full() {
                windows.halve();
                if !std::mem::replace(&mut told, true) {
                    progress.clear();
                    say(losses::full(
                        &window.accounting,
                        windows.step.as_nanos() as u64,
                    ));
                }
            }
            emitter.add(window)?;
            if prints
                .as_mut()
                .is_some_and(|prints| prints.passed(now).is_some())
                && !emitter.print_window()?
            {
                break End::ReaderGone;
            }
        } else if look {
            capture
                .follow_cpus()
                .context("following the CPUs that are online")?;
        }
        if let Some(soon) = capture.follow_again() {
            looks.next = looks.next.min(Instant::now() + soon);
        }
        progress.show(emitter.accounting());
    };
    progress.clear();
    let due = deadline.map_or(windows.next, |deadline| deadline.min(windows.next));
    let late = Instant::now().saturating_duration_since(due);
    changes.note_rate_limit(machine.sample_rate_limit());
    let mut rest = capture.finish().context("reading what was sampled last")?;
    rest.accounting.late_ns = late.as_nanos() as u64;
    emitter.add(rest)?;
    Ok(end)
}

/// Points in time, evenly apart.
struct Grid {
    next: Instant,
    step: Duration,
}

impl Grid {
    fn new(start: Instant, step: Duration) -> Grid {
        Grid {
            next: start + step,
            step,
        }
    }

    /// How long ago the next point was, if it has come; then moves to the first one that has not.
    fn passed(&mut self, now: Instant) -> Option<Duration> {
        let late = now.checked_duration_since(self.next)?;
        let missed = late.as_nanos() / self.step.as_nanos().max(1);
        self.next += self.step * (missed as u32 + 1);
        Some(late)
    }

    /// Goes twice as fast: a map was full.
    fn halve(&mut self) {
        if self.step >= Duration::from_millis(20) {
            self.step /= 2;
            self.next -= self.step;
        }
    }
}

/// The window, or the longest even part of it that the maps have room for.
fn even_part(window: Duration, room: Duration) -> Duration {
    let parts = window.as_nanos().div_ceil(room.as_nanos().max(1)).max(1);
    Duration::from_nanos((window.as_nanos() / parts) as u64)
}

fn note_end(end: End, emitter: &Emitter, started: Instant) {
    if emitter.plan().quiet || end != End::TargetsGone {
        return;
    }
    let after = super::values::time_words(started.elapsed());
    let targets = &emitter.plan().request.filters;
    let what = match (targets.pids.as_slice(), targets.tids.as_slice()) {
        ([pid], []) => format!("process {pid} has"),
        ([], [tid]) => format!("thread {tid} has"),
        _ => "all processes and threads asked for have".into(),
    };
    say(format_args!(
        "{what} exited, so sampling ended after {after}"
    ));
}

/// Says on standard error why there is nothing to see, if so.
fn explain(
    emitter: &Emitter,
    before: Option<&Snapshot>,
    machine: &dyn Machine,
    elapsed: Duration,
) -> Option<String> {
    let plan = emitter.plan();
    let accounting = emitter.accounting();
    if accounting.counted > 0 {
        return None;
    }
    let after = before.and_then(|_| machine.threads().ok());
    let text = nothing::explain(plan, accounting, before.zip(after.as_ref()), elapsed);
    if !plan.quiet {
        text.lines().for_each(say);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_skips_what_it_missed_and_stays_in_step() {
        let start = Instant::now();
        let ms = |n| start + Duration::from_millis(n);
        let mut grid = Grid::new(start, Duration::from_millis(50));
        assert_eq!(grid.passed(ms(49)), None);
        assert_eq!(grid.passed(ms(50)), Some(Duration::ZERO));
        assert_eq!(grid.next, ms(100));
        assert_eq!(grid.passed(ms(230)), Some(Duration::from_millis(130)));
        assert_eq!(grid.next, ms(250));
        grid.halve();
        assert_eq!(grid.next, ms(225));
    }
}
