//! The words about a capture that the picture, the report and the other formats share.

use std::fmt::Write as _;

use super::view::View;
use crate::profile::{Context, Frame, Meta, Profile};

/// What was sampled: `kprof: --comm ksoftirqd`.
pub(super) fn title(meta: &Meta) -> String {
    match meta.filters.as_str() {
        "" => "kprof: all threads".to_owned(),
        filters => format!("kprof: {filters}"),
    }
}

/// How it was sampled: event, rate, CPUs, duration, kernel.
pub(super) fn how(meta: &Meta) -> String {
    let mut text = match meta.event.as_str() {
        "" => "unknown event".to_owned(),
        event => event.to_owned(),
    };
    // Writing to a `String` can't fail, here and below.
    let _ = match (meta.frequency_hz, meta.period) {
        (Some(hz), _) => write!(text, " at {hz} Hz"),
        (None, Some(1)) => write!(text, ", each one sampled,"),
        (None, Some(period)) => write!(text, ", one in {} sampled,", group(period)),
        (None, None) => Ok(()),
    };
    if !meta.cpus.is_empty() {
        let _ = write!(text, " on {} ({}", cpus(meta), cpu_list(&meta.cpus));
        let sampled = |cpu: &u32| meta.cpus.contains(cpu);
        let partly: Vec<u32> = meta.changed_cpus.iter().copied().filter(sampled).collect();
        let _ = match partly.as_slice() {
            [] => write!(text, ")"),
            partly => write!(text, "; {} for part of the time)", cpu_list(partly)),
        };
    }
    if meta.duration_ns > 0 {
        let _ = write!(text, " for {}", seconds(meta.duration_ns));
    }
    if !meta.kernel.is_empty() {
        let _ = write!(text, ", Linux {}", meta.kernel);
    }
    text
}

/// `1 CPU`, `2 CPUs`.
pub(super) fn cpus(meta: &Meta) -> String {
    match meta.cpus.len() {
        1 => "1 CPU".to_owned(),
        n => format!("{n} CPUs"),
    }
}

/// CPUs as the kernel writes lists of them: `0-3,7`.
pub(crate) fn cpu_list(cpus: &[u32]) -> String {
    let mut sorted = cpus.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut list = String::new();
    for run in sorted.chunk_by(|a, b| a + 1 == *b) {
        let comma = if list.is_empty() { "" } else { "," };
        let _ = match run {
            [first, .., last] => write!(list, "{comma}{first}-{last}"),
            [only] => write!(list, "{comma}{only}"),
            [] => Ok(()),
        };
    }
    list
}

/// All CPUs x wall time in samples, where a sample is time and the CPUs are known.
pub(super) fn whole(meta: &Meta) -> Option<f64> {
    let sample_ns = meta.sample_ns()? as f64;
    let whole = meta.cpus.len() as f64 * meta.duration_ns as f64 / sample_ns;
    (whole > 0.0).then_some(whole)
}

/// `5.0 s`, `250 ms`, `800 us`.
pub(super) fn seconds(ns: u64) -> String {
    let ns = ns as f64;
    match ns {
        ns if ns >= 100e9 => format!("{:.0} s", ns / 1e9),
        ns if ns >= 1e9 => format!("{:.1} s", ns / 1e9),
        ns if ns >= 10e6 => format!("{:.0} ms", ns / 1e6),
        ns if ns >= 1e6 => format!("{:.1} ms", ns / 1e6),
        ns if ns >= 1e3 => format!("{:.1} us", ns / 1e3),
        ns => format!("{ns:.0} ns"),
    }
}

