//! From windows to outputs: raw until the end, or named and printed as they come.

use std::collections::BTreeSet;
use std::io::{self, Write};

use anyhow::{Context as _, Result};

use super::failure::is_broken_pipe;
use super::machine::{Machine, Namer};
use super::nothing;
use super::output::Output;
use super::plan::{Plan, Stdout};
use super::say::say;
use super::store::RawStore;
use super::terminal;
use crate::capture::{RawWindow, own};
use crate::format::{Format, losses, stats, text};
use crate::kernel::refusal::{self, Lack, Situation};
use crate::kernel::sampling::Sampling;
use crate::profile::{Accounting, Frame, Meta, Profile, UnknownReason};

/// Takes in windows and writes the outputs.
pub(super) struct Emitter {
    plan: Plan,
    namer: Box<dyn Namer>,
    first_sample_ns: Option<u64>,
    /// Of the whole capture.
    total: Accounting,
    /// CPUs that came or went in any window.
    changed_cpus: BTreeSet<u32>,
    /// Windows not named yet.
    raw: RawStore,
    /// The whole capture, as far as it is named.
    whole: Profile,
    /// One JSON object for each window.
    window_lines: Vec<u8>,
    /// The reader of standard output is there.
    reader: bool,
    /// The kernel hid its symbols, so that frames have no names.
    symbols_hidden: bool,
}

impl Emitter {
    /// Made before sampling starts, so that what can't be met is told before, and that the first window of a
    /// stream does not wait for the kernel's symbols.
    pub(super) fn new(plan: Plan, machine: &dyn Machine) -> Result<Emitter> {
        let stream = plan.interval.is_some() && plan.stdout != Stdout::Silent;
        let namer = machine.namer(&plan.symbols, stream)?;
        Ok(Emitter {
            whole: Profile::new(meta(&plan)),
            plan,
            namer,
            first_sample_ns: None,
            total: Accounting::default(),
            changed_cpus: BTreeSet::new(),
            raw: RawStore::default(),
            window_lines: Vec::new(),
            reader: true,
            symbols_hidden: false,
        })
    }

