//! One build of the BPF programs, the same byte for byte from any checkout.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{collections::BTreeMap, env, fs};

use anyhow::{Context as _, bail};

use super::inspect;
use crate::host::{self, say};
use crate::lock::{Lock, digest, sources};
use crate::toolchain::{LINKER_VERSION, Toolchain};

const TARGET: &str = "bpfel-unknown-none";
const BINARY: &str = "kprof-bpf";

/// The whole profile, so that neither the workspace's nor the user's own settings matter.
const PROFILE: [&str; 9] = [
    "opt-level=3",
    "debug=2",
    "lto=\"thin\"",
    "codegen-units=1",
    "panic=\"abort\"",
    "incremental=false",
    "debug-assertions=false",
    "overflow-checks=false",
    "strip=\"none\"",
];

/// An object and the lock that goes with it.
pub(crate) struct Built {
    /// The object's bytes.
    pub(crate) object: Vec<u8>,
    /// What it was built from.
    pub(crate) lock: Lock,
}

/// Builds the object in the folder `scratch`.
pub(crate) fn compile(tools: &Toolchain, scratch: &Path, log: bool) -> anyhow::Result<Built> {
    // Taken first: a source that changes meanwhile makes a stale lock, never a wrong one.
    let sources = sources(&host::ebpf()).context("reading the BPF sources")?;
    let versions = BTreeMap::from([
        ("rustc".to_owned(), tools.rustc.version.clone()),
        ("bpf-linker".to_owned(), LINKER_VERSION.to_owned()),
        ("aya-ebpf".to_owned(), locked_version("aya-ebpf")?),
    ]);
    say(format_args!(
        "building the BPF programs{}",
        if log { " with logging" } else { "" }
    ));

    // The folders of the registry's crates are only known once the crates are there.
    host::run(host::cargo().args(["fetch", "--quiet", "--locked"]))?;
    let places = Places::find(tools, scratch)?;

    let mut path = OsString::from(&tools.linker);
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    let mut cargo = host::cargo();
    cargo
        .args([
            "build",
            "--quiet",
            "--locked",
            "--release",
            "--package",
            "kprof-ebpf",
        ])
        .args(["--bin", BINARY, "--target", TARGET, "-Z", "build-std=core"])
        .args(["--features", if log { "bpf,log" } else { "bpf" }])
        .arg("--target-dir")
        .arg(scratch)
        .env("RUSTC", &tools.wrapper)
        .env("RUSTC_BOOTSTRAP", "1")
        // Only picks the names of helpers, alike everywhere; the host must not choose them.
        .env("AYA_BPF_TARGET_ARCH", "x86_64")
        .env("RUSTC_WRAPPER", "")
        .env("RUSTC_WORKSPACE_WRAPPER", "")
        .env("PATH", path)
        .env("CARGO_ENCODED_RUSTFLAGS", places.flags().join("\x1f"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET");
    for setting in PROFILE {
        cargo
            .arg("--config")
            .arg(format!("profile.release.{setting}"));
    }
    host::run(&mut cargo)?;

    let built = scratch.join(TARGET).join("release").join(BINARY);
    let object = inspect::without_debug_info(&tools.rustc, &built)?;
    inspect::check(&object, &places.folders())?;
    let lock = Lock {
        versions,
        object: digest(&object),
        sources,
    };
    Ok(Built { object, lock })
}

/// The folders that a build sees and an object mustn't name, each with what stands for it.
struct Places(Vec<(PathBuf, &'static str)>);

impl Places {
    fn find(tools: &Toolchain, scratch: &Path) -> anyhow::Result<Self> {
        let home = env::var_os("HOME").map(PathBuf::from);
        let cargo_home = env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| home.as_ref().map(|home| home.join(".cargo")));
        let sysroot = tools.folder.join("sysroot");

        // From the general to the particular: the compiler takes the last one that fits.
        let mut places = vec![(tools.rustc.sysroot.clone(), "/rustc")];
        places.push((tools.folder.clone(), "/toolchain"));
        places.push((scratch.to_owned(), "/target"));
        places.push((host::root(), "/kprof"));
        // Scratch folders are mostly below the root.
        places.push((scratch.to_owned(), "/target"));
        places.push((tools.folder.clone(), "/toolchain"));
        places.push((tools.source.clone(), "/rustc/src"));
        places.push((sysroot.join("lib/rustlib/src/rust"), "/rustc/src"));
        if let Some(cargo_home) = cargo_home {
            places.insert(0, (cargo_home.clone(), "/cargo"));
            let registries = cargo_home.join("registry/src");
            // One folder for each registry or mirror of it; its name differs between machines.
            if let Ok(entries) = fs::read_dir(&registries) {
                places.extend(
                    entries
                        .filter_map(Result::ok)
                        .map(|e| (e.path(), "/crates")),
                );
            }
        }
        if let Some(home) = home.filter(|home| home != Path::new("/")) {
            places.insert(0, (home, "/home"));
        }
        let resolved: Vec<_> = places
            .iter()
            .filter_map(|(place, stand_in)| Some((place.canonicalize().ok()?, *stand_in)))
            .filter(|entry| !places.contains(entry))
            .collect();
        // Resolved ones first: they are the odd ones, and mustn't hide a more particular one.
        places.splice(0..0, resolved);
        Ok(Self(places))
    }

    fn flags(&self) -> Vec<String> {
        let mut flags = vec!["-Cdebuginfo=2".to_owned(), "-Clink-arg=--btf".to_owned()];
        let root = host::root();
        for (place, stand_in) in &self.0 {
            flags.push(format!(
                "--remap-path-prefix={}={stand_in}",
                place.display()
            ));
            // Cargo names what lies below the workspace's root relative to it: the library's source is
            // there unless the toolchain is kept elsewhere.
            if let Ok(below) = place.strip_prefix(&root)
                && below != Path::new("")
            {
                flags.push(format!(
                    "--remap-path-prefix={}={stand_in}",
                    below.display()
                ));
            }
        }
        flags
    }

    fn folders(&self) -> Vec<PathBuf> {
        self.0.iter().map(|(place, _)| place.clone()).collect()
    }
}

/// The version of a crate in `Cargo.lock`.
fn locked_version(name: &str) -> anyhow::Result<String> {
    let path = host::root().join("Cargo.lock");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let version = text
        .split_once(&format!("name = \"{name}\"\nversion = \""))
        .and_then(|(_, rest)| rest.split_once('"'));
    match version {
        Some((version, _)) => Ok(version.to_owned()),
        None => bail!("{} has no {name}", path.display()),
    }
}
