//! The programs that guests run, built without shared libraries.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::initramfs::Archive;
use crate::host::{self, say};

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The cargo profile of programs for guests: optimized, without the time that the last bit takes.
const PROFILE: &str = "guest";

/// Programs for guests.
#[derive(Debug)]
pub(crate) struct Programs {
    kprof: PathBuf,
    xtask: PathBuf,
    /// Test programs and their names.
    suites: Vec<(String, PathBuf)>,
}

impl Programs {
    /// Builds kprof and xtask, and the live tests where they are wanted.
    pub(crate) fn build(tests: bool) -> anyhow::Result<Self> {
        say("building static programs for the guests");
        let made = build(&[
            "build",
            "--package",
            "kprof-user",
            "--package",
            "xtask",
            "--bins",
        ])?;
        let find = |name: &str| {
            let found = made.iter().find(|(known, _)| known == name);
            let (_, path) = found.with_context(|| format!("cargo built no {name}"))?;
            anyhow::Ok(path.clone())
        };
        let suites = match tests {
            true => build(&["test", "--no-run", "--package", "kprof-tests", "--tests"])?
                .into_iter()
                .filter(|(name, _)| is_suite(name))
                .collect(),
            false => Vec::new(),
        };
        Ok(Self {
            kprof: find("kprof")?,
            xtask: find("xtask")?,
            suites,
        })
    }

    /// Names of the test programs.
    pub(crate) fn suites(&self) -> Vec<String> {
        self.suites.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Writes the archive that all guests share.
    pub(crate) fn archive(&self, busybox: &Path, to: &Path) -> anyhow::Result<()> {
        let mut archive = Archive::create(to)?;
        for folder in [
            "bin",
            "etc",
            "lib",
            "lib/later",
            "lib/modules",
            "proc",
            "root",
            "run",
            "sys",
            "tests",
            "tmp",
        ] {
            archive.folder(folder)?;
        }
        archive.file("init", include_bytes!("init.sh"))?;
        archive.file(
            "etc/passwd",
            b"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
        )?;
        archive.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")?;
        archive.copy("bin/busybox", busybox)?;
        archive.copy("bin/kprof", &self.kprof)?;
        archive.copy("bin/xtask", &self.xtask)?;
        for (name, path) in &self.suites {
            archive.copy(&format!("tests/{name}"), path)?;
        }
        archive.finish()?;
        Ok(())
    }
}

/// Whether a test program is a suite of live tests; the library's own tests need no other kernel.
fn is_suite(name: &str) -> bool {
    !["kprof_tests", "bad_input"].contains(&name)
}

/// Runs cargo and gives the executables it made, by the names of their targets.
fn build(words: &[&str]) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut command = host::cargo();
    command
        .args(words)
        .args(["--locked", "--profile", PROFILE, "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics"])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stderr(Stdio::inherit());
    executables(&mut command)
}

fn executables(command: &mut Command) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .context("starting cargo")?;
    if !output.status.success() {
        bail!("building programs for guests failed: {}", output.status);
    }
    let text = String::from_utf8(output.stdout).context("reading what cargo printed")?;
    let mut found = Vec::new();
    for line in text.lines() {
        let message: serde_json::Value =
            serde_json::from_str(line).context("reading what cargo printed")?;
        if let (Some(path), Some(name)) = (
            message["executable"].as_str(),
            message["target"]["name"].as_str(),
        ) {
            found.push((name.to_owned(), PathBuf::from(path)));
        }
    }
    Ok(found)
}
