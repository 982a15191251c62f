//! Memory that is short: a limit around kprof, its end by the kernel, a machine that runs out of it.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kprof_tests::burn::Burner;
use kprof_tests::holdings::{Holdings, Kind};
use kprof_tests::windows::{self, assert_nothing_lost};
use kprof_tests::{Outcome, Skip, kprof, live, names, stderr, wait_until};

use crate::capture::Running;
use crate::cpus::online;

const ROOT: &str = "/sys/fs/cgroup";

/// A control group with a limit of memory; gone when this is dropped.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Result<Group, Skip> {
        let root = PathBuf::from(ROOT);
        let Ok(controllers) = std::fs::read_to_string(root.join("cgroup.controllers")) else {
            return Err(Skip::because(format_args!("no cgroup version 2 at {ROOT}")));
        };
        if !controllers.split_whitespace().any(|name| name == "memory") {
            return Err(Skip::because("this kernel has no memory controller"));
        }
        std::fs::write(root.join("cgroup.subtree_control"), "+memory").unwrap();
        let folder = root.join(name);
        std::fs::create_dir(&folder).unwrap();
        Ok(Group(folder))
    }

    fn limit(&self, bytes: u64) {
        std::fs::write(self.0.join("memory.max"), bytes.to_string()).unwrap();
    }

    /// Has a command run in the group.
    fn enter(&self, command: &mut Command) {
        let file = OpenOptions::new()
            .write(true)
            .open(self.0.join("cgroup.procs"));
        let file: File = file.unwrap();
        let enter = move || {
            // SAFETY: the descriptor is open and the text, which means the process itself, lives.
            match unsafe { libc::write(file.as_raw_fd(), c"0".as_ptr().cast(), 1) } {
                1 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: only write(2) is called between fork and exec.
        unsafe { command.pre_exec(enter) };
    }

    /// A counter of `memory.events`.
    fn events(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(self.0.join("memory.events")).unwrap();
        let counter = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        counter.unwrap_or_else(|| panic!("no {name} in {text}"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

pub(crate) fn a_memory_limit_is_kept_or_told() -> Outcome {
    let _live = live()?;
    let group = Group::new("kp-limit")?;
    group.limit(24 << 20);
    let _busy = Burner::pinned("kp-busy", 0);
    // What is asked for takes some 50 MB of maps, which kernels before 5.11 do not count.
    let run = |more: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = kprof();
        group.enter(&mut command);
        let output = command
            .current_dir(folder.path())
            .args([
                "-F",
                "4999",
                "-d",
                "1500ms",
                "-i",
                "500ms",
                "-q",
                "--show-user",
                "-e",
                "cpu-clock",
            ])
            .args(["-o", "k.svg", "--stats-windows", "k.windows"])
            .args(more)
            .output()
            .unwrap();
        (folder, output)
    };
    let (folder, output) = run(&[]);
    let said = stderr(&output);
    if output.status.success() {
        assert_eq!(group.events("oom_kill "), 0);
        eprintln!(
            "24 MiB were enough; the limit was met {} times",
            group.events("max ")
        );
        windows::read(&folder.path().join("k.windows"));
    } else {
        assert_eq!(output.status.code(), Some(1), "{:?}: {said}", output.status);
        assert_eq!(said.lines().count(), 1, "{said}");
        for word in [
            "cannot create the BPF map",
            "no memory",
            "--max-stacks",
            "memory limit",
        ] {
            assert!(said.contains(word), "no {word} in: {said}");
        }
        assert_eq!(names(folder.path()), Vec::<String>::new());
        assert!(group.events("max ") > 0);
    }
    // The mend that it tells.
    let (folder, output) = run(&["--max-stacks", "512"]);
    kprof_tests::expect_success(&output);
    let windows = windows::read(&folder.path().join("k.windows"));
    let counted: u64 = windows.iter().map(|window| window.counted).sum();
    assert!(counted > 100, "{windows:#?}");
    assert_eq!(names(folder.path()), ["k.svg", "k.windows"]);
    Ok(())
}

pub(crate) fn when_it_is_killed_for_memory_nothing_stays_attached() -> Outcome {
    let _live = live()?;
    let group = Group::new("kp-kill")?;
    let mut command = kprof();
    group.enter(&mut command);
    let mut running = Running::start_as(command, &["-F", "499", "-i", "100ms"]);
    let held = Holdings::of(running.child.id());
    assert_eq!(held.left().len(), held.objects.len());
    assert_eq!(held.count(Kind::Program), 1, "{held:?}");
    assert!(held.count(Kind::Map) > 5, "{held:?}");
    // What it has by now does not fit.
    group.limit(64 << 10);
    let mut status = None;
    wait_until("the kernel ends kprof", Duration::from_secs(20), || {
        status = running.child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().signal(), Some(libc::SIGKILL));
    assert_eq!(group.events("oom_kill "), 1);
    // The kernel frees them after a grace period, and in the background.
    wait_until("its BPF objects are gone", Duration::from_secs(20), || {
        held.left().is_empty()
    });
    // Of outputs nothing is there, but for files that it had no chance to remove.
    let left = names(&running.out());
    assert!(
        left.iter()
            .all(|name| name.starts_with(".kprof-") && name.ends_with(".tmp")),
        "{left:?}"
    );
    Ok(())
}

/// A process that uses this much memory, over and over, and which the kernel ends before any other.
struct Hog(Child);

impl Hog {
    fn start(bytes: u64) -> Hog {
        let script = r#"echo 1000 > /proc/self/oom_score_adj && exec dd if=/dev/zero of=/dev/null bs="$0" count=1000000"#;
        let child = Command::new("sh")
            .args(["-c", script, &bytes.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Hog(child)
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A line of /proc/meminfo, bytes.
fn memory(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_else(|| panic!("no {name} in {text}")) << 10
}

/// Blocks of memory that were taken from the machine, as that is faster than to use them; there again when this is
/// dropped.
struct Blocks(Vec<PathBuf>);

impl Blocks {
    /// Takes blocks away until little more than this is left. Where the kernel can't, all stays.
    fn take(left: u64) -> Blocks {
        let mut taken = Vec::new();
        let entries = std::fs::read_dir("/sys/devices/system/memory");
        for entry in entries.into_iter().flatten().flatten() {
            let state = entry.path().join("state");
            if memory("MemAvailable") <= left {
                break;
            }
            // What is in use by the kernel itself stays.
            if state.exists() && std::fs::write(&state, "offline").is_ok() {
                taken.push(state);
            }
        }
        Blocks(taken)
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        for state in &self.0 {
            let _ = std::fs::write(state, "online");
        }
    }
}

pub(crate) fn a_capture_outlives_memory_that_runs_out() -> Outcome {
    const SPARE: u64 = 48 << 20;
    const FEW: u64 = 20;
    let _live = live()?;
    let running = Running::start(&["-F", "499", "-i", "250ms", "-e", "cpu-clock"]);
    let _busy = Burner::pinned("kp-busy", 0);
    let blocks = Blocks::take(SPARE * 6);
    let mut hogs = vec![Hog::start(memory("MemAvailable") - SPARE)];
    let mut least = u64::MAX;
    wait_until("memory is short", Duration::from_secs(60), || {
        least = least.min(memory("MemAvailable"));
        least < SPARE * 2
    });
    // More than there is. It is the kernel's choice which of them it ends.
    hogs.push(Hog::start(SPARE * 4));
    let mut ended = None;
    wait_until(
        "the kernel ends one of those",
        Duration::from_secs(60),
        || {
            ended = hogs.iter_mut().find_map(|hog| hog.0.try_wait().unwrap());
            ended.is_some()
        },
    );
    assert_eq!(ended.unwrap().signal(), Some(libc::SIGKILL));
    drop(hogs);
    drop(blocks);
    let ended = running.end();
    let windows = ended.windows.len();
    eprintln!("{} MiB were free at least; {windows} windows", least >> 20);
    assert_nothing_lost(&ended.windows, online().len() as u64);
    let (busy, hogs) = (ended.of("kp-busy"), ended.of("dd"));
    assert!(
        busy > FEW && hogs > FEW,
        "{busy} samples of kp-busy, {hogs} of what took the memory"
    );
    assert_eq!(ended.said, "");
    Ok(())
}
