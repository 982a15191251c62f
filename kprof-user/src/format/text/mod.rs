//! The report for people on a terminal: where the time went, which threads and functions took it, by
//! which paths, and how well it was measured.

use std::fmt::Write as _;
use std::io::Write;

use anyhow::{Context as _, Result};

use super::caption::{self, group, percent, seconds};
use super::losses;
use super::view::View;
use crate::profile::{Context, Meta, Profile, Show};

mod lists;
mod tree;

/// Columns of a report in a file.
pub const WIDTH: usize = 100;

/// Columns that a report needs at least.
const LEAST: usize = 60;

/// Writes the report, at most `width` columns of it. `explanation` is shown if there is nothing else to
/// show.
pub fn write(
    profile: &Profile,
    show: &Show,
    explanation: Option<&str>,
    width: usize,
    out: &mut dyn Write,
) -> Result<()> {
    out.write_all(report(profile, show, explanation, width.max(LEAST)).as_bytes())
        .and_then(|()| out.flush())
        .context("writing the report")
}

fn report(profile: &Profile, show: &Show, explanation: Option<&str>, width: usize) -> String {
    let view = View::new(profile, show);
    let meta = &profile.meta;
    let mut text = Text {
        lines: String::new(),
        width,
    };
    text.paragraph(&caption::title(meta));
    text.paragraph(&caption::how(meta));
    text.gap();
    if view.total == 0 {
        text.paragraph(&caption::empty(profile, &view, explanation));
        text.gap();
    }
    if profile.total() > 0 {
        contexts(&mut text, profile);
    }
    if view.total > 0 {
        if let Some(hidden) = caption::hidden(profile, &view) {
            text.paragraph(&hidden);
            text.gap();
        }
        lists::threads(&mut text, &view);
        lists::functions(&mut text, &view);
        tree::paths(&mut text, &view);
        for note in [caption::caveat(&view), caption::stack_limit(&view)] {
            let Some(note) = note else { continue };
            text.paragraph(&note);
            text.gap();
        }
    }
    if let Some(lost) = losses::lost(meta) {
        text.paragraph(&format!("Lost: {lost}"));
        text.gap();
    }
    text.paragraph(&accounting(meta));
    text.lines
}

/// A report in the making.
#[derive(Debug)]
struct Text {
    lines: String,
    /// Columns.
    width: usize,
}

impl Text {
    fn line(&mut self, line: &str) {
        self.lines.push_str(&caption::printable(line.trim_end()));
        self.lines.push('\n');
    }

    fn paragraph(&mut self, text: &str) {
        for line in caption::wrap(text, self.width) {
            self.line(&line);
        }
    }

    /// A row of a table, whose last cell is words and goes on below itself.
    fn row(&mut self, cells: &str, words: &str) {
        let margin = cells.chars().count();
        let words = caption::wrap(words, self.width.saturating_sub(margin));
        let mut words = words.iter().map(String::as_str);
        self.line(&format!("{cells}{}", words.next().unwrap_or_default()));
        for more in words {
            self.line(&format!("{:margin$}{more}", ""));
        }
    }

    /// A row of a table, whose last cell is a frame's label and is shortened to fit.
    fn frame(&mut self, cells: &str, label: &str) {
        let room = self.width.saturating_sub(cells.chars().count());
        self.line(&format!("{cells}{}", caption::fit(label, room)));
    }

    fn gap(&mut self) {
        self.lines.push('\n');
    }
}

/// The whole that a share is of, in samples, and the words for it.
fn whole(meta: &Meta) -> (f64, String) {
    match caption::whole(meta) {
        Some(whole) => (
            whole,
            format!("{} x {}", caption::cpus(meta), seconds(meta.duration_ns)),
        ),
        None => {
            let seen = meta.accounting.seen;
            (seen as f64, format!("all {}", caption::samples(seen)))
        }
    }
}

