//! `cargo xtask build-ebpf`: source of the BPF crate -> object and lock, or a check of both.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::host::{self, say};
use crate::lock::{LOCK, Lock, OBJECT};
pub(crate) use crate::toolchain::NoSource;
use crate::toolchain::{Rustc, Toolchain};

mod check;
mod compile;
mod inspect;

pub(crate) use check::run as check;

/// Options of `cargo xtask build-ebpf`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing: rebuild in a scratch folder and compare with the checked-in object.
    #[arg(long, conflicts_with = "log")]
    check: bool,
    /// Build the object with logging, for kprof's feature `bpf-log`, into the target folder.
    #[arg(long)]
    log: bool,
}

/// Rebuilds the object and its lock, or checks them.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    if args.check {
        return check();
    }
    if args.log {
        return with_log();
    }
    rebuild(&prebuilt(), false)
}

/// Builds the object with logging into the target folder. Fails with [`NoSource`] where there is no library source.
pub(crate) fn with_log() -> anyhow::Result<()> {
    rebuild(&host::target()?.join("kprof-bpf/log"), true)
}

/// Rebuilds the checked-in object if its sources have changed since it was built.
pub(crate) fn refresh() -> anyhow::Result<()> {
    let folder = prebuilt();
    match Lock::read(&folder).and_then(|lock| lock.verify(&folder, &host::ebpf())) {
        Ok(()) => Ok(()),
        Err(refusal) => {
            say(refusal);
            rebuild(&folder, false)
        }
    }
}

/// The folder of the checked-in object.
fn prebuilt() -> PathBuf {
    host::ebpf().join("prebuilt")
}

fn rebuild(folder: &Path, log: bool) -> anyhow::Result<()> {
    let target = host::target()?;
    let toolchain = Toolchain::prepare(&Rustc::find()?, &target)?;
    let built = compile::compile(&toolchain, &target.join("kprof-bpf/build"), log)?;
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    // The object first: a lock without its object is refused, so a half-done write is never used.
    replace(&folder.join(OBJECT), &built.object)?;
    replace(&folder.join(LOCK), built.lock.to_text().as_bytes())?;
    say(format_args!(
        "{} is new: {} bytes, sha256 {}",
        folder.join(OBJECT).display(),
        built.object.len(),
        built.lock.object
    ));
    Ok(())
}

/// Writes a file whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, bytes)
        .and_then(|()| fs::rename(&partial, path))
        .with_context(|| format!("writing {}", path.display()))
}
