//! Captures whose accounting is checked to the last sample.
//!
//! Three parties count: kprof (`--stats`, `--stats-windows`, the folded stacks), the kernel that runs the program
//! (`run_cnt`) and the perf events. Each is held against the others.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::events::EventCounts;
use crate::folded::{self, Line};
use crate::{json, kprof, signal, wait, wait_for_samples, windows};

/// How long kprof may take to write what it has, on the slowest machine.
const WRITING: Duration = Duration::from_secs(60);
/// All reasons for a loss that are no defect of kprof.
const REASONS: [&str; 5] = [
    "counts_full",
    "counts_busy",
    "spill_full",
    "stack_fault",
    "other",
];

/// A running kprof that keeps all its books; killed when dropped before its end.
#[derive(Debug)]
pub struct Audited {
    child: Child,
    folder: tempfile::TempDir,
    events: Option<EventCounts>,
}

impl Audited {
    /// Starts kprof with these arguments and those for its books; standard output goes nowhere.
    pub fn start(arguments: &[&str]) -> Audited {
        let folder = tempfile::tempdir().expect("a folder for outputs");
        let at = |name: &str| folder.path().join(name);
        let said = File::create(at("stderr")).expect("a file for standard error");
        let mut command = kprof();
        command.args(arguments).args(["--show-user", "--show-idle"]);
        for (flag, name) in [
            ("-o", "k.folded"),
            ("-o", "k.txt"),
            ("--stats", "k.stats"),
            ("--stats-windows", "k.jsonl"),
        ] {
            command.arg(flag).arg(at(name));
        }
        let child = command
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .expect("run kprof");
        Audited {
            child,
            folder,
            events: None,
        }
    }

    /// The process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits until it has taken so many samples, then takes hold of its perf events to read them at the end.
    pub fn runs(&mut self, samples: u64) {
        wait_for_samples(&mut self.child, samples);
        if self.events.is_none() {
            self.events = EventCounts::of(self.child.id());
        }
    }

