//! `--cgroup` with versions 1 and 2, nested cgroups, and cgroups that change during a capture.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use kprof_tests::advice::Advice;
use kprof_tests::burn::Process;
use kprof_tests::cgroup::{Cgroup, Version1, take_out};
use kprof_tests::folded::{self, Line};
use kprof_tests::identity::{self, check_line};
use kprof_tests::namespace::{self, Mount};
use kprof_tests::{
    Outcome, expect_success, json, kprof, live, names, run, signal, stderr, stdout, wait,
    wait_for_samples,
};

kprof_tests::suite![
    own machine:
    a_cgroup_is_its_processes_and_those_below_it,
    version_1_beside_version_2_is_refused,
    version_1_alone_is_refused_with_a_mend_that_mends,
    a_process_that_moves_in_is_counted_from_then_on,
    a_cgroup_that_goes_ends_nothing,
    an_empty_cgroup_explains_itself,
];

/// With these, every sample that passes is in the output.
const ALL: [&str; 5] = ["-F", "999", "--threads", "--show-user", "--show-idle"];

/// The threads of a capture, once each.
fn threads(lines: &[Line]) -> Vec<&str> {
    let mut found: Vec<&str> = lines.iter().map(|line| line.comm.as_str()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Samples cgroups for a while.
fn sampled(cgroups: &[&str]) -> Vec<Line> {
    let folder = tempfile::tempdir().unwrap();
    let stats = folder.path().join("k.stats");
    let mut arguments = ALL.to_vec();
    arguments.extend(["-d", "600ms", "--stats", stats.to_str().unwrap()]);
    cgroups
        .iter()
        .for_each(|one| arguments.extend(["--cgroup", one]));
    let output = run(&arguments);
    expect_success(&output);
    let lines = folded::parse(&stdout(&output));
    identity::check(&lines, &json(&stats), &format!("{cgroups:?}"));
    lines
}

fn a_cgroup_is_its_processes_and_those_below_it() -> Outcome {
    let _live = live()?;
    let outer = Cgroup::at_root("kp-outer");
    let inner = outer.below("kp-inner");
    let beside = Cgroup::at_root("kp-beside");
    let (in_outer, in_inner, in_beside) = (Process::start(), Process::start(), Process::start());
    outer.takes(&in_outer);
    inner.takes(&in_inner);
    beside.takes(&in_beside);
    let comms = |busy: &[&Process]| {
        let mut comms: Vec<String> = busy.iter().map(|one| one.comm()).collect();
        comms.sort_unstable();
        comms
    };
    let cases: [(&[&str], Vec<String>); 6] = [
        (&[outer.path()], comms(&[&in_outer, &in_inner])),
        (&[inner.path()], comms(&[&in_inner])),
        (&[beside.path()], comms(&[&in_beside])),
        // As /proc/PID/cgroup shows it, and as systemd-cgls does.
        (&["/kp-outer/kp-inner"], comms(&[&in_inner])),
        (&["kp-beside"], comms(&[&in_beside])),
        (
            &["kp-beside", inner.path()],
            comms(&[&in_beside, &in_inner]),
        ),
    ];
    for (cgroups, expected) in cases {
        assert_eq!(threads(&sampled(cgroups)), expected, "{cgroups:?}");
    }
    // All of the machine, those in no cgroup of their own too.
    let lines = sampled(&["/"]);
    let all = threads(&lines);
    let expected = comms(&[&in_outer, &in_inner, &in_beside]);
    assert!(
        expected.iter().all(|one| all.contains(&one.as_str())),
        "{all:?}"
    );
    drop((in_outer, in_inner, in_beside));
    drop(inner);
    Ok(())
}

/// Panics unless kprof fails with one line of these words, and writes nothing.
fn check_refused(output: &Output, words: &[&str], folder: &Path) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    check_line(&said, words, "--cgroup");
    assert_eq!(stdout(output), "");
    assert_eq!(names(folder), [""; 0]);
}

fn record(cgroup: &str, folder: &Path) -> Command {
    let mut command = kprof();
    command.args(["-d", "60", "-o", "k.svg", "--cgroup", cgroup]);
    command.current_dir(folder);
    command
}

fn version_1_beside_version_2_is_refused() -> Outcome {
    let _live = live()?;
    let version_1 = Version1::mount()?;
    let (old, new) = (
        Cgroup::new(version_1.path.join("kp-old")),
        Cgroup::at_root("kp-new"),
    );
    let busy = Process::start();
    old.takes(&busy);
    new.takes(&busy);
    let folder = tempfile::tempdir().unwrap();
    let output = record(old.path(), folder.path()).output().unwrap();
    let words = [
        old.path(),
        "cgroup of version 1",
        "give one of version 2, below /sys/fs/cgroup",
    ];
    check_refused(&output, &words, folder.path());
    assert_eq!(threads(&sampled(&["kp-new"])), [busy.comm()]);
    let advice = Advice::read(&run(&["doctor", "--json"]));
    assert_eq!(advice.status("cgroup version 2"), "ok");
    drop(busy);
    drop(old);
    Ok(())
}

fn version_1_alone_is_refused_with_a_mend_that_mends() -> Outcome {
    let _live = live()?;
    let version_1 = Version1::mount()?;
    let old = Cgroup::new(version_1.path.join("kp-old"));
    // Version 2 has its tree, mounted or not.
    let new = Cgroup::at_root("kp-new");
    let busy = Process::start();
    new.takes(&busy);
    let folder = tempfile::tempdir().unwrap();
    let alone = |command: &mut Command| {
        let mounts = &[Mount::Unmounted(c"/sys/fs/cgroup")];
        namespace::enter(command, libc::CLONE_NEWNS, mounts);
        namespace::output(command)
    };
    let mut doctor = kprof();
    let advice = Advice::read(&alone(doctor.args(["doctor", "--json"]))?);
    assert!(advice.can_record);
    assert_eq!(advice.status("cgroup version 2"), "limited");
    for cgroup in [old.path(), "kp-new"] {
        let output = alone(&mut record(cgroup, folder.path()))?;
        let said = stderr(&output);
        check_refused(&output, &["cgroup version 2", "version 1"], folder.path());
        assert!(advice.explains("limited", &said), "{said}: {advice:?}");
    }
    // What stands between the backticks, but for sudo, which guests lack.
    let output = alone(&mut record("kp-new", folder.path()))?;
    let said = stderr(&output);
    let mend = said.split('`').nth(1).unwrap().replace("sudo ", "");
    assert!(mend.contains("mount -t cgroup2"), "{said}");
    let script = format!(
        "{mend} && exec \"$0\" {} -d 1 --cgroup kp-new",
        ALL.join(" ")
    );
    let mut mended = Command::new("sh");
    mended.args(["-c", &script]).arg(kprof().get_program());
    let output = alone(&mut mended)?;
    expect_success(&output);
    let lines = folded::parse(&stdout(&output));
    assert_eq!(threads(&lines), [busy.comm()], "{mend}");
    drop(busy);
    drop(old);
    Ok(())
}

/// A capture of a cgroup that goes on until it is told to end.
struct Capture {
    child: Child,
    folder: tempfile::TempDir,
}

impl Capture {
    fn start(cgroup: &str) -> Capture {
        let folder = tempfile::tempdir().unwrap();
        let mut command = kprof();
        command
            .args(ALL)
            .args(["-d", "120", "--cgroup", cgroup])
            .args(["-o", "k.folded", "--stats", "k.stats"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        wait_for_samples(&mut child, 1);
        Capture { child, folder }
    }

    /// Waits for as many samples of the whole machine, filtered ones too, as it has in about a second.
    fn go_on(&mut self) {
        let before = kprof_tests::samples_taken(&self.child);
        wait_for_samples(&mut self.child, before + 1000);
    }

    /// What was sampled, and what kprof said.
    fn end(mut self) -> (Vec<Line>, String) {
        signal(&self.child, libc::SIGINT);
        assert_eq!(wait(&mut self.child, Duration::from_secs(60)), Some(0));
        let file = |name: &str| self.folder.path().join(name);
        let lines = folded::parse(&std::fs::read_to_string(file("k.folded")).unwrap());
        identity::check(&lines, &json(&file("k.stats")), "the capture");
        let mut said = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        std::io::Read::read_to_string(stderr, &mut said).unwrap();
        (lines, said)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn a_process_that_moves_in_is_counted_from_then_on() -> Outcome {
    let _live = live()?;
    let cgroup = Cgroup::at_root("kp-moves");
    let busy = Process::start();
    let without = {
        let mut capture = Capture::start("kp-moves");
        capture.go_on();
        capture.end().0
    };
    assert_eq!(threads(&without), [""; 0], "before it moved");
    let mut capture = Capture::start("kp-moves");
    capture.go_on();
    cgroup.takes(&busy);
    capture.go_on();
    let (lines, _) = capture.end();
    assert_eq!(threads(&lines), [busy.comm()]);
    // And out again.
    let mut capture = Capture::start("kp-moves");
    capture.go_on();
    take_out(&busy);
    let cpu = folded::total(&capture.end().0);
    assert!(cpu > 0, "nothing before it left");
    Ok(())
}

fn a_cgroup_that_goes_ends_nothing() -> Outcome {
    let _live = live()?;
    let cgroup = Cgroup::at_root("kp-goes");
    let busy = Process::start();
    cgroup.takes(&busy);
    let mut capture = Capture::start("kp-goes");
    capture.go_on();
    take_out(&busy);
    cgroup.remove();
    capture.go_on();
    // One of the same name is another one.
    let again = Cgroup::at_root("kp-goes");
    let other = Process::start();
    again.takes(&other);
    capture.go_on();
    let (lines, _) = capture.end();
    assert_eq!(threads(&lines), [busy.comm()]);
    drop(other);
    Ok(())
}

fn an_empty_cgroup_explains_itself() -> Outcome {
    let _live = live()?;
    let _busy = Process::start();
    let cgroup = Cgroup::at_root("kp-empty");
    let mut capture = Capture::start("kp-empty");
    capture.go_on();
    let (lines, said) = capture.end();
    assert_eq!(threads(&lines), [""; 0]);
    let list = format!("`cat {}/cgroup.threads`", cgroup.path());
    assert!(
        said.contains("nothing matched --cgroup") && said.contains(&list),
        "{said}"
    );
    // Once it is gone, there is no such file to look into.
    let mut capture = Capture::start("kp-empty");
    capture.go_on();
    cgroup.remove();
    let (lines, said) = capture.end();
    assert_eq!(threads(&lines), [""; 0]);
    assert!(said.contains("was removed"), "{said}");
    assert!(!said.contains("cgroup.threads"), "{said}");
    // And before, it is refused.
    let folder = tempfile::tempdir().unwrap();
    let output = record(cgroup.path(), folder.path()).output().unwrap();
    let words = [
        "there is no cgroup",
        cgroup.path(),
        "`find /sys/fs/cgroup -type d`",
    ];
    check_refused(&output, &words, folder.path());
    Ok(())
}
