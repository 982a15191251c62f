//! Stacks whose bucket of the stack map is taken: kept, whole, and never taken for one another.
//!
//! With a single bucket nearly every sample takes this way.

use kprof_tests::folded::{self, Line};
use kprof_tests::{Load, Outcome, expect_success, identity, json, live, run, suite};

kprof_tests::suite![
    every_stack_is_kept_when_all_buckets_are_taken,
    threads_keep_their_own_paths_when_all_buckets_are_taken,
];

/// A capture of some seconds with one bucket; checks its accounting and that most stacks did spill.
fn capture_with_one_bucket(more: &[&str]) -> Vec<Line> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("k.folded");
    let stats = folder.path().join("k.stats");
    let mut arguments = vec!["-F", "4999", "-i", "100ms", "-q", "--show-user"];
    arguments.extend(["--show-idle", "--max-stacks", "1"]);
    arguments.extend(["-d", suite::by_speed("4", "2")]);
    arguments.extend(["-o", file.to_str().unwrap()]);
    arguments.extend(["--stats", stats.to_str().unwrap()]);
    arguments.extend(more);
    expect_success(&run(&arguments));
    let lines = folded::parse(&std::fs::read_to_string(file).unwrap());
    let stats = json(&stats);
    let n = |field: &str| stats[field].as_u64().unwrap();
    identity::check(&lines, &stats, "one bucket");
    identity::check_losses(&stats, "one bucket");
    assert!(n("spilled") * 2 > n("counted"), "too few spilled: {stats}");
    lines
}

fn every_stack_is_kept_when_all_buckets_are_taken() -> Outcome {
    let _live = live()?;
    let _load = Load::start("many-stacks", 30)?;
    let lines = capture_with_one_bucket(&[]);
    let known = folded::kallsyms();
    let (mut whole, mut other, mut unknown) = (0, 0, 0);
    for line in lines.iter().filter(|line| line.frames[0] != "[user]") {
        for frame in &line.frames {
            let name = frame.split(" [").next().unwrap_or(frame);
            if frame.starts_with("[unknown") {
                unknown += line.count;
            } else {
                assert!(known.contains(name), "{frame} is not in /proc/kallsyms");
            }
        }
        match is_root(&line.frames[0]) {
            true => whole += line.count,
            false => other += line.count,
        }
        // What only kernel threads do, and what they never do.
        let has = |name: &str| line.frames.iter().any(|frame| frame == name);
        if line.comm.starts_with("ms-") {
            assert!(
                !has("worker_thread") && !has("smpboot_thread_fn"),
                "{line:?}"
            );
        }
        if ["kworker/", "ksoftirqd/"]
            .iter()
            .any(|name| line.comm.starts_with(name))
        {
            assert!(!line.frames[0].starts_with("entry_"), "{line:?}");
        }
    }
    assert!(lines.len() > 500, "only {} stacks", lines.len());
    assert!(unknown * 50 < whole, "{unknown} frames without a name");
    if cfg!(target_arch = "x86_64") {
        // Where the unwinder gives up half-way, it does so with any way of keeping the stack.
        assert!(
            other * 50 < whole,
            "{other} stacks have no root, {whole} have one"
        );
    }
    Ok(())
}

/// Where stacks of x86-64 begin: system calls, interrupts and faults, new threads, idle CPUs.
fn is_root(function: &str) -> bool {
    ["entry_", "asm_", "ret_from_fork"]
        .iter()
        .any(|start| function.starts_with(start))
        || function.contains("startup")
}

fn threads_keep_their_own_paths_when_all_buckets_are_taken() -> Outcome {
    const PATHS: [(&str, &str); 3] = [
        ("kprof-read", "vfs_read"),
        ("kprof-getdents", "iterate_dir"),
        ("kprof-stat", "vfs_statx"),
    ];
    let _live = live()?;
    let enough = suite::by_speed(100, 20);
    let _load = Load::start("syscalls", 30)?;
    let lines = capture_with_one_bucket(&["--comm", "kprof-*"]);
    for (thread, own) in PATHS {
        let lines: Vec<Line> = lines
            .iter()
            .filter(|line| line.comm == thread)
            .cloned()
            .collect();
        let in_kernel = folded::total(&lines) - folded::through(&lines, "[user]");
        let in_own = folded::through(&lines, own);
        assert!(
            // The way into a system call and out of it takes its part.
            in_own > enough && in_own * 4 > in_kernel,
            "{thread}: {in_own} of {in_kernel} samples in {own}"
        );
        for (_, foreign) in PATHS.iter().filter(|(other, _)| *other != thread) {
            assert_eq!(folded::through(&lines, foreign), 0, "{thread} in {foreign}");
        }
    }
    Ok(())
}
