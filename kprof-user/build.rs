//! Chooses the BPF object that kprof carries, and refuses one that its sources have outrun.
//!
//! The crate finds it through the variable `KPROF_BPF_OBJECT`. Nothing is compiled here: the
//! checked-in object is what makes a build on stable Rust alone work.

use std::path::{Path, PathBuf};

#[path = "build/lock.rs"]
#[allow(
    dead_code,
    reason = "shared with xtask, which writes the lock; the build only checks it"
)]
mod lock;

/// Where `cargo xtask build-ebpf --log` puts its object, below the target folder.
const LOG_FOLDER: &str = "kprof-bpf/log";

fn main() {
    // The invariant: cargo sets both for every build script.
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("set by cargo"));
    let ebpf = manifest.join("../kprof-ebpf");
    let prebuilt = ebpf.join("prebuilt");

    let (folder, mend) = if std::env::var_os("CARGO_FEATURE_BPF_LOG").is_some() {
        (log_folder(&out), "cargo xtask build-ebpf --log")
    } else {
        (prebuilt.clone(), "cargo xtask build-ebpf")
    };
    for watched in [ebpf.join("Cargo.toml"), ebpf.join("src"), folder.clone()] {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    if let Err(refusal) = lock::Lock::read(&folder).and_then(|lock| lock.verify(&folder, &ebpf)) {
        println!("cargo::error={refusal}");
        println!("cargo::error=rebuild it with: {mend}");
        return;
    }
    println!(
        "cargo::rustc-env=KPROF_BPF_OBJECT={}",
        folder.join(lock::OBJECT).display()
    );
}

/// The folder of the object with logging: below the target folder that `out` is in.
fn log_folder(out: &Path) -> PathBuf {
    out.ancestors()
        .map(|folder| folder.join(LOG_FOLDER))
        .find(|folder| folder.is_dir())
        .unwrap_or_else(|| out.join(LOG_FOLDER))
}
