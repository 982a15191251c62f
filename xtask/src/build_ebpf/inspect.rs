//! What must hold of every object: type information in, debug information and host paths out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::host;
use crate::toolchain::Rustc;

/// The object at `path` without its DWARF sections.
pub(crate) fn without_debug_info(rustc: &Rustc, path: &Path) -> anyhow::Result<Vec<u8>> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("reading {}", path.display()));
    let object = read(path)?;
    if !contains(&object, b".debug_info") {
        return Ok(object);
    }
    let stripped = path.with_extension("stripped");
    let objcopy = rustc
        .sysroot
        .join("lib/rustlib")
        .join(&rustc.host)
        .join("bin/rust-objcopy");
    host::run(
        Command::new(objcopy)
            .arg("--strip-debug")
            .arg(path)
            .arg(&stripped),
    )?;
    read(&stripped)
}

/// Refuses an object without BTF, with DWARF, or with the name of one of these folders in it.
pub(crate) fn check(object: &[u8], folders: &[PathBuf]) -> anyhow::Result<()> {
    for section in [".BTF\0", ".BTF.ext\0"] {
        if !contains(object, section.as_bytes()) {
            bail!(
                "the object built has no section {}",
                section.trim_end_matches('\0')
            );
        }
    }
    if contains(object, b".debug_info") {
        bail!("the object built still has debug information");
    }
    for folder in folders {
        if contains(object, format!("{}/", folder.display()).as_bytes()) {
            bail!(
                "the object built names a folder of this machine: {}",
                folder.display()
            );
        }
    }
    Ok(())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_objects_are_refused() {
        let good = b"\0.BTF\0.BTF.ext\0/kprof/kprof-ebpf/src/main.rs\0";
        let home = [PathBuf::from("/home/someone")];
        assert!(check(good, &home).is_ok());
        assert!(check(b"\0.BTF\0", &home).is_err());
        assert!(check(&[good.as_slice(), b".debug_info\0"].concat(), &home).is_err());
        assert!(check(&[good.as_slice(), b"/home/someone/x.rs\0"].concat(), &home).is_err());
    }
}