    /// Sampling runs; from the start of this process that took so long.
    pub(super) fn started(&mut self, first_sample_ns: Option<u64>) {
        self.first_sample_ns = first_sample_ns;
        self.namer.look();
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Accounting of all windows so far.
    pub(super) fn accounting(&self) -> &Accounting {
        &self.total
    }

    /// CPUs that came online or went offline so far, ascending.
    pub(super) fn changed_cpus(&self) -> Vec<u32> {
        self.changed_cpus.iter().copied().collect()
    }

    /// Takes a window in.
    pub(super) fn add(&mut self, window: RawWindow) -> Result<()> {
        if self.plan.stats_windows.is_some() {
            write_line(&window, &mut self.window_lines);
        }
        self.total.merge(&window.accounting);
        self.changed_cpus.extend(&window.changed_cpus);
        self.raw.add(window);
        self.namer.look();
        Ok(())
    }

    /// Whether windows are named and printed as they come. Where nothing is printed there is no need to, and
    /// naming would hold up the drains.
    pub(super) fn is_streaming(&self) -> bool {
        self.plan.interval.is_some() && self.plan.stdout != Stdout::Silent
    }

    /// Prints what came in since the last call; false if nobody reads it any more.
    pub(super) fn print_window(&mut self) -> Result<bool> {
        let window = self.name_raw()?;
        match self.print(&window, None) {
            Ok(()) => {}
            Err(error) if is_broken_pipe(&error) => self.reader = false,
            Err(error) => return Err(error),
        }
        let start = self.whole.meta.start_unix_ns;
        self.whole.meta.merge(&window.meta);
        if start != 0 {
            // By now the clock may have been set back.
            self.whole.meta.start_unix_ns = start;
        }
        // Without files nobody asks for the whole, and a long run need not keep it.
        if !self.plan.outputs.is_empty() || self.plan.stats.is_some() {
            let meta = self.whole.meta.clone();
            self.whole.merge(&window);
            self.whole.meta = meta;
        }
        Ok(self.reader)
    }

    /// Writes everything that is left; returns what went wrong, one error for each output.
    pub(super) fn finish(mut self, explanation: Option<&str>) -> Vec<anyhow::Error> {
        let mut errors = Vec::new();
        let streaming = self.is_streaming();
        let named = match streaming {
            true => self.print_window().map(|_| ()),
            false => self.name_raw().map(|window| self.whole = window),
        };
        errors.extend(named.err());
        if self.symbols_hidden && !self.plan.quiet {
            let Lack { cause, mend, .. } = refusal::hidden_symbols(&Situation::now());
            say(format_args!(
                "kernel functions have no names here: {cause}. {mend}"
            ));
        }
        let accounting = &mut self.whole.meta.accounting;
        *accounting = self.total.clone();
        if let Some(lost) = losses::note(&self.whole.meta).filter(|_| !self.plan.quiet) {
            say(lost);
        }
        let hidden = nothing::hidden(&self.whole, &self.plan.show).filter(|_| !streaming);
        if let Some(text) = hidden.as_deref().filter(|_| !self.plan.quiet) {
            say(text);
        }
        let explanation = explanation.or(hidden.as_deref());
        if !streaming {
            // Broken pipes are sorted out below, with those of the files.
            errors.extend(self.print(&self.whole, explanation).err());
        }
        let Plan {
            outputs,
            stats: stats_file,
            stats_windows,
            show,
            progress,
            ..
        } = &mut self.plan;
        for (output, format) in std::mem::take(outputs) {
            let path = output.path.clone();
            let written = output.write(|out| format.write(&self.whole, show, explanation, out));
            match written {
                Ok(()) if *progress => say(format_args!("wrote {}", path.display())),
                Ok(()) => {}
                Err(error) => errors.push(error),
            }
        }
        if let Some(output) = stats_windows.take() {
            errors.extend(
                output
                    .write(|out| Ok(out.write_all(&self.window_lines)?))
                    .err(),
            );
        }
        if let Some(output) = stats_file.take() {
            errors.extend(write_stats(output, &mut self.whole, self.first_sample_ns).err());
        }
        errors.retain(|error| !is_broken_pipe(error));
        errors
    }

    /// Names the raw windows; they are a profile of their own.
    fn name_raw(&mut self) -> Result<Profile> {
        let window = self.raw.take();
        let mut profile = Profile::new(Meta {
            start_unix_ns: window.start_unix_ns,
            duration_ns: window.duration_ns,
            cpus: window.cpus.clone(),
            changed_cpus: window.changed_cpus.clone(),
            accounting: Accounting {
                user_cpu_ns: own::cpu_ns(),
                ..window.accounting.clone()
            },
            ..meta(&self.plan)
        });
        self.namer
            .add_window(&window, &mut profile)
            .context("naming stack frames")?;
        self.symbols_hidden |= profile.frames().any(|frame| {
            matches!(
                frame,
                Frame::Unknown {
                    reason: UnknownReason::SymbolsHidden,
                    ..
                }
            )
        });
        Ok(profile)
    }

    /// Prints to standard output, as far as anything goes there.
    fn print(&self, profile: &Profile, explanation: Option<&str>) -> Result<()> {
        if !self.reader || self.plan.stdout == Stdout::Silent {
            return Ok(());
        }
        let show = &self.plan.show;
        let mut out = io::BufWriter::new(io::stdout().lock());
        match self.plan.stdout {
            Stdout::Silent => Ok(()),
            Stdout::Report => text::write(profile, show, explanation, report_width(), &mut out),
            Stdout::Folded => Format::Folded.write(profile, show, explanation, &mut out),
        }
        .and_then(|()| Ok(out.flush()?))
        .context("writing to standard output")
    }
}

/// Columns of a report on standard output: the terminal's, as far as lines stay readable.
fn report_width() -> usize {
    const LONGEST: usize = 140;
    terminal::columns().map_or(text::WIDTH, |columns| columns.min(LONGEST))
}

fn write_stats(output: Output, whole: &mut Profile, first_sample_ns: Option<u64>) -> Result<()> {
    whole.meta.accounting.user_cpu_ns = own::cpu_ns();
    let run = stats::Run {
        max_rss_bytes: own::peak_rss_bytes(),
        first_sample_ns,
    };
    output.write(|out| stats::write(whole, &run, out))
}

/// What is known of the capture beforehand.
fn meta(plan: &Plan) -> Meta {
    let request = &plan.request;
    let (frequency_hz, period) = match request.sampling {
        Sampling::Frequency(hz) => (Some(hz), None),
        Sampling::Period(n) => (None, Some(n)),
    };
    Meta {
        event: request.event.name.clone(),
        timer_driven: request.event.timer_driven,
        frequency_hz,
        period,
        filters: plan.filters.clone(),
        kernel: crate::kernel::sysctl::read_text("kernel.osrelease").unwrap_or_default(),
        ..Meta::default()
    }
}

/// One window's accounting as a line of JSON.
fn write_line(window: &RawWindow, lines: &mut Vec<u8>) {
    let a = &window.accounting;
    let sum: u64 = window.samples.iter().map(|sample| sample.count).sum();
    let line = serde_json::json!({
        "start_unix_ns": window.start_unix_ns,
        "duration_ns": window.duration_ns,
        "seen": a.seen,
        "counted": a.counted,
        "filtered": a.filtered,
        "lost": a.lost,
        "expected": a.expected,
        "spilled": a.spilled,
        "late_ns": a.late_ns,
        "keys": window.samples.len(),
        "sum_of_counts": sum,
    });
    lines.extend_from_slice(line.to_string().as_bytes());
    lines.push(b'\n');
}
