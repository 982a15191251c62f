//! A kprof that is killed.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use kprof_tests::audit::Audited;
use kprof_tests::holdings::{Holdings, Kind};
use kprof_tests::{
    Outcome, expect_success, json, kprof, live, names, signal, wait_for_samples, wait_until,
};

/// The kernel frees what nobody holds after some grace periods.
const FREED: Duration = Duration::from_secs(60);

/// A kprof to kill; no failure of the test leaves it behind.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        signal(&self.0, libc::SIGKILL);
        let _ = self.0.wait();
    }
}

fn start(folder: &Path, arguments: &[&str]) -> Victim {
    let child = kprof()
        .current_dir(folder)
        .args([
            "-i", "100ms", "-d", "0", "-o", "k.json", "--stats", "k.stats",
        ])
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut victim = Victim(child);
    wait_for_samples(&mut victim.0, 100);
    victim
}

/// Files in a folder that anybody would look at. All others must be recognizable as kprof's leftovers.
fn visible(folder: &Path) -> Vec<String> {
    let (hidden, visible): (Vec<_>, Vec<_>) = names(folder)
        .into_iter()
        .partition(|name| name.starts_with('.'));
    for name in hidden {
        assert!(
            name.starts_with(".kprof-") && name.ends_with(".tmp"),
            "{name}"
        );
    }
    visible
}

pub(crate) fn sigkill_leaves_nothing_in_the_kernel() -> Outcome {
    let _live = live()?;
    let witness = Audited::start(&["-e", "cpu-clock", "-F", "99", "-d", "0"]);
    // A timer, and a tracepoint, whose program is on a list of the kernel's own.
    for arguments in [
        ["-e", "cpu-clock", "-F", "999"],
        ["-e", "raw_syscalls:sys_enter", "--period", "100"],
    ] {
        for stopped in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("k.json"), "old").unwrap();
            let victim = start(folder.path(), &arguments);
            let held = Holdings::of(victim.0.id());
            let cpus = std::thread::available_parallelism().unwrap().get();
            assert!(
                held.events >= cpus && held.count(Kind::Program) > 0,
                "{held:?}"
            );
            // Both epochs' stacks, overflow and spill maps at least.
            assert!(held.count(Kind::Map) >= 6, "{held:?}");
            assert_eq!(held.left().len(), held.objects.len());
            if stopped {
                signal(&victim.0, libc::SIGSTOP);
            }
            drop(victim);
            let what = format!("all of {held:?} is freed");
            wait_until(&what, FREED, || held.left().is_empty());
            assert_eq!(visible(folder.path()), ["k.json"]);
            assert_eq!(
                std::fs::read_to_string(folder.path().join("k.json")).unwrap(),
                "old"
            );
        }
    }
    // The other capture went on, undisturbed.
    let books = witness.end();
    assert!(
        books.total.lost.is_empty() && books.said.is_empty(),
        "{books:?}"
    );
    Ok(())
}

/// Killed while it names and writes what it has.
pub(crate) fn sigkill_leaves_whole_files_or_none() -> Outcome {
    let _live = live()?;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("k.json");
    for wait_ms in [0, 5, 20, 40, 80, 160, 320] {
        let victim = start(folder.path(), &["-F", "499", "--show-user", "--show-idle"]);
        signal(&victim.0, libc::SIGINT);
        std::thread::sleep(Duration::from_millis(wait_ms));
        drop(victim);
        for name in visible(folder.path()) {
            assert!(["k.json", "k.stats"].contains(&name.as_str()), "{name}");
            json(&folder.path().join(name));
        }
    }
    // What was left behind is in nobody's way.
    let output = kprof()
        .current_dir(folder.path())
        .args(["-q", "-d", "200ms", "-o", "k.json"])
        .output()
        .unwrap();
    expect_success(&output);
    json(&file);
    Ok(())
}
