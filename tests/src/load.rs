//! Loads on the running kernel.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::{Skip, program, signal, suite, wait};

/// A load by `cargo xtask load`; ends when dropped.
#[derive(Debug)]
pub struct Load(Child);

/// How long a load may take until it works.
const LIMIT: Duration = Duration::from_secs(60);
/// The line by which a load says so.
const WORKING: &str = "load: working";
/// What a load says where it can't run for want of something outside of it.
const LACKS: [&str; 2] = ["the kernel needs CONFIG_", "needs two CPUs"];

impl Load {
    /// Starts a load and waits until it works. The test is skipped where the machine lacks what the load needs.
    pub fn start(name: &str, seconds: u64) -> Result<Load, Skip> {
        static PATH: OnceLock<PathBuf> = OnceLock::new();
        let path = PATH.get_or_init(|| program("KPROF_XTASK", "xtask", "xtask"));
        let mut command = std::process::Command::new(path);
        command
            .args(["load", name, "--seconds", &seconds.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        // A load has as many threads as it likes. So that kprof, which competes with them, gets on in a guest as well,
        // they are the first to wait there; no CPU gets any more idle by that.
        let nice = suite::by_speed(0, 10);
        // SAFETY: only nice(2) is called between fork and exec.
        unsafe {
            command.pre_exec(move || {
                libc::nice(nice);
                Ok(())
            });
        }
        let mut child = command.spawn().expect("start the load");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, receiver) = mpsc::channel();
        // Reads to the end, so that the pipe never fills.
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut load = Load(child);
        let end = Instant::now() + LIMIT;
        let mut said = Vec::new();
        loop {
            match receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line == WORKING => return Ok(load),
                Ok(line) => said.push(line),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    panic!("the load {name} did not work within {LIMIT:?}: {said:?}")
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        let code = wait(&mut load.0, LIMIT);
        let last = said.pop().unwrap_or_default();
        if LACKS.iter().any(|lack| last.contains(lack)) {
            return Err(Skip::because(format_args!("the load {name}: {last}")));
        }
        panic!("the load {name} ended with {code:?} before it worked: {last}");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        signal(&self.0, libc::SIGINT);
        let _ = wait(&mut self.0, Duration::from_secs(20));
    }
}
