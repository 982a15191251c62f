//! The BPF toolchain, set up under the target folder and nowhere else: the source of the library
//! `core`, a compiler that finds it, and a linker built against that compiler's own LLVM.
//!
//! The one exception: where rustup works, the source comes as its component `rust-src`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::host::{self, say};

mod debian;
mod linker;
mod source;
mod wrapper;

pub(crate) use linker::VERSION as LINKER_VERSION;
pub(crate) use source::NoSource;

/// Overrides the toolchain's folder, so that several checkouts can share one.
const FOLDER_VARIABLE: &str = "KPROF_BPF_TOOLCHAIN";

/// What `rustc` says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Rustc {
    /// Version, with the commit: `1.95.0 (59807616e 2026-04-14)`.
    pub(crate) version: String,
    /// Release alone: `1.95.0`.
    pub(crate) release: String,
    /// Its host target.
    pub(crate) host: String,
    /// Major version of its LLVM.
    pub(crate) llvm: u32,
    /// Its sysroot.
    pub(crate) sysroot: PathBuf,
}

impl Rustc {
    /// Asks the `rustc` that cargo uses.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let rustc = || {
            let mut command =
                Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
            command.current_dir(host::root());
            command
        };
        let text = host::output(rustc().arg("-vV"))?;
        let sysroot = host::output(rustc().args(["--print", "sysroot"]))?;
        Self::parse(&text, PathBuf::from(sysroot.trim()))
    }

    fn parse(text: &str, sysroot: PathBuf) -> anyhow::Result<Self> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .with_context(|| format!("`rustc -vV` names no {name}"))
        };
        let version = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("rustc "));
        let llvm = field("LLVM version")?;
        Ok(Self {
            version: version.context("`rustc -vV` names no version")?.to_owned(),
            release: field("release")?.to_owned(),
            host: field("host")?.to_owned(),
            llvm: llvm
                .split('.')
                .next()
                .and_then(|major| major.parse().ok())
                .with_context(|| format!("LLVM version {llvm} has no major number"))?,
            sysroot,
        })
    }

    /// The compiler itself, not rustup's stand-in for it.
    fn program(&self) -> PathBuf {
        self.sysroot.join("bin/rustc")
    }
}

/// A toolchain that is ready for use.
#[derive(Debug)]
pub(crate) struct Toolchain {
    /// The compiler it is made for.
    pub(crate) rustc: Rustc,
    /// Stands in for `rustc`; knows the library source.
    pub(crate) wrapper: PathBuf,
    /// The folder that holds `bpf-linker`.
    pub(crate) linker: PathBuf,
    /// Where everything is, the compiler's own files apart.
    pub(crate) folder: PathBuf,
    /// The library source, below which is `library/core`.
    pub(crate) source: PathBuf,
}

impl Toolchain {
    /// Finds or sets up the toolchain of `rustc`. Fails with [`NoSource`] where the library source
    /// can't be had.
    pub(crate) fn prepare(rustc: &Rustc, target: &Path) -> anyhow::Result<Self> {
        let base = std::env::var_os(FOLDER_VARIABLE)
            .map_or_else(|| target.join("kprof-bpf/toolchain"), PathBuf::from);
        // What belongs to one compiler is kept apart from what belongs to the next.
        let folder = base.join(&rustc.release);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        // Two checkouts, or a test beside a build, may set it up at once.
        let guard = fs::File::create(folder.join("lock"))
            .with_context(|| format!("creating {}/lock", folder.display()))?;
        guard
            .lock()
            .with_context(|| format!("locking {}", folder.display()))?;

        let source = source::find(rustc, &folder)?;
        let wrapper = wrapper::write(rustc, &folder, &source)?;
        let linker = linker::find(rustc, &folder)?;
        Ok(Self {
            rustc: rustc.clone(),
            wrapper,
            linker,
            folder,
            source,
        })
    }
}

/// Makes `link` a symbolic link to `to`, whatever it was before.
fn link(to: &Path, link: &Path) -> anyhow::Result<()> {
    if fs::read_link(link).is_ok_and(|now| now == to) {
        return Ok(());
    }
    if let Some(folder) = link.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    if link.symlink_metadata().is_ok() {
        fs::remove_file(link).with_context(|| format!("removing {}", link.display()))?;
    }
    std::os::unix::fs::symlink(to, link).with_context(|| format!("linking {}", link.display()))
}

/// Says that something was fetched, and its size and digest.
fn say_fetched(what: &str, file: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let digest = crate::lock::digest(&bytes);
    say(format_args!(
        "fetched {what} ({} bytes, sha256 {digest})",
        bytes.len()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rustc_is_read() {
        let text = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\n\
                    host: x86_64-unknown-linux-gnu\nrelease: 1.95.0\nLLVM version: 22.1.2\n";
        let rustc = Rustc::parse(text, PathBuf::from("/s")).unwrap();
        assert_eq!(rustc.version, "1.95.0 (59807616e 2026-04-14)");
        assert_eq!((rustc.release.as_str(), rustc.llvm), ("1.95.0", 22));
        assert!(Rustc::parse("rustc 1\n", PathBuf::new()).is_err());
    }
}
