//! The lists of threads and of functions.

use std::collections::{HashMap, HashSet};

use super::super::caption::{percent, samples};
use super::super::view::View;
use super::Text;
use crate::profile::{Context, Thread};

/// Threads listed at most.
const THREADS: usize = 10;
/// Functions listed at most.
const FUNCTIONS: usize = 20;

/// The busiest threads, with what most of their samples are and their hottest function.
pub(super) fn threads(text: &mut Text, view: &View<'_>) {
    let mut threads: Vec<(&Thread, u64, [u64; Context::ALL.len()])> = Vec::new();
    // Rows are sorted by thread.
    for row in &view.rows {
        if threads.last().is_none_or(|(last, ..)| *last != row.thread) {
            threads.push((row.thread, 0, [0; Context::ALL.len()]));
        }
        if let Some((_, total, by_context)) = threads.last_mut() {
            *total += row.count;
            by_context[row.context as usize] += row.count;
        }
    }
    let all = threads.len();
    threads.sort_by_key(|(_, count, _)| std::cmp::Reverse(*count));
    let meta = &view.profile.meta;
    let one_cpu = meta
        .sample_ns()
        .map(|sample_ns| meta.duration_ns as f64 / sample_ns as f64)
        .filter(|samples| *samples > 0.0);
    let heading = match one_cpu {
        Some(_) => "share of one CPU",
        None => "share of the samples shown",
    };
    text.line(&format!("Threads ({heading})"));
    let whole = one_cpu.unwrap_or(view.total as f64);
    for (thread, total, by_context) in threads.iter().take(THREADS) {
        let name = match thread.tid {
            // Idle tasks all have thread id 0; their name says the CPU.
            0 => thread.comm.clone(),
            tid if thread.host_ids => format!("{} (host's tid {tid})", thread.comm),
            tid => format!("{} (tid {tid})", thread.comm),
        };
        let parts: Vec<String> = Context::ALL
            .into_iter()
            .filter(|context| by_context[*context as usize] > 0)
            .map(|context| {
                let share = percent(by_context[context as usize], *total as f64);
                format!("{} {share:.0} %", context.name())
            })
            .collect();
        let share = percent(*total, whole);
        let parts = parts.join(", ");
        text.row(&format!("  {share:>6.1} %  {name:<32} "), &parts);
    }
    if all > THREADS {
        text.line(&format!("            and {} more", all - THREADS));
    }
    text.gap();
}

/// The functions in which samples ended, with the samples below them. A function that calls itself
/// counts once for each sample.
pub(super) fn functions(text: &mut Text, view: &View<'_>) {
    let mut by_name: HashMap<&str, (u64, u64)> = HashMap::new();
    for row in &view.rows {
        let labels: Vec<&str> = view.labels(row).collect();
        if let Some(inner) = labels.last() {
            by_name.entry(inner).or_default().0 += row.count;
        }
        let once: HashSet<&str> = labels.into_iter().collect();
        for label in once {
            by_name.entry(label).or_default().1 += row.count;
        }
    }
    let mut functions: Vec<(&str, u64, u64)> = by_name
        .into_iter()
        .map(|(name, (own, total))| (name, own, total))
        .filter(|(_, own, _)| *own > 0)
        .collect();
    functions.sort_unstable_by(|a, b| (b.1, b.2).cmp(&(a.1, a.2)).then(a.0.cmp(b.0)));
    let whole = view.total as f64;
    text.paragraph(&format!(
        "Top functions (share of the {} shown; self: ended there, total: went through it)",
        samples(view.total)
    ));
    text.line("     self     total");
    for (name, own, total) in functions.iter().take(FUNCTIONS) {
        let own = percent(*own, whole);
        let total = percent(*total, whole);
        text.frame(&format!("  {own:>5.1} %   {total:>5.1} %  "), name);
    }
    if functions.len() > FUNCTIONS {
        let rest: u64 = functions[FUNCTIONS..].iter().map(|(_, own, _)| own).sum();
        let more = functions.len() - FUNCTIONS;
        text.line(&format!(
            "  {:>5.1} %            in {more} more",
            percent(rest, whole)
        ));
    }
    text.gap();
}
