//! JSON for the Firefox Profiler (processed profile format).
//!
//! The viewer wants samples in time, and kprof has counts. Each thread's stacks are therefore laid one
//! after the other, each as long as the time it stands for, and the file says that this is so.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::time::Duration;

use anyhow::{Context as _, Result};
use fxprof_processed_profile as fx;
use serde_json::json;

use super::caption;
use super::view::View;
use crate::profile::{Context, Profile, Show, Thread};

/// Threads that the viewer opens with.
const VISIBLE: usize = 10;

/// How every file begins; facts about the capture are put in behind it.
const START: &str = r#"{"meta":{"#;

/// Writes a profile that <https://profiler.firefox.com> loads.
pub fn write(profile: &Profile, show: &Show, out: &mut dyn Write) -> Result<()> {
    let view = View::new(profile, show);
    let json =
        serde_json::to_string(&build(&view)).context("making the Firefox Profiler's JSON")?;
    let rest = json.strip_prefix(START).context(
        "fxprof-processed-profile writes another layout than the one kprof adds facts to",
    )?;
    let extra = facts(&view);
    // The format wants `stackwalk`, and the library leaves it out. 1: stacks were walked.
    write!(out, "{START}\"extra\":{extra},\"stackwalk\":1,{rest}")
        .and_then(|()| out.flush())
        .context("writing the Firefox Profiler's JSON")
}

/// What the viewer shows under "more info".
fn facts(view: &View<'_>) -> serde_json::Value {
    let meta = &view.profile.meta;
    let accounting = &meta.accounting;
    let mut facts = vec![
        ("Sampled", caption::how(meta)),
        (
            "Time",
            "Synthetic: samples were counted, not logged. Lengths are right, order and position are not time."
                .to_owned(),
        ),
        (
            "Accounting",
            format!(
                "{} seen = {} counted + {} filtered + {} lost",
                accounting.seen,
                accounting.counted,
                accounting.filtered,
                accounting.lost_total()
            ),
        ),
    ];
    if !meta.filters.is_empty() {
        facts.push(("Filters", meta.filters.clone()));
    }
    facts.extend(caption::hidden(view.profile, view).map(|hidden| ("Hidden", hidden)));
    facts.extend(caption::caveat(view).map(|caveat| {
        let words = caveat.trim_start_matches("Caveat: ");
        ("Caveat", words.to_owned())
    }));
    let entries: Vec<_> = facts
        .into_iter()
        .map(|(label, value)| json!({ "label": label, "format": "string", "value": value }))
        .collect();
    json!([{ "label": "kprof", "entries": entries }])
}

fn build(view: &View<'_>) -> fx::Profile {
    let meta = &view.profile.meta;
    // Where the event is not time, one sample is drawn as a millisecond and no CPU use is claimed.
    let is_time = meta.sample_ns().is_some();
    let sample_ns = meta.sample_ns().unwrap_or(1_000_000);
    let product = format!(
        "{} (counted samples; time is synthetic)",
        caption::title(meta)
    );
    let start = Duration::from_nanos(meta.start_unix_ns);
    let mut target = fx::Profile::new(
        &product,
        fx::ReferenceTimestamp::from_duration_since_unix_epoch(start),
        fx::SamplingInterval::from_nanos(sample_ns),
    );
    target.set_symbolicated(true);
    if !meta.kernel.is_empty() {
        target.set_os_name(&format!("Linux {}", meta.kernel));
    }
    let categories: HashMap<Context, fx::CategoryHandle> = Context::ALL
        .into_iter()
        .map(|context| (context, target.add_category(context.name(), color(context))))
        .collect();
    let threads = Threads::add(&mut target, view);
    let mut clock: HashMap<&Thread, u64> = HashMap::new();
    for row in &view.rows {
        let handle = threads.handles[row.thread];
        let category = categories[&row.context];
        let frames: Vec<fx::FrameInfo> = view
            .labels(row)
            .map(|label| fx::FrameInfo {
                frame: fx::Frame::Label(target.intern_string(label)),
                category_pair: category.into(),
                flags: fx::FrameFlags::empty(),
            })
            .collect();
        let stack = target.intern_stack_frames(handle, frames.into_iter());
        let now = clock.entry(row.thread).or_default();
        let mut left = row.count;
        while left > 0 {
            // The format's weights have 32 bits.
            let weight = i32::try_from(left).unwrap_or(i32::MAX);
            let ns = sample_ns.saturating_mul(weight as u64);
            let time = fx::Timestamp::from_nanos_since_reference(*now);
            let cpu = match is_time {
                true => fx::CpuDelta::from_nanos(ns),
                false => fx::CpuDelta::ZERO,
            };
            target.add_sample(handle, time, stack, cpu, weight);
            *now = now.saturating_add(ns);
            left -= weight as u64;
        }
    }
    target
}

fn color(context: Context) -> fx::CategoryColor {
    match context {
        Context::Task => fx::CategoryColor::Blue,
        Context::Softirq => fx::CategoryColor::Orange,
        Context::Hardirq => fx::CategoryColor::Red,
        Context::Idle => fx::CategoryColor::Transparent,
        Context::User => fx::CategoryColor::Green,
    }
}

/// A thread's name, and whether its ids are the host's.
fn name(thread: &Thread) -> String {
    match thread.host_ids {
        true => format!("{} (host's ids)", thread.comm),
        false => thread.comm.clone(),
    }
}

/// The threads of the file.
struct Threads<'a> {
    handles: HashMap<&'a Thread, fx::ThreadHandle>,
}

impl<'a> Threads<'a> {
    fn add(target: &mut fx::Profile, view: &View<'a>) -> Threads<'a> {
        let zero = fx::Timestamp::from_nanos_since_reference(0);
        let end = fx::Timestamp::from_nanos_since_reference(view.profile.meta.duration_ns);
        let mut totals: BTreeMap<&Thread, u64> = BTreeMap::new();
        for row in &view.rows {
            *totals.entry(row.thread).or_default() += row.count;
        }
        // One number may be two processes, of the host and of a container; the file's ids of them differ.
        let mut processes: HashMap<(u32, bool), fx::ProcessHandle> = HashMap::new();
        let mut mains: Vec<(u32, bool)> = Vec::new();
        let mut handles = HashMap::new();
        for &thread in totals.keys() {
            let process = (thread.tgid, thread.host_ids);
            let main = thread.tid == thread.tgid && thread.tid != 0 && !mains.contains(&process);
            let handle = *processes.entry(process).or_insert_with(|| {
                let name = match thread.tgid {
                    0 => "swapper",
                    _ => &name(thread),
                };
                target.add_process(name, thread.tgid, zero)
            });
            if main {
                mains.push(process);
                target.set_process_name(handle, &name(thread));
            }
            let handle = target.add_thread(handle, thread.tid, zero, main);
            target.set_thread_name(handle, &name(thread));
            target.set_thread_end_time(handle, end);
            target.set_thread_samples_weight_type(handle, fx::WeightType::Samples);
            handles.insert(thread, handle);
        }
        let mut busiest: Vec<(&Thread, u64)> = totals.into_iter().collect();
        busiest.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (thread, _) in busiest.iter().take(VISIBLE) {
            target.add_initial_visible_thread(handles[thread]);
        }
        if let Some((thread, _)) = busiest.first() {
            target.add_initial_selected_thread(handles[thread]);
        }
        if handles.is_empty() {
            // The viewer refuses a profile without threads.
            let process = target.add_process("no samples matched", 0, zero);
            target.add_thread(process, 0, zero, true);
        }
        Threads { handles }
    }
}
