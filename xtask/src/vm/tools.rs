//! QEMU and busybox: QEMU of the machine where it is installed, else both out of Debian's packages,
//! unpacked in a cache and not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::kernels::Store;
use crate::apt::{self, Apt, Installed, Mirrors};
use crate::host::{self, say};

const QEMU: &str = "qemu-system-x86_64";

/// How QEMU is started.
#[derive(Clone, Debug)]
pub(crate) struct Qemu {
    program: PathBuf,
    /// Where it was unpacked, unless it is installed.
    root: Option<PathBuf>,
}

impl Qemu {
    /// The installed one, else a fetched one.
    pub(crate) fn find(cache: &Path) -> anyhow::Result<Self> {
        if let Some(program) = host::find_program(QEMU) {
            return Ok(Self {
                program,
                root: None,
            });
        }
        let root = cache.join("qemu");
        let program = root.join("usr/bin").join(QEMU);
        if !program.is_file() {
            fetch(cache, &root)
                .with_context(|| format!("{QEMU} is not installed, and fetching it failed"))?;
        }
        let qemu = Self {
            program,
            root: Some(root),
        };
        host::output(qemu.command().arg("--version"))?;
        Ok(qemu)
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
    // Of the machine's own suites, so that libraries fit.
    apt.update(&mirrors, mirrors.suites.iter().map(String::as_str))?;
    say("fetching QEMU, to be unpacked and not installed");
    let files = apt.download_with_needs(&["qemu-system-x86"])?;
    apt::unpack(&files, root)?;
    fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))
}
