//! One guest, from its start to its end.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::console;
use super::initramfs::Archive;
use super::kernels::Image;
use super::tools::Qemu;

/// How often the guest's files are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long a guest may take to turn itself off after it said that it will.
const TURN_OFF: Duration = Duration::from_secs(20);
/// Memory of a guest in MiB, for any number of CPUs.
const MEMORY: u32 = 1536;

/// What is the same for all guests of a run.
pub(crate) struct Machine<'a> {
    pub(crate) qemu: &'a Qemu,
    /// The archive with the programs.
    pub(crate) base: &'a Path,
    /// Where each guest gets a folder with its logs.
    pub(crate) logs: &'a Path,
    /// How long a guest may run.
    pub(crate) limit: Duration,
    /// What runs the guest's instructions, as QEMU calls it.
    pub(crate) accel: &'a str,
    /// More words for the kernel's command line.
    pub(crate) append: &'a str,
}

/// What a guest does once it is up.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// Runs these test programs.
    Suites(Vec<String>),
    /// Runs a command line of the shell.
    Command(String),
    /// Runs it on the terminal that this program has.
    Interactive(String),
}

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It did what it was asked for, with this exit code.
    Done(i32),
    /// It was stopped, or ended by itself before it was done.
    Lost(String),
}

/// A guest's run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) end: End,
    /// Test programs that failed.
    pub(crate) failed: Vec<String>,
    /// What `kprof doctor --json` printed, where tests ran.
    pub(crate) doctor: Option<String>,
    /// The last words of the kernel where it was lost.
    pub(crate) console: Vec<String>,
    /// The folder of its logs.
    pub(crate) logs: PathBuf,
    pub(crate) took: Duration,
}

/// Boots a kernel, gives each line that its programs print to `line`, and turns the guest off.
pub(crate) fn run(
    machine: &Machine<'_>,
    image: &Image,
    cpus: u32,
    work: &Work,
    mut line: impl FnMut(&str),
) -> anyhow::Result<Outcome> {
    let logs = machine.logs.join(image.kernel.to_string());
    if logs.exists() {
        fs::remove_dir_all(&logs).with_context(|| format!("removing {}", logs.display()))?;
    }
    fs::create_dir_all(&logs).with_context(|| format!("creating {}", logs.display()))?;
    let initrd = logs.join("initrd");
    write_initrd(machine.base, image, work, &initrd)?;

    let start = Instant::now();
    let mut child = Running(start_qemu(machine, image, cpus, work, &logs, &initrd)?);
    let mut console = Lines::of(logs.join("console.log"));
    let mut output = Lines::of(logs.join("output.log"));
    let mut steps = Lines::of(logs.join("steps.log"));
    let mut last: Vec<String> = Vec::new();
    let mut failed = Vec::new();
    let mut doctor = None;
    let mut sign = None;
    let mut done: Option<(i32, Instant)> = None;
    let end = loop {
        let ended = child.0.try_wait().context("awaiting QEMU")?;
        for text in console.read()? {
            sign = sign.or(console::lost(&text));
            last.push(text);
        }
        last.drain(..last.len().saturating_sub(LAST));
        output.read()?.iter().for_each(|text| line(text));
        for step in steps.read()? {
            if let Some(json) = step.strip_prefix("doctor ") {
                doctor = Some(json.to_owned());
                continue;
            }
            let words: Vec<&str> = step.split_whitespace().collect();
            match words[..] {
                ["ended", suite, code] if code != "0" => {
                    failed.push(format!("{suite} (exit code {code})"));
                }
                ["exit", code] => done = Some((code.parse().unwrap_or(1), Instant::now())),
                _ => {}
            }
        }
        if let Some(sign) = sign {
            break End::Lost(sign.to_owned());
        }
        if let Some(status) = ended {
            break match done {
                Some((code, _)) => End::Done(code),
                None => End::Lost(format!("the machine went off by itself (QEMU: {status})")),
            };
        }
        if let Some((code, at)) = done
            && at.elapsed() > TURN_OFF
        {
            break End::Done(code);
        }
        if start.elapsed() > machine.limit {
            break End::Lost(format!("not done within {} s", machine.limit.as_secs()));
        }
        std::thread::sleep(LOOK);
    };
    drop(child);
    output.rest().iter().for_each(|text| line(text));
    let _ = fs::remove_file(&initrd);
    Ok(Outcome {
        console: match &end {
            End::Done(_) => Vec::new(),
            End::Lost(_) => last,
        },
        end,
        failed,
        doctor,
        logs,
        took: start.elapsed(),
    })
}

/// Lines of the console that are shown of a lost guest.
const LAST: usize = 40;

/// A QEMU that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

