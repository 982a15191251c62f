//! A stand-in for `rustc` that finds the library source, with nothing written into the user's own
//! toolchain: the compiler runs with a private sysroot, made of links.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Context as _;

use super::{Rustc, link};

/// Writes the sysroot and the stand-in, and gives the stand-in's path.
pub(crate) fn write(rustc: &Rustc, folder: &Path, source: &Path) -> anyhow::Result<PathBuf> {
    let sysroot = folder.join("sysroot");
    let rustlib = sysroot.join("lib/rustlib");
    link(
        &rustc.sysroot.join("lib/rustlib").join(&rustc.host),
        &rustlib.join(&rustc.host),
    )?;
    link(source, &rustlib.join("src/rust"))?;

    let wrapper = folder.join("rustc");
    let text = script(&rustc.program(), &sysroot);
    let write = || -> io::Result<()> {
        if fs::read_to_string(&wrapper).is_ok_and(|now| now == text) {
            return Ok(());
        }
        fs::write(&wrapper, &text)?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))
    };
    write().with_context(|| format!("writing {}", wrapper.display()))?;
    Ok(wrapper)
}

/// The stand-in, a shell script.
///
/// Cargo tells crates apart by `-C metadata`, a digest that takes in where the library source is;
/// it reaches symbol names and the order of functions. For the BPF target, where no two crates
/// share a name, it is replaced by a constant, so that the object is the same from any place.
fn script(rustc: &Path, sysroot: &Path) -> String {
    format!(
        r#"#!/bin/sh
# Written by `cargo xtask build-ebpf`.
case " $* " in
*" bpfel-unknown-none "*)
    for word do
        shift
        case "$word" in metadata=*) word=metadata=kprof ;; esac
        set -- "$@" "$word"
    done ;;
esac
exec {} --sysroot {} "$@"
"#,
        quote(rustc),
        quote(sysroot)
    )
}

fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
