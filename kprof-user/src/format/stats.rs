//! `--stats`: the accounting of a run as one JSON object, for scripts.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::profile::{Accounting, Profile};

/// What is known of the run beside its profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Largest resident size of kprof itself, bytes.
    pub max_rss_bytes: u64,
    /// From kprof's start to its first sample, nanoseconds; `None` if there was none.
    pub first_sample_ns: Option<u64>,
}

/// The fields, in the order in which they are written.
#[derive(Debug, Serialize)]
struct Stats<'a> {
    seen: u64,
    counted: u64,
    filtered: u64,
    lost: &'a BTreeMap<String, u64>,
    expected: Option<u64>,
    windows: u64,
    late_ns: u64,
    stacks: u64,
    spilled: u64,
    event: &'a str,
    frequency_hz: Option<u64>,
    cpus: u64,
    duration_ns: u64,
    bpf_run_time_ns: Option<u64>,
    bpf_run_count: Option<u64>,
    user_cpu_ns: u64,
    max_rss_bytes: u64,
    first_sample_ns: Option<u64>,
}

/// Writes the statistics. What is not known is `null`.
pub fn write(profile: &Profile, run: &Run, out: &mut dyn Write) -> Result<()> {
    let meta = &profile.meta;
    let Accounting {
        seen,
        counted,
        filtered,
        lost,
        expected,
        spilled,
        windows,
        late_ns,
        bpf_run_time_ns,
        bpf_run_count,
        user_cpu_ns,
    } = &meta.accounting;
    let Run {
        max_rss_bytes,
        first_sample_ns,
    } = *run;
    let stats = Stats {
        seen: *seen,
        counted: *counted,
        filtered: *filtered,
        lost,
        expected: *expected,
        windows: *windows,
        late_ns: *late_ns,
        stacks: profile.distinct_stacks(),
        spilled: *spilled,
        event: &meta.event,
        frequency_hz: meta.frequency_hz,
        cpus: meta.cpus.len() as u64,
        duration_ns: meta.duration_ns,
        bpf_run_time_ns: *bpf_run_time_ns,
        bpf_run_count: *bpf_run_count,
        user_cpu_ns: *user_cpu_ns,
        max_rss_bytes,
        first_sample_ns,
    };
    serde_json::to_writer_pretty(&mut *out, &stats)
        .map_err(std::io::Error::from)
        .and_then(|()| writeln!(out))
        .and_then(|()| out.flush())
        .context("writing statistics")
}
