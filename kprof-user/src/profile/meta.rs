//! What was sampled, for how long and how well.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a count counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Samples at `frequency_hz` or every `period` events.
    #[default]
    Samples,
}

/// How many samples went which way. `seen = counted + filtered + lost` holds exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Accounting {
    /// Times the BPF program ran.
    pub seen: u64,
    /// Samples that are in the profile.
    pub counted: u64,
    /// Samples turned away by a filter.
    pub filtered: u64,
    /// Samples lost, by reason (names of `kprof_ebpf::Counter`).
    pub lost: BTreeMap<String, u64>,
    /// Samples due by the perf events' own counts; `None` where the event's period varies.
    pub expected: Option<u64>,
    /// Of the counted, those that went through the spill map.
    pub spilled: u64,
    /// Windows drained.
    pub windows: u64,
    /// How long after its time a drain came, at most, nanoseconds.
    pub late_ns: u64,
    /// Nanoseconds spent in the BPF program, as the kernel measured them; `None` where it does not.
    pub bpf_run_time_ns: Option<u64>,
    /// Runs over which the time above was measured.
    pub bpf_run_count: Option<u64>,
    /// CPU time of kprof itself, nanoseconds.
    pub user_cpu_ns: u64,
}

impl Accounting {
    /// All samples lost, for whatever reason.
    pub fn lost_total(&self) -> u64 {
        self.lost.values().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Whether `seen = counted + filtered + lost`.
    pub fn adds_up(&self) -> bool {
        let sum = self.counted.checked_add(self.filtered);
        sum.and_then(|sum| sum.checked_add(self.lost_total())) == Some(self.seen)
    }

    /// Whether samples were lost because a map had no room left (`counts_full`, `spill_full`).
    pub fn was_full(&self) -> bool {
        self.lost
            .iter()
            .any(|(reason, count)| *count > 0 && reason.ends_with("_full"))
    }

    /// Samples due that the kernel dropped before the BPF program could run.
    pub fn skipped(&self) -> Option<u64> {
        self.expected
            .map(|expected| expected.saturating_sub(self.seen))
    }

    /// Adds another window's figures. Those read from a file may be of any size, and stay at the largest number.
    pub fn merge(&mut self, other: &Accounting) {
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
        } = other;
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
        let add = |sum: &mut u64, n: u64| *sum = sum.saturating_add(n);
        add(&mut self.seen, *seen);
        add(&mut self.counted, *counted);
        add(&mut self.filtered, *filtered);
        for (reason, n) in lost {
            add(self.lost.entry(reason.clone()).or_default(), *n);
        }
        self.expected = sum(self.expected, *expected);
        add(&mut self.spilled, *spilled);
        add(&mut self.windows, *windows);
        self.late_ns = self.late_ns.max(*late_ns);
        self.bpf_run_time_ns = sum(self.bpf_run_time_ns, *bpf_run_time_ns);
        self.bpf_run_count = sum(self.bpf_run_count, *bpf_run_count);
        add(&mut self.user_cpu_ns, *user_cpu_ns);
    }
}

/// Facts about a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// The event in perf's words: `cycles`, `cpu-clock`, `sched:sched_switch`. Empty if not known.
    pub event: String,
    /// The event is driven by a timer and can't see code that runs with interrupts off.
    pub timer_driven: bool,
    /// What one count is.
    pub unit: Unit,
    /// Samples a second and CPU; `None` with a fixed period of events.
    pub frequency_hz: Option<u64>,
    /// Events from one sample to the next, where that is fixed and not time.
    pub period: Option<u64>,
    /// CPUs sampled.
    pub cpus: Vec<u32>,
    /// CPUs that came online or went offline meanwhile: those sampled were so for part of the time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed_cpus: Vec<u32>,
    /// Start, nanoseconds since 1970.
    pub start_unix_ns: u64,
    /// Wall-clock time covered, nanoseconds.
    pub duration_ns: u64,
    /// The filters in command-line form (`--comm ksoftirqd`), empty if none.
    pub filters: String,
    /// Kernel release (`uname -r`).
    pub kernel: String,
    /// Losses and overhead.
    pub accounting: Accounting,
}

impl Meta {
    /// Nanoseconds of CPU time one sample stands for; `None` where the event isn't time at a fixed rate.
    pub fn sample_ns(&self) -> Option<u64> {
        let time = matches!(
            self.event.as_str(),
            "cycles" | "cpu-cycles" | "cpu-clock" | "task-clock" | "ref-cycles"
        );
        self.frequency_hz
            .filter(|_| time)
            .map(|hz| 1_000_000_000 / hz.max(1))
    }

    /// Adds a later window of the same capture.
    pub fn merge(&mut self, other: &Meta) {
        if self.event.is_empty() {
            *self = Meta {
                accounting: std::mem::take(&mut self.accounting),
                start_unix_ns: self.start_unix_ns,
                duration_ns: self.duration_ns,
                cpus: std::mem::take(&mut self.cpus),
                changed_cpus: std::mem::take(&mut self.changed_cpus),
                ..other.clone()
            };
        }
        self.start_unix_ns = match (self.start_unix_ns, other.start_unix_ns) {
            (0, t) | (t, 0) => t,
            (a, b) => a.min(b),
        };
        self.duration_ns = self.duration_ns.saturating_add(other.duration_ns);
        for (all, new) in [
            (&mut self.cpus, &other.cpus),
            (&mut self.changed_cpus, &other.changed_cpus),
        ] {
            all.extend_from_slice(new);
            all.sort_unstable();
            all.dedup();
        }
        self.accounting.merge(&other.accounting);
    }
}
