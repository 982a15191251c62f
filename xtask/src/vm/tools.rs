//! QEMU and busybox: the machine's own QEMU where it is good enough, else both out of Debian's packages, unpacked in a
//! cache and not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::kernels::Store;
use crate::apt::{self, Apt, Installed, Mirrors};
use crate::host::{self, say};

const QEMU: &str = "qemu-system-x86_64";

/// The first version in which a CPU never runs code that another CPU is changing: before it, kernels stop now and then
/// with "int3" where they switch a static key (QEMU's "accel/tcg: Always lock pages before translation").
const GOOD: (u32, u32) = (8, 1);

/// How QEMU is started.
#[derive(Clone, Debug)]
pub(crate) struct Qemu {
    program: PathBuf,
    /// Where it was unpacked, unless it is installed.
    root: Option<PathBuf>,
}

impl Qemu {
    /// The installed one where it is good enough, else a fetched one.
    pub(crate) fn find(cache: &Path) -> anyhow::Result<Self> {
        let installed = host::find_program(QEMU).map(|program| Self {
            program,
            root: None,
        });
        if let Some(qemu) = &installed
            && qemu.version()? >= GOOD
        {
            return Ok(qemu.clone());
        }
        let root = cache.join("qemu");
        let fetched = Self {
            program: root.join("usr/bin").join(QEMU),
            root: Some(root.clone()),
        };
        let had = match fetched.program.is_file() {
            true => Ok(()),
            false => fetch(cache, &root),
        };
        let found = match (had.and_then(|()| fetched.version()), installed) {
            (Ok(_), _) => fetched,
            (Err(error), Some(old)) => {
                say(format_args!("fetching a newer QEMU failed: {error:#}"));
                old
            }
            (Err(error), None) => {
                return Err(error.context(format!("{QEMU} is not installed")));
            }
        };
        let (major, minor) = found.version()?;
        if (major, minor) < GOOD {
            say(format_args!(
                "QEMU {major}.{minor} stops kernels now and then, with `int3` on the console; {}.{} does not",
                GOOD.0, GOOD.1
            ));
        }
        Ok(found)
    }

    /// Major and minor number.
    fn version(&self) -> anyhow::Result<(u32, u32)> {
        let text = host::output(self.command().arg("--version"))?;
        version(&text).with_context(|| format!("{QEMU} --version tells no version: {text}"))
    }

    /// QEMU with its libraries and firmware.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(root) = &self.root {
            let library = |path: &str| root.join(path);
            let libraries = [
                library("usr/lib/x86_64-linux-gnu"),
                library("lib/x86_64-linux-gnu"),
                library("usr/lib/x86_64-linux-gnu/pulseaudio"),
            ];
            // The paths hold no colon: cargo refuses such a target folder.
            command.env(
                "LD_LIBRARY_PATH",
                std::env::join_paths(libraries).unwrap_or_default(),
            );
            command.env("QEMU_MODULE_DIR", library("usr/lib/x86_64-linux-gnu/qemu"));
            for firmware in ["usr/share/qemu", "usr/share/seabios"] {
                command.arg("-L").arg(root.join(firmware));
            }
        }
        command
    }
}

/// A busybox that needs no libraries.
pub(crate) fn busybox(cache: &Path, store: &mut Store) -> anyhow::Result<PathBuf> {
    let root = cache.join("busybox");
    let found = || {
        ["bin/busybox", "usr/bin/busybox"]
            .map(|path| root.join(path))
            .into_iter()
            .find(|path| path.is_file())
    };
    if found().is_none() {
        let package = store.apt()?.download("busybox-static")?;
        apt::unpack(&[package], &root)?;
    }
    found().context("the package busybox-static holds no busybox")
}

/// Unpacks QEMU, and what it needs that is not installed, into `root`.
fn fetch(cache: &Path, root: &Path) -> anyhow::Result<()> {
    let mirrors = Mirrors::find()?;
    let folder = cache.join("apt-here");
    let apt = Apt::new(&folder, Installed::Here)?;
    // Of the machine's own suites, and of what is made for them, so that libraries fit.
    let backports: Vec<String> = mirrors
        .suites
        .iter()
        .filter(|suite| !suite.contains('-'))
        .map(|suite| format!("{suite}-backports"))
        .collect();
    let suites = mirrors.suites.iter().chain(&backports);
    apt.update(&mirrors, suites.map(String::as_str))?;
    say("fetching QEMU, to be unpacked and not installed");
    // A release that does not know it fails for a name that apt does not know.
    let files = backports.iter().find_map(|suite| {
        apt.download_with_needs(&["qemu-system-x86"], Some(suite))
            .ok()
    });
    let files = match files {
        Some(files) => files,
        None => apt.download_with_needs(&["qemu-system-x86"], None)?,
    };
    apt::unpack(&files, root)?;
    fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))
}

/// The first two numbers of `QEMU emulator version 10.0.2 (Debian ...)`.
fn version(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.split_once(" version ")?;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{GOOD, version};

    #[test]
    fn versions_are_read_and_compared() {
        let read = |text: &str| version(&format!("QEMU emulator version {text} (Debian 1)\n"));
        assert_eq!(read("10.0.2"), Some((10, 0)));
        assert!(read("7.2.22") < Some(GOOD) && read("8.0.5") < Some(GOOD));
        assert!(read("8.1.0") >= Some(GOOD) && read("11.1.3") >= Some(GOOD));
        assert_eq!(version("QEMU"), None);
    }
}
