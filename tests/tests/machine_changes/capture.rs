//! A capture of which all is known afterwards.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kprof_tests::audit::Account;
use kprof_tests::folded::{self, Line};
use kprof_tests::windows;
use kprof_tests::{json, kprof, signal, wait, wait_for_samples};

/// How long kprof may take to write its files on a slow machine.
const TO_END: Duration = Duration::from_secs(60);

/// A kprof that samples until it is told to end.
pub(crate) struct Running {
    pub(crate) child: Child,
    folder: tempfile::TempDir,
}

/// What it said and wrote.
pub(crate) struct Ended {
    /// Standard error.
    pub(crate) said: String,
    pub(crate) windows: Vec<Account>,
    pub(crate) stats: serde_json::Value,
    pub(crate) lines: Vec<Line>,
    pub(crate) report: String,
    folder: tempfile::TempDir,
}

impl Running {
    /// Starts kprof with these flags, beside those for its files, and waits until it samples.
    pub(crate) fn start(flags: &[&str]) -> Running {
        Running::start_as(kprof(), flags)
    }

    /// As above, of a command that was prepared.
    pub(crate) fn start_as(mut command: Command, flags: &[&str]) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let child = command
            .current_dir(&out)
            .args(["-d", "0", "--show-user", "--show-idle"])
            .args([
                "-o", "k.folded", "-o", "k.txt", "-o", "k.pb.gz", "-o", "k.json",
            ])
            .args(["--stats", "k.stats", "--stats-windows", "k.windows"])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("said")).unwrap())
            .spawn()
            .unwrap();
        let mut running = Running { child, folder };
        wait_for_samples(&mut running.child, 3);
        running
    }

    /// The folder of its files, and of nothing else.
    pub(crate) fn out(&self) -> std::path::PathBuf {
        self.folder.path().join("out")
    }

    /// Ends it as Ctrl-C does.
    pub(crate) fn end(mut self) -> Ended {
        signal(&self.child, libc::SIGINT);
        let code = wait(&mut self.child, TO_END);
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let said = read("said");
        assert_eq!(code, Some(0), "{said}");
        Ended {
            windows: windows::read(&folder.path().join("out/k.windows")),
            stats: json(&folder.path().join("out/k.stats")),
            lines: folded::parse(&read("out/k.folded")),
            report: read("out/k.txt"),
            said,
            folder,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Of a test that failed.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Ended {
    /// Samples of a thread.
    pub(crate) fn of(&self, comm: &str) -> u64 {
        let lines = self.lines.iter().filter(|line| line.comm == comm);
        lines.map(|line| line.count).sum()
    }

    /// A field of the statistics.
    pub(crate) fn number(&self, field: &str) -> u64 {
        let number = self.stats[field].as_u64();
        number.unwrap_or_else(|| panic!("no {field} in {}", self.stats))
    }

    /// Time covered.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_nanos(self.number("duration_ns"))
    }

    /// One of its files.
    pub(crate) fn file(&self, name: &str) -> std::path::PathBuf {
        Path::join(self.folder.path(), "out").join(name)
    }
}