/// A number with its thousands set apart: `12,345`.
pub(super) fn group(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 sample`, `12,345 samples`.
pub(super) fn samples(n: u64) -> String {
    match n {
        1 => "1 sample".to_owned(),
        n => format!("{} samples", group(n)),
    }
}

/// A share in percent; 0 of a whole that is nothing.
pub(super) fn percent(part: u64, whole: f64) -> f64 {
    if whole > 0.0 {
        100.0 * part as f64 / whole
    } else {
        0.0
    }
}

/// The contexts that were counted but are not shown, with what would show them.
pub(super) fn hidden(profile: &Profile, view: &View<'_>) -> Option<String> {
    let parts: Vec<String> = Context::ALL
        .into_iter()
        .filter(|context| !view.rows.iter().any(|row| row.context == *context))
        .filter_map(|context| {
            let how = match context {
                Context::Idle => "in the idle loop (--show-idle shows them)",
                Context::User => "in user mode (--show-user shows them)",
                // These are always shown.
                Context::Task | Context::Softirq | Context::Hardirq => return None,
            };
            match profile.total_in(context) {
                0 => None,
                n => Some(format!("{} {how}", group(n))),
            }
        })
        .collect();
    (!parts.is_empty()).then(|| format!("Not shown: {}.", parts.join(", ")))
}

/// Whether a function turns interrupts on again after code that ran with them off, so that a timer
/// which fired meanwhile is charged to it.
///
/// `_raw_spin_unlock_irqrestore` and its kin: include/linux/spinlock_api_smp.h and
/// include/linux/rwlock_api_smp.h. `finish_task_switch`, which ends what `__schedule` began with the
/// run queue locked: kernel/sched/core.c. `handle_softirqs`, before Linux 6.9 `__do_softirq`, which
/// enables interrupts before it runs the handlers: kernel/softirq.c.
fn turns_interrupts_on(function: &str) -> bool {
    // The compiler marks changed copies: `finish_task_switch.isra.0`.
    let function = function.split('.').next().unwrap_or(function);
    matches!(
        function,
        "_raw_spin_unlock_irqrestore"
            | "_raw_spin_unlock_irq"
            | "_raw_read_unlock_irqrestore"
            | "_raw_read_unlock_irq"
            | "_raw_write_unlock_irqrestore"
            | "_raw_write_unlock_irq"
            | "raw_spin_rq_unlock_irqrestore"
            | "finish_task_switch"
            | "finish_lock_switch"
            | "handle_softirqs"
            | "__do_softirq"
    )
}

/// Share of the shown samples from which on the caveat is worth its room, percent.
const CAVEAT_PERCENT: f64 = 3.0;

/// What a timer can't see, said when it matters: the event is driven by one, and functions that turn
/// interrupts on are hot.
pub(super) fn caveat(view: &View<'_>) -> Option<String> {
    if !view.profile.meta.timer_driven {
        return None;
    }
    let mut hot: Vec<(&str, u64)> = Vec::new();
    for row in &view.rows {
        let frames = row.frames.iter().rev().map(|&id| view.profile.frame(id));
        // With source lines, what is inlined into the function comes first.
        let inner = frames.into_iter().find(|frame| !frame.is_inlined());
        let Some(name) = inner.and_then(|frame| frame.function()) else {
            continue;
        };
        if !turns_interrupts_on(name) {
            continue;
        }
        match hot.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += row.count,
            None => hot.push((name, row.count)),
        }
    }
    hot.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let sum: u64 = hot.iter().map(|(_, count)| count).sum();
    let share = percent(sum, view.total as f64);
    if share < CAVEAT_PERCENT {
        return None;
    }
    let names: Vec<&str> = hot.iter().take(3).map(|(name, _)| *name).collect();
    Some(format!(
        "Caveat: {} is a timer and can't see code that runs with interrupts off; that time is charged to \
         where they come on again: {share:.1} % of the samples are in {}. Look at their callers.",
        view.profile.meta.event,
        names.join(", "),
    ))
}

/// Stacks that may have been deeper than is kept, said whenever there are any.
pub(super) fn stack_limit(view: &View<'_>) -> Option<String> {
    let (mut samples, mut kept) = (0, 0);
    for row in &view.rows {
        let outer = row.frames.first().map(|&id| view.profile.frame(id));
        if let Some(Frame::Limit { frames }) = outer {
            samples += row.count;
            kept = *frames;
        }
    }
    if samples == 0 {
        return None;
    }
    let share = percent(samples, view.total as f64);
    let mend = match kept < kprof_ebpf::MAX_FRAMES as u32 {
        true => format!(
            " More are kept after: sudo sysctl -w kernel.perf_event_max_stack={}",
            kprof_ebpf::MAX_FRAMES
        ),
        false => String::new(),
    };
    Some(format!(
        "Stack limit: {share:.1} % of the samples have {kept} frames, the most that are kept; what called those, if \
         anything did, is not known, nor whether it was in an interrupt.{mend}"
    ))
}

/// Text with its control characters written out: names may hold some, and they could drive a terminal
/// or make XML invalid.
pub(crate) fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{fffe}' | '\u{ffff}' => clean.extend(c.escape_unicode()),
            c if c.is_control() => clean.extend(c.escape_default()),
            c => clean.push(c),
        }
    }
    clean
}

/// Lines of at most `width` characters, broken at spaces; a longer word stays whole.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            let len = line.chars().count();
            if len > 0 && len + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// A frame's label in at most `width` characters. Of a source's path the outer folders go first, so that
/// file and line stay; then the end of the name.
pub(super) fn fit(label: &str, width: usize) -> String {
    let length = label.chars().count();
    if length <= width {
        return label.to_owned();
    }
    let (name, position, tail) = parts(label);
    let rest = length - position.chars().count();
    let mut short = position;
    let mut dots = "";
    for (slash, _) in position.match_indices('/') {
        (short, dots) = (&position[slash..], "...");
        if rest + dots.len() + short.chars().count() <= width {
            break;
        }
    }
    let space = if position.is_empty() { "" } else { " " };
    let end = format!("{space}{dots}{short}{tail}");
    let room = width.saturating_sub(end.chars().count());
    cut(&format!("{}{end}", cut(name, room)), width)
}

/// The beginning of a text, with dots for what is missing.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(2)).collect();
    format!("{kept}..")
}

/// A label's name (with the module), its position (`file:line`) and what follows.
fn parts(label: &str) -> (&str, &str, &str) {
    let (before, tail) = match label.strip_suffix(" (inlined)") {
        Some(before) => (before, " (inlined)"),
        None => (label, ""),
    };
    match before.rsplit_once(' ') {
        Some((name, position)) if position.contains(':') && !position.ends_with(']') => {
            (name, position, tail)
        }
        _ => (before, "", tail),
    }
}

/// The sentence for a result in which there is nothing to show.
pub(super) fn empty(profile: &Profile, view: &View<'_>, explanation: Option<&str>) -> String {
    let mut text = match profile.total() {
        0 => "No samples matched.".to_owned(),
        n => format!("All {} were in contexts that are not shown.", samples(n)),
    };
    for more in [hidden(profile, view).as_deref(), explanation]
        .into_iter()
        .flatten()
    {
        text.push('\n');
        text.push_str(more);
    }
    if profile.total() == 0 && explanation.is_none() {
        let accounting = &profile.meta.accounting;
        let _ = write!(
            text,
            "\nThe program ran {} times: {} turned away by the filters, {} lost.",
            group(accounting.seen),
            group(accounting.filtered),
            group(accounting.lost_total()),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_short() {
        assert_eq!(cpu_list(&[3, 0, 1, 2, 7]), "0-3,7");
        assert_eq!(cpu_list(&[5]), "5");
        assert_eq!(cpu_list(&[]), "");
    }

    #[test]
    fn cpus_that_came_or_went_are_marked() {
        let mut meta = Meta {
            cpus: vec![0, 1, 2, 3],
            ..Meta::default()
        };
        assert_eq!(how(&meta), "unknown event on 4 CPUs (0-3)");
        // CPU 7 came so late that it was not sampled.
        meta.changed_cpus = vec![1, 2, 7];
        let text = "unknown event on 4 CPUs (0-3; 1-2 for part of the time)";
        assert_eq!(how(&meta), text);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(group(0), "0");
        assert_eq!(group(999), "999");
        assert_eq!(group(1_234_567), "1,234,567");
    }

    #[test]
    fn compilers_copies_count_as_the_function() {
        assert!(turns_interrupts_on("finish_task_switch.isra.0"));
        assert!(!turns_interrupts_on("_raw_spin_lock"));
    }

    #[test]
    fn labels_lose_folders_before_they_lose_letters() {
        let label = "vfs_read [ext4] /build/linux/fs/read_write.c:570 (inlined)";
        assert_eq!(fit(label, 58), label);
        assert_eq!(
            fit(label, 57),
            "vfs_read [ext4] .../linux/fs/read_write.c:570 (inlined)"
        );
        assert_eq!(
            fit(label, 50),
            "vfs_read [ext4] .../fs/read_write.c:570 (inlined)"
        );
        assert_eq!(
            fit(label, 46),
            "vfs_read [ext4] .../read_write.c:570 (inlined)"
        );
        assert_eq!(fit(label, 40), "vfs_rea.. .../read_write.c:570 (inlined)");
        assert_eq!(fit("_raw_spin_unlock_irqrestore", 12), "_raw_spin_..");
        assert_eq!(fit("[unknown: symbols hidden]", 12), "[unknown: ..");
        for width in 2..60 {
            assert!(fit(label, width).chars().count() <= width);
        }
    }

    #[test]
    fn wrapping_keeps_all_words() {
        assert_eq!(wrap("a bb ccc\nd", 4), ["a bb", "ccc", "d"]);
        assert_eq!(wrap("longword x", 4), ["longword", "x"]);
    }
}
