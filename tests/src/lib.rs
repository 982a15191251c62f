//! Helpers of the end-to-end tests, which run the real `kprof` on the running kernel.
//!
//! A live test begins with `let _live = live()?;`: where the machine does not allow it, the test counts as skipped,
//! with the reason (see [`mod@suite`]). `KPROF_REQUIRE_LIVE=1` turns skips into failures.
//!
//! `KPROF` and `KPROF_XTASK` name the programs to test and to load the machine with; else both are built from this
//! workspace.

use std::io::Read as _;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub use load::Load;
pub use suite::{Outcome, Skip};

pub mod advice;
pub mod audit;
pub mod bpf;
pub mod burn;
pub mod cgroup;
pub mod events;
pub mod firefox;
pub mod folded;
pub mod freezer;
pub mod holdings;
pub mod identity;
pub mod kernel_code;
pub mod lack;
mod load;
pub mod namespace;
pub mod pages;
pub mod place;
pub mod renamer;
pub mod rights;
pub mod share;
pub mod suite;
pub mod sysctl;
pub mod tools;
pub mod windows;

/// Begins a live test: the guard keeps live tests of one program apart.
pub fn live() -> Result<MutexGuard<'static, ()>, Skip> {
    can_sample().map_err(Skip::because)?;
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    Ok(ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Whether this machine lets kprof sample.
fn can_sample() -> Result<(), String> {
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|e| format!("/proc/self/status: {e}"))?;
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .ok_or("no CapEff in /proc/self/status")?;
    let (sys_admin, perfmon, bpf) = (1 << 21, 1 << 38, 1 << 39);
    if effective & sys_admin == 0 && effective & (perfmon | bpf) != perfmon | bpf {
        return Err("needs root, or CAP_BPF and CAP_PERFMON".into());
    }
    // SAFETY: the kernel refuses the command before it reads the attributes.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, 0xffff, std::ptr::null::<u8>(), 0) };
    let error = std::io::Error::last_os_error();
    if answer == -1
        && error.raw_os_error() != Some(libc::EINVAL)
        && error.raw_os_error() != Some(libc::EFAULT)
    {
        return Err(format!("bpf(2) is not to be had: {error}"));
    }
    Ok(())
}

/// The kprof to test.
pub fn kprof() -> Command {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let path = PATH.get_or_init(|| program("KPROF", "kprof-user", "kprof"));
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    command
}

/// The program that a variable names, else one built from this workspace.
fn program(variable: &str, package: &str, binary: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| build(package, binary), PathBuf::from)
}

/// Builds a program of this workspace in this test's profile; nothing to do if it is there and fresh.
fn build(package: &str, binary: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ has a parent");
    let built = Command::new(env!("CARGO"))
        .current_dir(workspace)
        .args(["build", "--quiet", "--package", package, "--bin", binary])
        .status()
        .expect("run cargo build");
    assert!(built.success(), "cargo build --package {package}: {built}");
    // target/PROFILE/deps/this-test -> target/PROFILE
    let this = std::env::current_exe().expect("the path of this test");
    this.ancestors()
        .nth(2)
        .expect("a target folder")
        .join(binary)
}

/// Sends a signal to a child that was not waited for yet.
pub fn signal(child: &Child, signal: i32) {
    // SAFETY: the child has not been reaped, so the id is still its own.
    unsafe { libc::kill(child.id() as libc::pid_t, signal) };
}

/// Waits for a child; kills it and panics after `limit`.
pub fn wait(child: &mut Child, limit: Duration) -> Option<i32> {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().expect("wait for a child") {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    panic!("a child did not end within {limit:?}");
}

/// Waits until `done` says so; panics with `what` after `limit`.
pub fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a running kprof has taken this many samples, those included that its filters turn away.
pub fn wait_for_samples(child: &mut Child, samples: u64) {
    // A debug build takes its time to start on a busy machine.
    wait_until("kprof takes samples", Duration::from_secs(60), || {
        if let Some(status) = child.try_wait().expect("wait for kprof") {
            panic!("kprof ended before it took samples: {status}");
        }
        has_events(child) && samples_taken(child) >= samples
    });
}

/// Whether a process holds perf events. Before it does, kprof opens all BPF programs there are, for their names.
fn has_events(process: &Child) -> bool {
    let files = std::fs::read_dir(format!("/proc/{}/fd", process.id()));
    let mut links = files
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|file| std::fs::read_link(file.path()).ok());
    links.any(|to| to == Path::new("anon_inode:[perf_event]"))
}

/// Samples that a running kprof has taken: runs of the BPF programs that it holds. The kernel counts them while kprof
/// measures its own cost.
pub fn samples_taken(child: &Child) -> u64 {
    let Ok(files) = std::fs::read_dir(format!("/proc/{}/fdinfo", child.id())) else {
        return 0;
    };
    files
        .flatten()
        .filter_map(|file| std::fs::read_to_string(file.path()).ok())
        .filter_map(|text| {
            let runs = text
                .lines()
                .find_map(|line| line.strip_prefix("run_cnt:"))?;
            runs.trim().parse::<u64>().ok()
        })
        .sum()
}

/// Runs kprof to its end.
pub fn run<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Output {
    kprof().args(arguments).output().expect("run kprof")
}

/// Runs kprof to its end on a terminal of so many columns; yields what the terminal got.
pub fn run_on_terminal(columns: u16, arguments: &[&str]) -> String {
    let size = libc::winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let (mut ours, mut its) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: both descriptors are written to the variables given; name and settings may be null.
    let made = unsafe {
        libc::openpty(
            &mut ours,
            &mut its,
            null,
            null.cast(),
            (&raw const size).cast_mut(),
        )
    };
    assert_eq!(made, 0, "openpty: {}", std::io::Error::last_os_error());
    // SAFETY: the descriptors were made just now and have no other owner.
    let (ours, its) = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(its)) };
    let mut command = kprof();
    let mut child = command
        .args(arguments)
        .stdout(its)
        .spawn()
        .expect("run kprof");
    // So that reading ends when kprof does.
    drop(command);
    let mut text = Vec::new();
    let mut ours = std::fs::File::from(ours);
    // A terminal whose other side is closed gives EIO, not the end of the file.
    if let Err(error) = ours.read_to_end(&mut text) {
        assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    }
    assert_eq!(wait(&mut child, Duration::from_secs(20)), Some(0));
    String::from_utf8_lossy(&text).replace('\r', "")
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Panics with all kprof said unless it succeeded.
pub fn expect_success(output: &Output) {
    assert_eq!(
        output.status.code(),
        Some(0),
        "kprof failed: {}",
        stderr(output)
    );
}

/// Reads a JSON file.
pub fn json(path: &Path) -> serde_json::Value {
    let text = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Names of the files in a folder, hidden ones too, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("list a folder")
        .map(|entry| {
            entry
                .expect("list a folder")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}
