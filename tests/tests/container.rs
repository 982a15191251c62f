//! In a container that may profile: namespaces of its own, a /sys that can't be written, no CAP_SYS_ADMIN. kprof works,
//! names functions, and says which ids are whose.
//!
//! The outer test starts this program again inside, for the inner one to do the work.

use std::process::{Command, ExitCode, Output};
use std::time::Duration;

use kprof_tests::advice::Advice;
use kprof_tests::burn::Burner;
use kprof_tests::folded::{self, Line};
use kprof_tests::identity::{self, check_line};
use kprof_tests::lack::capability::{BPF, PERFMON, SYSLOG};
use kprof_tests::namespace::{self, Mount};
use kprof_tests::sysctl::Changed;
use kprof_tests::{
    Outcome, Skip, expect_success, json, kprof, live, names, rights, run, stderr, stdout, suite,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Names the thread outside to the test inside, by its id out there.
const OUTSIDE: &str = "KPROF_TEST_OUTSIDE";
/// What the test inside says at its end.
const DONE: &str = "all is as it should be inside";

fn main() -> ExitCode {
    if let Ok(outside) = std::env::var(OUTSIDE) {
        inside(&outside);
        println!("{DONE}");
        return ExitCode::SUCCESS;
    }
    let name = "a_container_that_may_profile_does";
    suite::run(&[(name, a_container_that_may_profile_does)])
}

const NAMESPACES: libc::c_int = libc::CLONE_NEWPID
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP;

fn a_container_that_may_profile_does() -> Outcome {
    let _live = live()?;
    let _allowed = perf_for_cap_perfmon()?;
    let outside = Burner::start(&["kp-outside"], MS(20), MS(5));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .env("KPROF", kprof().get_program())
        .env(OUTSIDE, outside.tid().to_string());
    // For what starts inside: services that start containers do so as well.
    rights::lift_locked_memory();
    let mounts = &[Mount::Proc, Mount::ReadOnlySys, Mount::ReadOnlyCgroups];
    namespace::enter(&mut command, NAMESPACES, mounts);
    rights::with_capabilities_only(&mut command, &[BPF, PERFMON, SYSLOG]);
    let output = namespace::output(&mut command)?;
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert!(output.status.success() && said.contains(DONE), "{said}");
    println!("{said}");
    Ok(())
}

/// Where the kernel leaves perf events to CAP_SYS_ADMIN unless told otherwise, this tells it.
fn perf_for_cap_perfmon() -> Result<Option<Changed>, Skip> {
    let level = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap();
    if !rights::perf_takes_admin(level.trim().parse().unwrap()) {
        return Ok(None);
    }
    if std::env::var_os(suite::OWN_MACHINE).is_none() {
        return Err(Skip::because(
            "kernel.perf_event_paranoid leaves perf events to CAP_SYS_ADMIN here",
        ));
    }
    Changed::to("kernel.perf_event_paranoid", 2).map(Some)
}

/// A capture of a second with threads' ids.
fn sampled(arguments: &[&str]) -> Vec<Line> {
    let common = ["--threads", "--show-user", "-d", "1"];
    let output = run(&[arguments, &common].concat());
    expect_success(&output);
    assert_eq!(stderr(&output), "", "{arguments:?}");
    let lines = folded::parse(&stdout(&output));
    assert!(!lines.is_empty(), "{arguments:?}: nothing was sampled");
    lines
}

#[track_caller]
fn check_all(lines: &[Line], what: &str, good: impl Fn(&str) -> bool) {
    let bad = lines.iter().find(|line| !good(&line.comm));
    assert!(bad.is_none(), "{what}: {bad:?}");
}

/// What the outer test runs, in the container.
fn inside(outside: &str) {
    assert_eq!(std::process::id(), 1, "a pid namespace of its own");
    assert!(std::fs::write("/sys/kernel/mm/ksm/run", "0").is_err());
    let busy = Burner::start(&["kp-inside"], MS(20), MS(5));
    let tid = busy.tid().to_string();
    let own = format!("kp-inside-{tid}");
    let host = format!("kp-outside-{outside}@host");

    // By each kind of filter, under the ids of in here.
    for filter in [["--comm", "kp-inside"], ["--tid", &tid]] {
        let lines = sampled(&[&["-F", "999"], &filter[..]].concat());
        check_all(&lines, filter[0], |comm| comm == own);
        assert!(folded::through(&lines, "vfs_read") > 0, "{lines:?}");
    }
    let lines = sampled(&["-F", "999", "--pid", "1"]);
    check_all(&lines, "--pid", |comm| !comm.ends_with("@host"));
    assert!(lines.iter().any(|line| line.comm == own), "{lines:?}");

    // What runs outside is there and says so: another process, and kernel threads, each of which switches now and then.
    let lines = sampled(&["-F", "999", "--comm", "kp-outside"]);
    check_all(&lines, "outside", |comm| comm == host);
    let switches = ["-e", "context-switches", "--period", "1"];
    let lines = sampled(&[&["--kthreads"], &switches[..]].concat());
    check_all(&lines, "--kthreads", |comm| comm.ends_with("@host"));

    // All of it, exactly.
    let folder = tempfile::tempdir().unwrap();
    let stats = folder.path().join("k.stats");
    let all = ["-F", "999", "--show-idle", "--stats"];
    let lines = sampled(&[&all[..], &[stats.to_str().unwrap()]].concat());
    identity::check(&lines, &json(&stats), "all threads");
    let of = |name: &str| lines.iter().any(|line| line.comm == name);
    assert!(of(&own) && of(&host), "{lines:?}");

    doctor();
    refusals(folder.path(), outside);
}

/// The doctor says that it works, and what is limited in here.
fn doctor() {
    let advice = Advice::read(&run(&["doctor", "--json"]));
    assert!(advice.can_record, "{advice:?}");
    for (name, status) in [
        ("pid namespace", "limited"),
        ("tracepoints (tracefs)", "limited"),
        ("BPF run-time statistics", "limited"),
        ("kernel symbols", "ok"),
        ("cgroup version 2", "ok"),
        ("perf_event_paranoid", "ok"),
    ] {
        assert_eq!(advice.status(name), status, "{name}: {advice:?}");
    }
}

/// What does not work in here is told in one line.
fn refusals(folder: &std::path::Path, outside: &str) {
    let refused = |arguments: &[&str], code: i32, words: &[&str]| -> Output {
        let before = names(folder);
        let mut command = kprof();
        command.args(["-d", "60", "-o", "k.svg"]).args(arguments);
        let output = command.current_dir(folder).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        check_line(&stderr(&output), words, arguments[1]);
        assert_eq!(names(folder), before);
        output
    };
    let switches = refused(
        &["-e", "sched:sched_switch"],
        2,
        &[
            "tracefs is not mounted",
            "docker run",
            "--cap-add SYS_ADMIN",
        ],
    );
    let advice = Advice::read(&run(&["doctor", "--json"]));
    assert!(advice.explains("limited", &stderr(&switches)), "{advice:?}");
    // The id that the host knows it by is nobody's in here.
    refused(&["--tid", outside], 1, &["there is no thread", outside]);

    // An empty result does not claim to know what can't be seen from here.
    let output = run(&["--comm", "kp-nobody", "-d", "300ms"]);
    expect_success(&output);
    let said = stderr(&output);
    assert!(
        said.contains("no thread that /proc shows matches"),
        "{said}"
    );
    assert!(said.contains("shows this pid namespace alone"), "{said}");
}
