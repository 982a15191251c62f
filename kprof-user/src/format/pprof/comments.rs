//! [`Meta`] as pprof comments, one `kprof KEY: VALUE` each, and back.

use std::fmt::Display;

use crate::profile::{Accounting, Meta, Unit};

/// What all of kprof's comments start with.
const MARK: &str = "kprof ";

/// The comments of a profile. Times are not among them: pprof has fields for those.
pub(super) fn write(meta: &Meta) -> Vec<String> {
    let Meta {
        event,
        timer_driven,
        unit: Unit::Samples,
        frequency_hz,
        period,
        cpus,
        start_unix_ns: _,
        duration_ns: _,
        filters,
        kernel,
        accounting,
    } = meta;
    let Accounting {
        seen,
        counted,
        filtered,
        lost,
        expected,
        spilled,
        windows,
        bpf_run_time_ns,
        bpf_run_count,
        user_cpu_ns,
    } = accounting;
    let mut comments = Vec::new();
    let mut put = |key: &str, value: &dyn Display| comments.push(format!("{MARK}{key}: {value}"));
    put("event", event);
    put("timer_driven", timer_driven);
    put("filters", filters);
    put("kernel", kernel);
    let cpus: Vec<String> = cpus.iter().map(u32::to_string).collect();
    put("cpus", &cpus.join(","));
    let optional = [
        ("frequency_hz", frequency_hz),
        ("period", period),
        ("expected", expected),
        ("bpf_run_time_ns", bpf_run_time_ns),
        ("bpf_run_count", bpf_run_count),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            put(key, value);
        }
    }
    put("seen", seen);
    put("counted", counted);
    put("filtered", filtered);
    put("spilled", spilled);
    put("windows", windows);
    put("user_cpu_ns", user_cpu_ns);
    for (reason, count) in lost {
        put(&format!("lost {reason}"), count);
    }
    comments
}

/// Takes what a comment says into `meta`. Comments of other tools, and those of later versions of kprof
/// that this one does not know, say nothing.
pub(super) fn read(comment: &str, meta: &mut Meta) {
    let Some((key, value)) = comment
        .strip_prefix(MARK)
        .and_then(|rest| rest.split_once(": "))
    else {
        return;
    };
    let number = value.parse::<u64>().ok();
    let count = number.unwrap_or(0);
    let accounting = &mut meta.accounting;
    match key {
        "event" => meta.event = value.to_owned(),
        "timer_driven" => meta.timer_driven = value == "true",
        "filters" => meta.filters = value.to_owned(),
        "kernel" => meta.kernel = value.to_owned(),
        "cpus" => {
            meta.cpus = value
                .split(',')
                .filter_map(|cpu| cpu.parse().ok())
                .collect()
        }
        "frequency_hz" => meta.frequency_hz = number,
        "period" => meta.period = number,
        "expected" => accounting.expected = number,
        "bpf_run_time_ns" => accounting.bpf_run_time_ns = number,
        "bpf_run_count" => accounting.bpf_run_count = number,
        "seen" => accounting.seen = count,
        "counted" => accounting.counted = count,
        "filtered" => accounting.filtered = count,
        "spilled" => accounting.spilled = count,
        "windows" => accounting.windows = count,
        "user_cpu_ns" => accounting.user_cpu_ns = count,
        key => {
            if let Some(reason) = key.strip_prefix("lost ") {
                accounting.lost.insert(reason.to_owned(), count);
            }
        }
    }
}
