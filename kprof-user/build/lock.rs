//! The lock of the checked-in BPF object: what it was built from, and whether that still holds.
//!
//! One file for both sides: `cargo xtask build-ebpf` writes the lock, kprof's build script checks
//! it. Only the standard library and `sha2` are used, so that a build needs stable Rust alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use sha2::{Digest as _, Sha256};

/// Name of the object, in `kprof-ebpf/prebuilt` and wherever else one is put.
pub(crate) const OBJECT: &str = "kprof.bpf.o";
/// Name of its lock, in the same folder.
pub(crate) const LOCK: &str = "kprof.bpf.lock";

/// What an object was built from, and its own digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lock {
    /// Versions of `rustc`, `bpf-linker` and `aya-ebpf`, by name.
    pub(crate) versions: BTreeMap<String, String>,
    /// Hexadecimal SHA-256 of the object.
    pub(crate) object: String,
    /// Hexadecimal SHA-256 of each source file, by its path below `kprof-ebpf`.
    pub(crate) sources: BTreeMap<String, String>,
}

/// Why an object is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The lock or the object can't be read.
    Unreadable(PathBuf, io::Error),
    /// The lock is not what `cargo xtask build-ebpf` writes.
    Malformed(PathBuf, usize),
    /// These source files are not those that the object was built from.
    Stale(Vec<String>),
    /// The object is not the one that the lock speaks of.
    OtherObject(PathBuf),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "can't read {}: {error}", path.display()),
            Self::Malformed(path, line) => {
                write!(f, "{} is not a lock (line {line})", path.display())
            }
            Self::Stale(files) => write!(
                f,
                "the BPF object is older than its source: changed since it was built: {}",
                files.join(", ")
            ),
            Self::OtherObject(path) => {
                write!(f, "{} is not the object its lock names", path.display())
            }
        }
    }
}

impl std::error::Error for Refusal {}

impl Lock {
    /// The lock as text: TOML, one fact a line.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::from(
            "# What kprof.bpf.o was built from. Written by `cargo xtask build-ebpf`; not for editing.\n",
        );
        // Writing to a String can't fail.
        let _ = writeln!(text, "object = \"{}\"", self.object);
        text.push_str("\n[versions]\n");
        for (name, version) in &self.versions {
            let _ = writeln!(text, "{name} = \"{version}\"");
        }
        text.push_str("\n[sources]\n");
        for (path, digest) in &self.sources {
            let _ = writeln!(text, "\"{path}\" = \"{digest}\"");
        }
        text
    }

    /// Reads back what [`Lock::to_text`] wrote; the error is the number of the line it fails at.
    pub(crate) fn parse(text: &str) -> Result<Self, usize> {
        let mut lock = Self {
            versions: BTreeMap::new(),
            object: String::new(),
            sources: BTreeMap::new(),
        };
        let mut section = "";
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                section = name;
                continue;
            }
            let (name, value) = line.split_once(" = ").ok_or(number + 1)?;
            let name = name.trim_matches('"').to_owned();
            let value = value.trim_matches('"').to_owned();
            match section {
                "" if name == "object" => lock.object = value,
                "versions" => drop(lock.versions.insert(name, value)),
                "sources" => drop(lock.sources.insert(name, value)),
                _ => return Err(number + 1),
            }
        }
        if lock.object.is_empty() {
            return Err(text.lines().count());
        }
        Ok(lock)
    }

    /// Reads the lock in `folder`.
    pub(crate) fn read(folder: &Path) -> Result<Self, Refusal> {
        let path = folder.join(LOCK);
        let text = fs::read_to_string(&path).map_err(|e| Refusal::Unreadable(path.clone(), e))?;
        Self::parse(&text).map_err(|line| Refusal::Malformed(path, line))
    }

    /// Checks the object in `folder` against this lock, and the lock against the sources in
    /// `ebpf`, the folder of the BPF crate.
    pub(crate) fn verify(&self, folder: &Path, ebpf: &Path) -> Result<(), Refusal> {
        let now = sources(ebpf).map_err(|e| Refusal::Unreadable(ebpf.to_owned(), e))?;
        let mut changed: Vec<String> = now
            .iter()
            .filter(|&(path, digest)| self.sources.get(path) != Some(digest))
            .map(|(path, _)| path.clone())
            .collect();
        changed.extend(
            self.sources
                .keys()
                .filter(|path| !now.contains_key(*path))
                .map(|p| format!("{p} (gone)")),
        );
        if !changed.is_empty() {
            return Err(Refusal::Stale(changed));
        }
        let object = folder.join(OBJECT);
        let bytes = fs::read(&object).map_err(|e| Refusal::Unreadable(object.clone(), e))?;
        if digest(&bytes) != self.object {
            return Err(Refusal::OtherObject(object));
        }
        Ok(())
    }
}

