//! The loop of `record`, driven end to end without a machine.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use kprof_ebpf::Key;

use super::args::Cli;
use super::failure::Failure;
use super::machine::{Machine, Namer, Sampler};
use super::plan::{self, Plan};
use super::record::record;
use crate::capture::{RawSample, RawWindow, Request};
use crate::kernel::threads::Snapshot;
use crate::profile::{Accounting, Context, Frame, Profile, Sample, Thread};
use crate::symbolize::Options;

/// A machine on which each window holds the same samples.
#[derive(Clone, Default)]
struct Fake {
    /// Samples in each window.
    per_window: u64,
    refuse: bool,
    drain_fails: bool,
    targets_end_at: Option<Instant>,
    namers: Rc<Cell<u32>>,
}

impl Fake {
    fn window(&self) -> RawWindow {
        let n = self.per_window;
        RawWindow {
            samples: vec![RawSample {
                key: Key {
                    tid: 7,
                    ..Key::default()
                },
                stack: [2, 1].into(),
                count: n,
            }],
            accounting: Accounting {
                seen: n + 1,
                counted: n,
                filtered: 1,
                windows: 1,
                ..Accounting::default()
            },
            start_unix_ns: 1,
            duration_ns: 1,
            cpus: vec![0],
            changed_cpus: vec![3],
            max_frames: 127,
        }
    }
}

impl Sampler for Fake {
    fn drain(&mut self) -> Result<RawWindow> {
        if self.drain_fails {
            bail!("the map is gone");
        }
        Ok(self.window())
    }
    fn finish(self: Box<Self>) -> Result<RawWindow> {
        Ok(self.window())
    }
    fn follow_cpus(&mut self) -> Result<()> {
        Ok(())
    }
    fn follow_again(&self) -> Option<Duration> {
        None
    }
    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }
    fn first_sample_ns(&self) -> Option<u64> {
        Some(5)
    }
}

struct FakeNamer;

impl Namer for FakeNamer {
    fn look(&mut self) {}

    fn add_window(&mut self, window: &RawWindow, profile: &mut Profile) -> Result<()> {
        for sample in &window.samples {
            let frames: Vec<_> = sample
                .stack
                .iter()
                .rev()
                .map(|address| profile.intern_frame(Frame::named(format!("f{address}"))))
                .collect();
            let stack = profile.intern_stack(&frames);
            let thread = profile.intern_thread(Thread {
                tgid: 7,
                tid: 7,
                comm: "fake".into(),
                kthread: true,
                host_ids: false,
            });
            profile.add(
                Sample {
                    thread,
                    stack,
                    context: Context::Task,
                },
                sample.count,
            );
        }
        Ok(())
    }
}

impl Machine for Fake {
    fn start(&self, _: &Request) -> Result<Box<dyn Sampler>> {
        if self.refuse {
            bail!("BPF was refused");
        }
        Ok(Box::new(self.clone()))
    }
    fn namer(&self, _: &Options, _: bool) -> Result<Box<dyn Namer>> {
        self.namers.set(self.namers.get() + 1);
        Ok(Box::new(FakeNamer))
    }
    fn threads(&self) -> Result<Snapshot> {
        Ok(Snapshot::default())
    }
    fn sample_rate_limit(&self) -> Option<u64> {
        None
    }
    fn any_alive(&self, _: &[u32], _: &[u32]) -> bool {
        self.targets_end_at.is_none_or(|end| Instant::now() < end)
    }
}