fn start_qemu(
    machine: &Machine<'_>,
    image: &Image,
    cpus: u32,
    work: &Work,
    logs: &Path,
    initrd: &Path,
) -> anyhow::Result<Child> {
    let mut command = machine.qemu.command();
    command.args([
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
    ]);
    command.args(["-accel", machine.accel, "-cpu", "max"]);
    command.args(["-smp", &cpus.to_string(), "-m", &MEMORY.to_string()]);
    command.arg("-kernel").arg(&image.vmlinuz);
    command.arg("-initrd").arg(initrd);
    command.arg("-append").arg(format!(
        "console=ttyS0 8250.nr_uarts=4 panic=-1 loglevel=6 rdinit=/init {} {}",
        image.kernel.words(),
        machine.append
    ));
    let file = |name: &str| {
        let mut text = std::ffi::OsString::from("file:");
        text.push(logs.join(name));
        text
    };
    command.arg("-serial").arg(file("console.log"));
    let interactive = matches!(work, Work::Interactive(_));
    if interactive {
        command.args([
            "-chardev",
            "stdio,id=terminal,signal=off",
            "-serial",
            "chardev:terminal",
        ]);
    } else {
        command.arg("-serial").arg(file("output.log"));
        command.stdin(Stdio::null());
    }
    command.arg("-serial").arg(file("steps.log"));
    let said = logs.join("qemu.log");
    let said = File::create(&said).with_context(|| format!("creating {}", said.display()))?;
    command.stderr(said);
    if !interactive {
        command.stdout(Stdio::null());
    }
    let parent = std::process::id();
    // A guest does not outlive this program.
    let with_parent = move || {
        // SAFETY: both calls take integers alone.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            if libc::getppid() as u32 != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
        }
        Ok(())
    };
    // SAFETY: only prctl(2) and getppid(2) are called between fork and exec.
    unsafe { command.pre_exec(with_parent) };
    command.spawn().context("starting QEMU")
}

/// The programs, then what is of this guest alone.
fn write_initrd(base: &Path, image: &Image, work: &Work, to: &Path) -> anyhow::Result<()> {
    fs::copy(base, to).with_context(|| format!("copying {}", base.display()))?;
    let file = File::options()
        .append(true)
        .open(to)
        .with_context(|| format!("opening {}", to.display()))?;
    let mut archive = Archive::to(file);
    for (folder, files) in [("lib/modules", &image.modules), ("lib/later", &image.later)] {
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            archive.copy(&format!("{folder}/{name}"), file)?;
        }
    }
    archive.file("etc/guest", settings(work).as_bytes())?;
    archive
        .finish()?
        .flush()
        .with_context(|| format!("writing {}", to.display()))
}

/// What `/init` reads.
fn settings(work: &Work) -> String {
    let common = "export KPROF=/bin/kprof KPROF_XTASK=/bin/xtask KPROF_OWN_MACHINE=1 CARGO_TARGET_DIR=/tmp\n";
    match work {
        Work::Suites(suites) => format!("{common}SUITES='{}'\n", suites.join(" ")),
        Work::Command(command) => format!("{common}COMMAND={}\n", quoted(command)),
        Work::Interactive(command) => {
            let size = rustix::termios::tcgetwinsize(io::stdin());
            let (rows, columns) = size.map_or((24, 80), |size| (size.ws_row, size.ws_col));
            format!(
                "{common}TERMINAL=1 ROWS={rows} COLUMNS={columns}\nexport TERM=vt100\nCOMMAND={}\n",
                quoted(command)
            )
        }
    }
}

/// A text as one word of the shell.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The lines of a file that grows.
struct Lines {
    path: PathBuf,
    reader: Option<BufReader<File>>,
    partial: Vec<u8>,
}

impl Lines {
    fn of(path: PathBuf) -> Self {
        Self {
            path,
            reader: None,
            partial: Vec::new(),
        }
    }

    /// The lines that are whole by now and were not given before.
    fn read(&mut self) -> anyhow::Result<Vec<String>> {
        if self.reader.is_none() {
            // QEMU makes it when it starts.
            self.reader = File::open(&self.path).ok().map(BufReader::new);
        }
        if let Some(reader) = &mut self.reader {
            reader
                .read_to_end(&mut self.partial)
                .with_context(|| format!("reading {}", self.path.display()))?;
        }
        let whole = self.partial.iter().rposition(|byte| *byte == b'\n');
        let Some(end) = whole else {
            return Ok(Vec::new());
        };
        let rest = self.partial.split_off(end + 1);
        let lines = std::mem::replace(&mut self.partial, rest);
        Ok(String::from_utf8_lossy(&lines)
            .lines()
            .map(|line| line.trim_end_matches('\r').to_owned())
            .collect())
    }

    /// What is left at the end, a last line without its end too.
    fn rest(mut self) -> Vec<String> {
        let mut lines = self.read().unwrap_or_default();
        if !self.partial.is_empty() {
            lines.push(String::from_utf8_lossy(&self.partial).into_owned());
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growing_file_is_read_by_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut lines = Lines::of(path.clone());
        assert_eq!(lines.read().unwrap(), [""; 0]);
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\r\ntw").unwrap();
        assert_eq!(lines.read().unwrap(), ["one"]);
        file.write_all(b"o\nthree").unwrap();
        assert_eq!(lines.read().unwrap(), ["two"]);
        assert_eq!(lines.rest(), ["three"]);
    }

    #[test]
    fn a_command_is_one_word() {
        let command = r#"echo 'a b' "$c""#;
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("c=1; printf %s {}", quoted(command))])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), command);
    }
}