/// Hexadecimal SHA-256.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing to a String can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The digest of every file the object is built from: the BPF crate's manifest and its `src`.
pub(crate) fn sources(ebpf: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut digests = BTreeMap::new();
    digests.insert(
        "Cargo.toml".to_owned(),
        digest(&fs::read(ebpf.join("Cargo.toml"))?),
    );
    collect(&ebpf.join("src"), "src", &mut digests)?;
    Ok(digests)
}

fn collect(folder: &Path, name: &str, digests: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.file_name();
        let file = file.to_string_lossy();
        let name = format!("{name}/{file}");
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &name, digests)?;
        } else if file.ends_with(".rs") {
            digests.insert(name, digest(&fs::read(entry.path())?));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A BPF crate of two files with an object beside it.
    fn checkout() -> (tempfile::TempDir, PathBuf, PathBuf, Lock) {
        let root = tempfile::tempdir().unwrap();
        let (ebpf, folder) = (root.path().join("ebpf"), root.path().join("prebuilt"));
        fs::create_dir_all(ebpf.join("src/bpf")).unwrap();
        fs::create_dir_all(&folder).unwrap();
        fs::write(ebpf.join("Cargo.toml"), "[package]").unwrap();
        fs::write(ebpf.join("src/bpf/mod.rs"), "fn f() {}").unwrap();
        fs::write(folder.join(OBJECT), b"object").unwrap();
        let lock = Lock {
            versions: BTreeMap::from([("rustc".to_owned(), "1.95.0 (x)".to_owned())]),
            object: digest(b"object"),
            sources: sources(&ebpf).unwrap(),
        };
        fs::write(folder.join(LOCK), lock.to_text()).unwrap();
        (root, ebpf, folder, lock)
    }

    #[test]
    fn a_lock_survives_its_text() {
        let (_root, ebpf, folder, lock) = checkout();
        assert_eq!(Lock::read(&folder).unwrap(), lock);
        assert_eq!(
            lock.sources.keys().collect::<Vec<_>>(),
            ["Cargo.toml", "src/bpf/mod.rs"]
        );
        assert!(lock.verify(&folder, &ebpf).is_ok());
        assert!(matches!(
            Lock::parse("object = \"x\"\n[other]\na = \"b\"\n"),
            Err(3)
        ));
        assert!(Lock::parse("").is_err());
    }

    #[test]
    fn one_byte_of_source_makes_an_object_stale() {
        let (_root, ebpf, folder, lock) = checkout();
        fs::write(ebpf.join("src/bpf/mod.rs"), "fn g() {}").unwrap();
        let refusal = lock.verify(&folder, &ebpf).unwrap_err();
        assert!(matches!(&refusal, Refusal::Stale(files) if files == &["src/bpf/mod.rs"]));
        fs::remove_file(ebpf.join("src/bpf/mod.rs")).unwrap();
        fs::write(ebpf.join("src/new.rs"), "").unwrap();
        let refusal = lock.verify(&folder, &ebpf).unwrap_err().to_string();
        assert!(
            refusal.ends_with("src/new.rs, src/bpf/mod.rs (gone)"),
            "{refusal}"
        );
    }

    #[test]
    fn another_object_is_refused() {
        let (_root, ebpf, folder, lock) = checkout();
        fs::write(folder.join(OBJECT), b"objecT").unwrap();
        assert!(matches!(
            lock.verify(&folder, &ebpf),
            Err(Refusal::OtherObject(_))
        ));
        fs::remove_file(folder.join(OBJECT)).unwrap();
        assert!(matches!(
            lock.verify(&folder, &ebpf),
            Err(Refusal::Unreadable(..))
        ));
    }
}