fn run(machine: &Fake, arguments: &[&str], change: impl FnOnce(&mut Plan)) -> Result<(), Failure> {
    use clap::Parser as _;
    let cli =
        Cli::try_parse_from(["kprof", "-q", "-e", "cpu-clock"].iter().chain(arguments)).unwrap();
    let (mut plan, stop) = plan::plan(&cli.record)?;
    change(&mut plan);
    record(plan, &stop, machine)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn windows_add_up_in_every_file_and_are_named_once() {
    let dir = tempfile::tempdir().unwrap();
    let (folded, stats) = (dir.path().join("k.folded"), dir.path().join("k.stats"));
    let machine = Fake {
        per_window: 10,
        ..Fake::default()
    };
    let arguments = [
        "-d",
        "100ms",
        "-o",
        folded.to_str().unwrap(),
        "--stats",
        stats.to_str().unwrap(),
    ];
    run(&machine, &arguments, |plan| {
        plan.request.window = Duration::from_millis(30)
    })
    .unwrap();
    let stats: serde_json::Value = serde_json::from_str(&text(&stats)).unwrap();
    let windows = stats["windows"].as_u64().unwrap();
    assert!(windows >= 2, "{stats}");
    assert_eq!(stats["counted"].as_u64(), Some(10 * windows));
    assert_eq!(stats["seen"].as_u64(), Some(11 * windows));
    assert_eq!(stats["first_sample_ns"].as_u64(), Some(5));
    assert!(
        text(&folded)
            .trim_end()
            .ends_with(&format!("f1;f2 {}", 10 * windows)),
        "{}",
        text(&folded)
    );
    assert_eq!(machine.namers.get(), 1);
    assert_eq!(names(dir.path()), ["k.folded", "k.stats"]);
}

#[test]
fn with_an_interval_files_still_hold_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (folded, windows) = (dir.path().join("k.folded"), dir.path().join("w.jsonl"));
    let machine = Fake {
        per_window: 10,
        ..Fake::default()
    };
    let arguments = [
        "-d",
        "100ms",
        "-i",
        "30ms",
        "-o",
        folded.to_str().unwrap(),
        "--stats-windows",
        windows.to_str().unwrap(),
    ];
    run(&machine, &arguments, |_| ()).unwrap();
    let lines: Vec<serde_json::Value> = text(&windows)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.len() >= 2);
    assert!(
        lines
            .iter()
            .all(|line| line["counted"] == 10 && line["sum_of_counts"] == 10)
    );
    assert!(
        text(&folded)
            .trim_end()
            .ends_with(&format!(" {}", 10 * lines.len())),
        "{}",
        text(&folded)
    );
}

#[test]
fn a_refusal_leaves_no_files() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("k.svg");
    let machine = Fake {
        refuse: true,
        ..Fake::default()
    };
    let failure = run(&machine, &["-d", "1", "-o", file.to_str().unwrap()], |_| ()).unwrap_err();
    assert_eq!(failure.lines(), ["BPF was refused"]);
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_failing_drain_is_told_and_what_there_is_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("k.folded");
    let machine = Fake {
        per_window: 1,
        drain_fails: true,
        ..Fake::default()
    };
    let change = |plan: &mut Plan| plan.request.window = Duration::from_millis(20);
    let failure = run(
        &machine,
        &["-d", "100ms", "-o", file.to_str().unwrap()],
        change,
    )
    .unwrap_err();
    assert!(
        failure.lines()[0].contains("the map is gone"),
        "{failure:?}"
    );
    assert_eq!(names(dir.path()), ["k.folded"]);
}

#[test]
fn one_bad_output_does_not_stop_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("k.folded");
    let machine = Fake {
        per_window: 1,
        ..Fake::default()
    };
    let arguments = [
        "-d",
        "50ms",
        "-o",
        "/dev/full",
        "-o",
        file.to_str().unwrap(),
    ];
    let failure = run(&machine, &arguments, |_| ()).unwrap_err();
    let lines = failure.lines();
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains("/dev/full") && lines[0].contains("No space left"),
        "{lines:?}"
    );
    assert!(!text(&file).is_empty());
}

#[test]
fn a_target_that_exits_ends_the_capture() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("k.folded");
    let started = Instant::now();
    let machine = Fake {
        per_window: 3,
        targets_end_at: Some(started + Duration::from_millis(100)),
        ..Fake::default()
    };
    let pid = std::process::id().to_string();
    run(
        &machine,
        &["-d", "60", "--pid", &pid, "-o", file.to_str().unwrap()],
        |_| (),
    )
    .unwrap();
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(text(&file).trim_end().ends_with(" 3"));
}

#[test]
fn nothing_matched_is_empty_but_valid() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<_> = ["k.folded", "k.svg", "k.json", "k.pb.gz", "k.txt"]
        .map(|n| dir.path().join(n))
        .into();
    let mut arguments = vec!["-d", "50ms"];
    paths
        .iter()
        .for_each(|path| arguments.extend(["-o", path.to_str().unwrap()]));
    run(&Fake::default(), &arguments, |_| ()).unwrap();
    assert_eq!(text(&paths[0]), "");
    assert!(text(&paths[1]).contains("<svg"));
    serde_json::from_str::<serde_json::Value>(&text(&paths[2])).unwrap();
    assert!(std::fs::read(&paths[3]).unwrap().starts_with(&[0x1f, 0x8b]));
    assert!(
        text(&paths[4]).contains("nothing matched"),
        "{}",
        text(&paths[4])
    );
}