fn contexts(text: &mut Text, profile: &Profile) {
    let meta = &profile.meta;
    let accounting = &meta.accounting;
    let (mut whole_samples, mut words) = whole(meta);
    if whole_samples == 0.0 {
        whole_samples = profile.total() as f64;
        words = format!("all {}", caption::samples(profile.total()));
    }
    text.line(&format!("Where the time went (100 % = {words})"));
    text.line("                  share      time      samples");
    let mut row = |name: &str, count: u64, note: &str| {
        let time = match meta.sample_ns() {
            Some(sample_ns) => seconds(count.saturating_mul(sample_ns)),
            None => String::new(),
        };
        let share = percent(count, whole_samples);
        let samples = group(count);
        let cells = format!("  {name:<12} {share:>6.1} % {time:>9} {samples:>12}  ");
        text.row(&cells, note);
    };
    for context in Context::ALL {
        let count = profile.total_in(context);
        let note = match context {
            Context::Task => "system calls, faults, kernel threads",
            Context::Softirq => "soft interrupts, in ksoftirqd and on other threads",
            Context::Hardirq => "hard interrupts",
            Context::Idle => "the idle loop",
            Context::User => "not in the kernel",
        };
        if count > 0 || !matches!(context, Context::Idle | Context::User) {
            row(context.name(), count, note);
        }
    }
    if accounting.filtered > 0 {
        row(
            "filtered out",
            accounting.filtered,
            "other threads, as asked",
        );
    }
    if accounting.lost_total() > 0 {
        row("lost", accounting.lost_total(), "see below");
    }
    let skipped = accounting.skipped().unwrap_or(0);
    if skipped > 0 {
        let note = match meta.timer_driven {
            true => "due, but the timer came late (idle CPUs of virtual machines) or BPF was busy",
            false => "due, but BPF was busy",
        };
        row("skipped", skipped, note);
    }
    let rest = whole_samples - (accounting.seen + skipped) as f64;
    // Up to one percent is the rounding of the sampling period.
    if accounting.seen > 0 && rest > whole_samples / 100.0 {
        let offline = match meta.changed_cpus.is_empty() {
            true => "",
            false => "CPUs were offline, ",
        };
        let why = match meta.timer_driven {
            true => "the timer ran late or was throttled, or the host took the CPU",
            false => "CPUs halted",
        };
        row(
            "no sample",
            rest as u64,
            &format!("none was due: {offline}{why}"),
        );
    }
    text.gap();
}

/// One line on losses and on what measuring cost.
fn accounting(meta: &Meta) -> String {
    let accounting = &meta.accounting;
    let mut line = format!(
        "Accounting: {} seen = {} counted + {} filtered + {} lost",
        group(accounting.seen),
        group(accounting.counted),
        group(accounting.filtered),
        group(accounting.lost_total()),
    );
    let reasons: Vec<String> = accounting
        .lost
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, count)| format!("{reason} {}", group(*count)))
        .collect();
    // Writing to a `String` can't fail.
    if !reasons.is_empty() {
        let _ = write!(line, " ({})", reasons.join(", "));
    }
    if !accounting.adds_up() {
        line.push_str(" - WHICH DOES NOT ADD UP, please report it");
    }
    if let Some(skipped) = accounting.skipped() {
        let _ = write!(line, "; {} skipped by the kernel", group(skipped));
    }
    let _ = write!(line, ". Cost:");
    let of_one_cpu = |ns: u64| percent(ns, meta.duration_ns as f64);
    match (accounting.bpf_run_time_ns, accounting.bpf_run_count) {
        (Some(ns), Some(runs)) if runs > 0 => {
            let _ = write!(
                line,
                " {} ns of BPF a sample, {:.2} % of one CPU;",
                group(ns / runs),
                of_one_cpu(ns)
            );
        }
        _ => line.push_str(" BPF time not measured;"),
    }
    let _ = write!(
        line,
        " kprof itself {:.2} % of one CPU.",
        of_one_cpu(accounting.user_cpu_ns)
    );
    line
}
