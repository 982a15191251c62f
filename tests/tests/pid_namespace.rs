//! In a pid namespace, as in a container: ids are those that people see there.
//!
//! The outer test starts this program again inside a new namespace, for the inner one to do the work.

use std::process::{Command, ExitCode};
use std::time::Duration;

use kprof_tests::burn::Burner;
use kprof_tests::folded::Line;
use kprof_tests::namespace::{self, Mount};
use kprof_tests::{Outcome, expect_success, folded, kprof, live, run, share, stderr, stdout};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Names the thread outside to the test inside, by its id out there.
const OUTSIDE: &str = "KPROF_TEST_OUTSIDE";
/// What the test inside says at its end.
const DONE: &str = "all is as it should be inside";

fn main() -> ExitCode {
    if std::env::var_os(OUTSIDE).is_some() {
        inside();
        println!("{DONE}");
        return ExitCode::SUCCESS;
    }
    let name = "ids_in_a_pid_namespace_are_those_seen_there";
    kprof_tests::suite::run(&[(name, ids_in_a_pid_namespace_are_those_seen_there)])
}

fn ids_in_a_pid_namespace_are_those_seen_there() -> Outcome {
    let _live = live()?;
    let outside = Burner::start(&["kp-outside"], MS(50), MS(1));
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new(this);
    command
        .env("KPROF", kprof().get_program())
        .env(OUTSIDE, outside.tid().to_string());
    namespace::enter(
        &mut command,
        libc::CLONE_NEWPID | libc::CLONE_NEWNS,
        &[Mount::Proc],
    );
    let output = namespace::output(&mut command)?;
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert!(output.status.success(), "{said}");
    assert!(said.contains(DONE), "{said}");
    println!("{said}");
    Ok(())
}

/// A thread whose id in here is one that another thread has out there, where the kernel lets that be arranged.
fn burner(id: u32, name: &'static [&'static str]) -> Burner {
    if let Err(error) = std::fs::write("/proc/sys/kernel/ns_last_pid", (id - 1).to_string()) {
        eprintln!("ids can't be chosen here, so none is there twice: {error}");
    }
    Burner::start(name, MS(37), MS(29))
}

fn sampled(arguments: &[&str]) -> Vec<Line> {
    let output = run(&[arguments, &["--threads", "--show-user"]].concat());
    expect_success(&output);
    folded::parse(&stdout(&output))
}

/// What the outer test runs, in a pid namespace.
fn inside() {
    let outside = std::env::var(OUTSIDE).expect("set by the outer test");
    let busy = burner(outside.parse().unwrap(), &["kp-inside"]);
    let _other = Burner::start(&["kp-other"], MS(20), MS(20));
    let tid = busy.tid().to_string();

    // One thread by its id in here.
    let lines = share::check(&busy, Duration::from_secs(5), &["--threads"]);
    let name = format!("kp-inside-{tid}");
    assert!(lines.iter().all(|line| line.comm == name), "{lines:?}");

    // This process, by its id in here.
    let pid = std::process::id().to_string();
    let lines = sampled(&["--pid", &pid, "-F", "999", "-d", "1500ms"]);
    let of = |name: &str| lines.iter().filter(|l| l.comm.starts_with(name)).count();
    assert!(of("kp-inside-") > 0 && of("kp-other-") > 0, "{lines:?}");
    let mine = |line: &Line| {
        let tid = line.comm.rsplit('-').next().unwrap();
        std::path::Path::new("/proc/self/task").join(tid).exists()
    };
    assert!(lines.iter().all(mine), "{lines:?}");

    // What runs outside has the host's ids, and they say so.
    let lines = sampled(&["--comm", "kp-outside", "-F", "999", "-d", "1500ms"]);
    let name = format!("kp-outside-{outside}@host");
    assert!(!lines.is_empty(), "nothing outside was sampled");
    assert!(lines.iter().all(|line| line.comm == name), "{lines:?}");

    // Kernel threads are outside; each switches now and then.
    let switches = ["-e", "sched:sched_switch", "-d", "2"];
    let lines = sampled(&[&["--kthreads"], &switches[..]].concat());
    assert!(!lines.is_empty(), "no kernel thread was sampled");
    let host = |line: &Line| line.comm.ends_with("@host");
    assert!(lines.iter().all(host), "{lines:?}");
    // Tracepoints' programs ask for the same ids.
    let lines = sampled(&[&["--tid", &tid], &switches[..]].concat());
    let name = format!("kp-inside-{tid}");
    assert!(!lines.is_empty(), "the thread was not sampled");
    assert!(lines.iter().all(|line| line.comm == name), "{lines:?}");

    // An empty result does not claim to know what can't be seen from here.
    let output = run(&["--comm", "kp-nobody", "-d", "300ms"]);
    expect_success(&output);
    let said = stderr(&output);
    assert!(
        said.contains("no thread that /proc shows matches"),
        "{said}"
    );
    assert!(said.contains("shows this pid namespace alone"), "{said}");
    println!("thread {tid}, outside {outside}");
}
