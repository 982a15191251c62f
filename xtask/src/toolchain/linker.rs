//! bpf-linker, built against the LLVM that the compiler itself uses: it must read that LLVM's
//! bitcode, and so nothing else need be installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::{Rustc, link};
use crate::host::{self, say};

/// The version that is built.
pub(crate) const VERSION: &str = "0.13.0";

/// Gives the folder that holds `bpf-linker`, building it if need be.
pub(crate) fn find(rustc: &Rustc, folder: &Path) -> anyhow::Result<PathBuf> {
    let root = folder.join(format!("bpf-linker-{VERSION}"));
    let bin = root.join("bin");
    if bin.join("bpf-linker").is_file() {
        return Ok(bin);
    }
    let prefix = llvm_prefix(rustc, folder)?;
    say(format_args!(
        "fetching and building bpf-linker {VERSION} against rustc's LLVM {} (about a minute)",
        rustc.llvm
    ));
    let scratch = folder.join("bpf-linker-build");
    let mut cargo = host::cargo();
    cargo
        .args([
            "install",
            "bpf-linker",
            "--version",
            VERSION,
            "--locked",
            "--no-track",
        ])
        .args([
            "--no-default-features",
            "--features",
            &format!("llvm-{}", rustc.llvm),
        ])
        .arg("--root")
        .arg(&root)
        .arg("--target-dir")
        .arg(&scratch)
        .env("LLVM_PREFIX", &prefix)
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_BOOTSTRAP");
    host::run(&mut cargo).with_context(|| {
        format!(
            "building bpf-linker {VERSION} for LLVM {}, rustc {}",
            rustc.llvm, rustc.release
        )
    })?;
    fs::remove_dir_all(&scratch).with_context(|| format!("removing {}", scratch.display()))?;
    Ok(bin)
}

/// A folder laid out like an LLVM installation, whose library is the compiler's own.
fn llvm_prefix(rustc: &Rustc, folder: &Path) -> anyhow::Result<PathBuf> {
    let lib = rustc.sysroot.join("lib");
    // The one with a version after `.so` is the library; the one without is a linker script.
    let library = fs::read_dir(&lib)
        .with_context(|| format!("reading {}", lib.display()))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with("libLLVM.so."))
        });
    let Some(library) = library else {
        bail!(
            "{} has no libLLVM: bpf-linker needs the LLVM of rustc; use a toolchain of rustup",
            lib.display()
        );
    };
    let prefix = folder.join("llvm");
    link(&library, &prefix.join("lib/libLLVM.so"))?;
    if let Some(name) = library.file_name() {
        link(&library, &prefix.join("lib").join(name))?;
    }
    Ok(prefix)
}