    /// What it said so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).expect("read standard error")
    }

    /// Ends it by Ctrl-C, and balances its books.
    pub fn end(self) -> Books {
        signal(&self.child, libc::SIGINT);
        self.books(WRITING)
    }

    /// Waits for its end, and balances its books.
    pub fn books(mut self, limit: Duration) -> Books {
        let code = wait(&mut self.child, limit);
        assert_eq!(code, Some(0), "kprof failed: {}", self.said());
        let at = |name: &str| -> PathBuf { self.folder.path().join(name) };
        let text = |name: &str| {
            std::fs::read_to_string(at(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
        };
        let books = Books {
            total: Account::of(&json(&at("k.stats"))),
            stats: json(&at("k.stats")),
            windows: windows::read(&at("k.jsonl")),
            lines: folded::parse(&text("k.folded")),
            report: text("k.txt"),
            said: self.said(),
        };
        books.balance(self.events.as_ref());
        books
    }
}

impl Drop for Audited {
    fn drop(&mut self) {
        // One that has been waited for is left alone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The accounting of a window or of a whole capture.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Times the program ran.
    pub seen: u64,
    /// Samples in the counts.
    pub counted: u64,
    /// Samples that a filter turned away.
    pub filtered: u64,
    /// Samples lost, by reason.
    pub lost: BTreeMap<String, u64>,
    /// Samples that the perf events' own counts make due.
    pub expected: Option<u64>,
    /// Of the counted: those whose stack was in the spill map.
    pub spilled: u64,
    /// How late the drain was.
    pub late: Duration,
    /// Windows only: when it began, by the clock that can be set, since 1970.
    pub start: Duration,
    /// Time covered.
    pub duration: Duration,
    /// Windows only: distinct threads, names and stacks.
    pub keys: u64,
    /// Windows only: sum of the counts that came out of the maps.
    pub sum_of_counts: Option<u64>,
}

impl Account {
    /// From what `--stats` or a line of `--stats-windows` says.
    pub fn of(json: &Value) -> Account {
        let maybe = |field: &str| json[field].as_u64();
        let n = |field: &str| maybe(field).unwrap_or_else(|| panic!("no {field} in {json}"));
        let lost = json["lost"].as_object().expect("losses by reason");
        Account {
            seen: n("seen"),
            counted: n("counted"),
            filtered: n("filtered"),
            lost: lost
                .iter()
                .map(|(reason, n)| (reason.clone(), n.as_u64().expect("a number")))
                .collect(),
            expected: maybe("expected"),
            spilled: n("spilled"),
            late: Duration::from_nanos(n("late_ns")),
            start: Duration::from_nanos(maybe("start_unix_ns").unwrap_or(0)),
            duration: Duration::from_nanos(n("duration_ns")),
            keys: maybe("keys").unwrap_or(0),
            sum_of_counts: maybe("sum_of_counts"),
        }
    }

    /// Samples lost for a reason.
    pub fn lost_by(&self, reason: &str) -> u64 {
        self.lost.get(reason).copied().unwrap_or(0)
    }

    /// Samples lost for any reason.
    pub fn lost_total(&self) -> u64 {
        self.lost.values().sum()
    }

    /// Samples that were due, but for which the kernel did not run the program.
    pub fn skipped(&self) -> u64 {
        let due = self.expected.expect("an event of a fixed period");
        due.saturating_sub(self.seen)
    }

    /// Panics unless seen = counted + filtered + lost, and every loss has a reason that is no defect. `what` tells
    /// which capture or window.
    pub fn adds_up(&self, what: &str) {
        let ways = self.counted + self.filtered + self.lost_total();
        assert_eq!(self.seen, ways, "{what}: {self:?}");
        for (reason, n) in &self.lost {
            assert!(REASONS.contains(&reason.as_str()), "{what}: {self:?}");
            assert!(*n > 0, "{what}: {self:?}");
        }
        if let Some(sum) = self.sum_of_counts {
            assert_eq!(sum, self.counted, "{what}: {self:?}");
        }
    }

    fn add(&mut self, other: &Account) {
        self.seen += other.seen;
        self.counted += other.counted;
        self.filtered += other.filtered;
        for (reason, n) in &other.lost {
            *self.lost.entry(reason.clone()).or_default() += n;
        }
        self.expected = match (self.expected, other.expected) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        self.spilled += other.spilled;
        self.late = self.late.max(other.late);
        self.duration += other.duration;
    }
}

/// All that a capture left.
#[derive(Clone, Debug)]
pub struct Books {
    /// Of the whole capture.
    pub total: Account,
    /// As `--stats` wrote it.
    pub stats: Value,
    /// Of each window.
    pub windows: Vec<Account>,
    /// The folded stacks, with user mode and the idle loop.
    pub lines: Vec<Line>,
    /// The report.
    pub report: String,
    /// Standard error.
    pub said: String,
}

impl Books {
    /// Panics unless all that was counted agrees, sample by sample.
    fn balance(&self, events: Option<&EventCounts>) {
        self.total.adds_up("all");
        let is_clock = self.stats["event"] == "cpu-clock";
        let cpus = self.stats["cpus"].as_u64().expect("a number of CPUs");
        let mut sum = Account::default();
        for (i, window) in self.windows.iter().enumerate() {
            window.adds_up(&format!("window {i}"));
            sum.add(window);
            let Some(due) = sum.expected else { continue };
            // The clock's count and the timer are of two clocks, which may go apart by one in a thousand.
            let slack = if is_clock { due / 1000 + cpus } else { 0 };
            assert!(
                sum.seen <= due + slack,
                "up to window {i} {} seen, {due} due",
                sum.seen
            );
        }
        assert_eq!(
            (sum.seen, sum.counted, sum.filtered, sum.spilled, sum.late),
            (
                self.total.seen,
                self.total.counted,
                self.total.filtered,
                self.total.spilled,
                self.total.late
            ),
            "the windows' sum and the whole"
        );
        assert_eq!(sum.lost, self.total.lost, "the windows' sum and the whole");
        assert_eq!(sum.expected, self.total.expected, "the windows' sum");
        assert_eq!(folded::total(&self.lines), self.total.counted, "the stacks");
        if let Some(runs) = self.stats["bpf_run_count"].as_u64() {
            assert_eq!(runs, self.total.seen, "the kernel's own count of runs");
        }
        if let (Some(events), Some(due)) = (events, self.total.expected) {
            assert_eq!(events.due(&self.stats), due, "the events' own counts");
        }
    }
}
