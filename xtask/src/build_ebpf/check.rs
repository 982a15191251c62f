//! `--check`: the checked-in object is what its sources give, byte for byte.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::{compile, prebuilt};
use crate::host::{self, say};
use crate::lock::{Lock, OBJECT};
use crate::toolchain::{NoSource, Rustc, Toolchain};

const MEND: &str = "rebuild it with `cargo xtask build-ebpf` and commit the result";

/// Checks digests, then rebuilds and compares.
pub(crate) fn run() -> anyhow::Result<()> {
    let folder = prebuilt();
    let lock = Lock::read(&folder).context(MEND)?;
    lock.verify(&folder, &host::ebpf()).context(MEND)?;
    say("the object's digest and its sources' digests are those of the lock");

    let rustc = Rustc::find()?;
    if let Some(locked) = lock
        .versions
        .get("rustc")
        .filter(|&locked| *locked != rustc.version)
    {
        skipped(&format!(
            "the object is of rustc {locked}, this is rustc {}",
            rustc.version
        ));
        return Ok(());
    }
    let target = host::target()?;
    let toolchain = match Toolchain::prepare(&rustc, &target) {
        Ok(toolchain) => toolchain,
        Err(error) if error.is::<NoSource>() => {
            skipped(&format!("{error:#}"));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let scratch = target.join("kprof-bpf/check");
    remove(&scratch)?;
    let built = compile::compile(&toolchain, &scratch, false)?;
    if built.lock != lock {
        let path = folder.join(OBJECT);
        let now = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let place = now.iter().zip(&built.object).position(|(a, b)| a != b);
        bail!(
            "{} is not what its sources give: {} bytes, rebuilt {} bytes, first difference at {}; {MEND} \
             (the rebuilt one is in {})",
            path.display(),
            now.len(),
            built.object.len(),
            place.map_or_else(|| "the end".to_owned(), |place| format!("byte {place}")),
            scratch.display()
        );
    }
    remove(&scratch)?;
    say(format_args!(
        "rebuilt: the same {} bytes, sha256 {}",
        built.object.len(),
        lock.object
    ));
    Ok(())
}

/// Says, so that it can't be missed, that no rebuild was done.
fn skipped(reason: &str) {
    say("**********************************************************************");
    say("THE REBUILD OF THE BPF OBJECT WAS SKIPPED; only digests were verified.");
    say(format_args!("Reason: {reason}"));
    say("**********************************************************************");
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    Ok(())
}
