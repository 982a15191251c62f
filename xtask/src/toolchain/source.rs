//! The source of Rust's own library, of exactly the compiler's version.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fmt};

use super::{Rustc, debian};
use crate::host::{self, say};

/// How long rustup may take to fetch the source before the next way is tried.
const RUSTUP_LIMIT: Duration = Duration::from_secs(60);

/// No way to the library source worked; one line for each that was tried.
#[derive(Debug)]
pub(crate) struct NoSource(Vec<String>);

impl fmt::Display for NoSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the source of Rust's library can't be had: {}",
            self.0.join("; ")
        )
    }
}

impl std::error::Error for NoSource {}

/// Finds the library source, or fetches it: what an earlier run fetched, the toolchain's own,
/// rustup's component, the distribution's package.
pub(crate) fn find(rustc: &Rustc, folder: &Path) -> Result<PathBuf, NoSource> {
    let unpacked = folder.join("rust-src");
    if let Some(source) = debian::unpacked(rustc, &unpacked) {
        return Ok(source);
    }
    let component = rustc.sysroot.join("lib/rustlib/src/rust");
    if is_source(&component) {
        return Ok(component);
    }
    let mut reasons = Vec::new();
    match by_rustup() {
        Ok(()) if is_source(&component) => return Ok(component),
        Ok(()) => reasons.push("rustup put it elsewhere".to_owned()),
        Err(error) => reasons.push(format!("{error:#}")),
    }
    say(format_args!("no library source by rustup ({})", reasons[0]));
    match debian::fetch(rustc, folder, &unpacked) {
        Ok(source) => return Ok(source),
        Err(error) => reasons.push(format!("{error:#}")),
    }
    Err(NoSource(reasons))
}

/// Whether `folder` holds the library.
pub(crate) fn is_source(folder: &Path) -> bool {
    folder.join("library/core/src/lib.rs").is_file() && folder.join("library/Cargo.lock").is_file()
}

fn by_rustup() -> anyhow::Result<()> {
    let Some(rustup) = host::find_program("rustup") else {
        anyhow::bail!("there is no rustup");
    };
    say("adding rustup's component rust-src, the source of Rust's library");
    let mut command = std::process::Command::new(rustup);
    command.args(["component", "add", "rust-src"]);
    // Set by rustup itself where it started cargo.
    if let Some(toolchain) = env::var_os("RUSTUP_TOOLCHAIN") {
        command.arg("--toolchain").arg(toolchain);
    }
    host::run_within(command.current_dir(host::root()), RUSTUP_LIMIT)
}
