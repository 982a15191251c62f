//! One run of the fuzzer on one target.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::output::{self, Stats};

/// What to run.
pub(super) struct Slice<'a> {
    pub(super) engine: &'a Path,
    pub(super) target: &'a str,
    pub(super) seconds: u64,
    /// Inputs to begin with.
    pub(super) seeds: &'a Path,
    /// Where new inputs are kept, and taken from.
    pub(super) corpus: &'a Path,
    /// Where inputs that break something are kept.
    pub(super) findings: &'a Path,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) stats: Stats,
    pub(super) cpu: Duration,
    pub(super) finding: Option<Finding>,
}

/// An input that breaks something.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) what: String,
    pub(super) input: PathBuf,
}

/// Seconds after which one input has taken too long.
const TIMEOUT: u32 = 30;
/// Seconds for making the input that was found smaller.
const MINIMIZE: u32 = 30;
/// Longest input that is made, bytes: enough for what grows with the square of the length to show.
const LENGTH: u32 = 16 * 1024;

impl Slice<'_> {
    pub(super) fn run(&self) -> anyhow::Result<Done> {
        fs::create_dir_all(self.findings)
            .with_context(|| format!("making {}", self.findings.display()))?;
        let mut command = self.command();
        command
            .arg(format!("-max_total_time={}", self.seconds))
            .arg(format!("-max_len={LENGTH}"))
            .args(["-print_final_stats=1", "-reduce_inputs=1"])
            // The last slash makes it a folder.
            .arg(format!("-artifact_prefix={}/", self.findings.display()));
        fs::create_dir_all(self.corpus)
            .with_context(|| format!("making {}", self.corpus.display()))?;
        // It adds to the first folder.
        let (text, success, cpu) = finish(command.arg(self.corpus).arg(self.seeds))?;
        let finding = match success {
            true => None,
            false => Some(self.finding(&text)?),
        };
        Ok(Done {
            stats: Stats::read(&text),
            cpu,
            finding,
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.engine);
        command
            .env("KPROF_FUZZ_TARGET", self.target)
            .env("RUST_BACKTRACE", "0")
            .arg(format!("-timeout={TIMEOUT}"))
            .arg("-rss_limit_mb=2048");
        command
    }

    /// Makes the input smaller, where it can be.
    fn finding(&self, text: &str) -> anyhow::Result<Finding> {
        let log = self.findings.join("log");
        fs::write(&log, text).with_context(|| format!("writing {}", log.display()))?;
        let what = output::what(text);
        let Some(input) = output::artifact(text) else {
            return Ok(Finding { what, input: log });
        };
        let mut name = input.file_name().unwrap_or_default().to_os_string();
        name.push(".min");
        let small = input.with_file_name(name);
        let mut command = self.command();
        command
            .args(["-minimize_crash=1", "-runs=1000000"])
            .arg(format!("-max_total_time={MINIMIZE}"))
            .arg(format!("-exact_artifact_path={}", small.display()))
            .arg(&input);
        finish(&mut command)?;
        let input = if small.is_file() { small } else { input };
        Ok(Finding { what, input })
    }
}

/// Runs a command to its end: what it wrote on stderr, whether it succeeded, and its CPU time.
fn finish(command: &mut Command) -> anyhow::Result<(String, bool, Duration)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting the fuzzer")?;
    let mut text = Vec::new();
    let mut stderr = child.stderr.take().context("a pipe was asked for")?;
    stderr
        .read_to_end(&mut text)
        .context("reading from the fuzzer")?;
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the child was not reaped yet, and both are live for the call to fill. Nobody waits for it again.
    let reaped = unsafe {
        libc::wait4(
            child.id() as libc::pid_t,
            &raw mut status,
            0,
            usage.as_mut_ptr(),
        )
    };
    anyhow::ensure!(
        reaped > 0,
        "awaiting the fuzzer: {}",
        std::io::Error::last_os_error()
    );
    // SAFETY: any bytes are a valid rusage, and these are zero or the kernel's.
    let usage = unsafe { usage.assume_init() };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1_000);
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok((
        text,
        status == 0,
        time(usage.ru_utime) + time(usage.ru_stime),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_waited_for_and_its_time_counted() {
        let script = |script: &str| finish(Command::new("sh").args(["-c", script])).unwrap();
        let (text, success, cpu) =
            script("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo x >&2; exit 77");
        assert_eq!((text.as_str(), success), ("x\n", false));
        assert!(cpu > Duration::ZERO);
        assert!(script("exit 0").1 && !script("kill -9 $$").1);
    }
}
