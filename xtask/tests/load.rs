//! Every load does what its last line says and leaves nothing behind, also when it is stopped or
//! killed. The loads need root; without it they must say so, and these tests are skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use kprof_tests::{Outcome, Skip};

kprof_tests::suite![
    a_load_works_and_leaves_nothing,
    a_stopped_load_ends_in_order,
    a_killed_load_leaves_at_most_what_the_next_one_removes,
    wrong_use_is_refused,
    a_file_system_in_memory_has_nothing_to_write_back,
];

/// Each load, and the words of its last line that must be above zero.
const LOADS: [(&str, &[&str]); 5] = [
    ("ksoftirqd", &["packets_sent", "packets_delivered"]),
    ("kworker", &["bytes_written", "write_backs"]),
    (
        "syscalls",
        &[
            "kprof-read_calls",
            "kprof-getdents_calls",
            "kprof-stat_calls",
            "kprof-read_cpu_ms",
        ],
    ),
    (
        "softirq-idle",
        &["packets_sent", "packets_delivered", "net_rx_softirqs"],
    ),
    ("many-stacks", &["kinds", "calls"]),
];

/// What a load could leave on the machine.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    devices: BTreeSet<String>,
    mounts: BTreeSet<String>,
    named_namespaces: BTreeSet<String>,
    files: BTreeSet<String>,
}

impl Machine {
    fn now(dir: &Path) -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        Self {
            devices: names(Path::new("/sys/class/net")),
            mounts: mounts.lines().map(str::to_owned).collect(),
            named_namespaces: names(Path::new("/run/netns")),
            files: names(dir),
        }
    }
}

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).map_or_else(
        |_| BTreeSet::new(),
        |entries| {
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect()
        },
    )
}

fn can_run() -> Outcome {
    // SAFETY: the call takes and changes nothing.
    match unsafe { libc::geteuid() } {
        0 => Ok(()),
        _ => Err(Skip::because(
            "loads make network namespaces, which needs root",
        )),
    }
}

/// The xtask to test: `$KPROF_XTASK`, else the one that cargo built.
fn xtask() -> Command {
    match std::env::var_os("KPROF_XTASK") {
        Some(path) => Command::new(path),
        None => Command::new(env!("CARGO_BIN_EXE_xtask")),
    }
}

fn start(name: &str, seconds: u32, dir: &Path) -> Child {
    xtask()
        .args(["load", name, "--seconds", &seconds.to_string(), "--dir"])
        .arg(dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the load says that it works, after what it does.
fn wait_until_it_works(name: &str, child: &mut Child) {
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.ends_with("\nload: working\n") {
        let read = stderr.read_line(&mut said).unwrap();
        assert!(read > 0, "{name} never worked: {said}");
    }
    assert!(said.starts_with(&format!("load {name}: ")), "{said}");
    child.stderr = Some(stderr.into_inner());
}

fn end(child: Child) -> (ExitStatus, BTreeMap<String, String>) {
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let last = stdout.lines().last().unwrap_or_default();
    let words = last
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    (output.status, words)
}

fn assert_worked(name: &str, keys: &[&str], words: &BTreeMap<String, String>) {
    for key in keys {
        let value: f64 = words
            .get(*key)
            .unwrap_or_else(|| panic!("{name} does not say {key}: {words:?}"))
            .parse()
            .unwrap();
        assert!(value > 0.0, "{name}: {key} is {value}");
    }
}

fn temporary_dir(name: &str) -> PathBuf {
    // On the disk that holds the build, because /tmp may be in memory.
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn a_load_works_and_leaves_nothing() -> Outcome {
    can_run()?;
    let dir = temporary_dir("load-works");
    for (name, keys) in LOADS {
        let before = Machine::now(&dir);
        let (status, words) = end(start(name, 1, &dir));
        assert!(status.success(), "{name}: {status}");
        assert_worked(name, keys, &words);
        assert_eq!(Machine::now(&dir), before, "{name} left something");
    }
    Ok(())
}

fn a_stopped_load_ends_in_order() -> Outcome {
    can_run()?;
    let dir = temporary_dir("load-stopped");
    for (name, keys) in LOADS {
        let before = Machine::now(&dir);
        let mut child = start(name, 60, &dir);
        wait_until_it_works(name, &mut child);
        let asked = Instant::now();
        // SAFETY: the child has not been waited for, so its pid is still its own.
        unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
        let (status, words) = end(child);
        // A slow disk may hold a write-back up.
        assert!(asked.elapsed() < Duration::from_secs(20), "{name} went on");
        assert!(status.success(), "{name}: {status}");
        assert_worked(name, keys, &words);
        assert_eq!(Machine::now(&dir), before, "{name} left something");
    }
    Ok(())
}

fn a_killed_load_leaves_at_most_what_the_next_one_removes() -> Outcome {
    can_run()?;
    let dir = temporary_dir("load-killed");
    for (name, _) in LOADS {
        let before = Machine::now(&dir);
        let mut child = start(name, 60, &dir);
        wait_until_it_works(name, &mut child);
        let pid = child.id();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        let after = Machine::now(&dir);
        assert_eq!(after.devices, before.devices, "{name} left a device");
        assert_eq!(after.mounts, before.mounts, "{name} left a mount");
        assert_eq!(after.named_namespaces, before.named_namespaces, "{name}");
        if name != "many-stacks" {
            assert_eq!(after.files, before.files, "{name} left a file");
        }
    }
    let (status, _) = end(start("many-stacks", 1, &dir));
    assert!(status.success());
    assert_eq!(names(&dir), BTreeSet::new());
    Ok(())
}

fn wrong_use_is_refused() -> Outcome {
    for arguments in [
        &["load"][..],
        &["load", "nosuch"],
        &["load", "kworker", "--seconds", "0"],
        &["load", "kworker", "--seconds", "4000"],
    ] {
        let output = xtask().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
    Ok(())
}

fn a_file_system_in_memory_has_nothing_to_write_back() -> Outcome {
    let output = xtask()
        .args(["load", "kworker", "--seconds", "1", "--dir", "/dev/shm"])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    if Path::new("/dev/shm").is_dir() {
        assert!(stderr.contains("--dir"), "{stderr}");
    }
    Ok(())
}
