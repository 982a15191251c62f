//! Source lines and inlined functions, from a vmlinux with DWARF.
//!
//! Only the kernel proper: a module's debug information is in a file of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use blazesym::symbolize::source::{Elf as ElfSource, Source};
use blazesym::symbolize::{CodeInfo, Input, Symbolized, Symbolizer};

use super::addresses::named;
use super::elf::{Elf, build_id};
use super::table::Symbol;
use crate::profile::{Frame, SourceLine};

/// A vmlinux of the running kernel.
pub(super) struct Lines {
    symbolizer: Symbolizer,
    source: Source<'static>,
    /// Where `_text` was linked to; it runs elsewhere (KASLR).
    text: u64,
    /// The folder in which the kernel was built, as its sources' paths begin with it.
    built_in: String,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl Lines {
    /// Opens the vmlinux given, or the first one with debug information where distributions put it.
    pub(super) fn open(vmlinux: Option<&Path>) -> Result<Lines> {
        if let Some(path) = vmlinux {
            let elf = Elf::read(path)?;
            ensure!(
                elf.has_lines,
                "{} has no debug information (.debug_line): give --vmlinux a kernel image with it",
                path.display()
            );
            same_build(path, &elf)?;
            return Self::with(path, &elf);
        }
        let places = places(&kernel_release()?);
        for path in &places {
            if let Ok(elf) = Elf::read(path)
                && elf.has_lines
                && same_build(path, &elf).is_ok()
            {
                return Self::with(path, &elf);
            }
        }
        let places: Vec<String> = places
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        bail!(
            "--lines needs the running kernel's vmlinux with debug information, and none is there \
             (looked for {}): install the kernel's debug package (Debian: linux-image-$(uname -r)-dbg; \
             Fedora: dnf debuginfo-install kernel) or give one with --vmlinux FILE",
            places.join(", ")
        )
    }

    fn with(path: &Path, elf: &Elf) -> Result<Lines> {
        let text = elf.text.with_context(|| {
            format!(
                "{} has no symbol _text, so it can't be matched with the running kernel: \
                 give --vmlinux an image that is not stripped",
                path.display()
            )
        })?;
        let mut lines = Self::at(path, text);
        if let Some(address) = elf.start_kernel {
            lines.built_in = lines.folder_of(address, "init/main.c").unwrap_or_default();
        }
        Ok(lines)
    }

    fn at(path: &Path, text: u64) -> Lines {
        let symbolizer = Symbolizer::builder()
            .enable_auto_reload(false)
            .enable_code_info(true)
            .enable_inlined_fns(true)
            .build();
        Lines {
            symbolizer,
            source: Source::Elf(ElfSource::new(path)),
            text,
            built_in: String::new(),
        }
    }

    /// What comes before `file` in the path of the source at a link-time address; `None` if it is not in
    /// that file.
    fn folder_of(&self, address: u64, file: &str) -> Option<String> {
        let found = self
            .symbolizer
            .symbolize_single(&self.source, Input::VirtOffset(address));
        let Ok(Symbolized::Sym(found)) = found else {
            return None;
        };
        let path = self.source_line(found.code_info.as_deref()?).file;
        let folder = path.strip_suffix(file)?;
        folder.ends_with('/').then(|| folder.to_owned())
    }

    /// The frames at an address, innermost first. The function that was not inlined keeps the name that
    /// the kernel gives it. `text` is where `_text` runs.
    pub(super) fn frames(&mut self, address: u64, text: u64, symbol: Symbol<'_>) -> Vec<Frame> {
        let linked = address.wrapping_sub(text).wrapping_add(self.text);
        let found = self
            .symbolizer
            .symbolize_single(&self.source, Input::VirtOffset(linked));
        let mut outer = named(symbol);
        // Broken debug information costs the lines, not the name.
        let Ok(Symbolized::Sym(found)) = found else {
            return vec![outer];
        };
        if let Frame::Named { line, .. } = &mut outer {
            *line = found
                .code_info
                .as_deref()
                .map(|info| self.source_line(info));
        }
        let inlined = found.inlined.iter().rev().map(|function| Frame::Named {
            name: function.name.clone().into_owned(),
            module: None,
            line: function
                .code_info
                .as_ref()
                .map(|info| self.source_line(info)),
            inlined: true,
        });
        inlined.chain([outer]).collect()
    }

    /// A position, with the file as the kernel's own tree names it.
    fn source_line(&self, info: &CodeInfo<'_>) -> SourceLine {
        let path = info.to_path();
        let path = path.to_string_lossy();
        SourceLine {
            file: in_tree(&path, &self.built_in).to_owned(),
            line: info.line.unwrap_or_default(),
        }
    }
}

/// A source's path in the kernel's tree. The assembler may name its sources from another folder than the
/// compiler (Debian 12): they are what an architecture has.
fn in_tree<'a>(path: &'a str, built_in: &str) -> &'a str {
    let from_arch = || path.rfind("/arch/").map(|slash| &path[slash + 1..]);
    path.strip_prefix(built_in)
        .or_else(from_arch)
        .unwrap_or(path)
}

/// Where Debian, Fedora, openSUSE, Arch and a kernel's own build put it.
fn places(release: &str) -> Vec<PathBuf> {
    [
        format!("/usr/lib/debug/boot/vmlinux-{release}"),
        format!("/usr/lib/debug/lib/modules/{release}/vmlinux"),
        format!("/usr/lib/debug/usr/lib/modules/{release}/vmlinux"),
        format!("/lib/modules/{release}/build/vmlinux"),
        format!("/usr/lib/debug/boot/vmlinux-{release}.debug"),
        format!("/boot/vmlinux-{release}"),
    ]
    .map(PathBuf::from)
    .into()
}

fn kernel_release() -> Result<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .context("reading the kernel's release from /proc/sys/kernel/osrelease")?;
    Ok(release.trim().to_owned())
}

/// Refuses another kernel's vmlinux, which would give wrong lines. One without a build id is taken on
/// trust.
fn same_build(path: &Path, elf: &Elf) -> Result<()> {
    let Some(id) = &elf.build_id else {
        return Ok(());
    };
    let Some(running) = std::fs::read("/sys/kernel/notes")
        .ok()
        .as_deref()
        .and_then(build_id)
    else {
        return Ok(());
    };
    ensure!(
        *id == running,
        "{} is another kernel's: its build id is {}, the running kernel's {}; give --vmlinux the one that \
         belongs to {}",
        path.display(),
        hex(id),
        hex(&running),
        kernel_release()?
    );
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(always)]
    fn inlined_here(x: u64) -> u64 {
        std::hint::black_box(x).wrapping_mul(3)
    }

    #[inline(never)]
    extern "C" fn outer_function(x: u64) -> u64 {
        inlined_here(x)
    }

    /// This program's own debug information stands in for a kernel's, and its load address for KASLR.
    #[test]
    fn lines_and_inlined_functions_are_found_at_a_shifted_address() {
        let exe = std::fs::read_link("/proc/self/exe").unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        // The first mapping of a program that can be loaded anywhere holds its link address 0.
        let own = maps
            .lines()
            .find(|line| line.ends_with(exe.to_str().unwrap()))
            .unwrap();
        let base = u64::from_str_radix(own.split('-').next().unwrap(), 16).unwrap();
        let mut lines = Lines::at(&exe, 0);
        let start = outer_function as *const () as u64;
        let symbol = Symbol {
            start,
            name: b"name_in_kallsyms",
            module: "",
        };
        let all: Vec<Vec<Frame>> = (start..start + 40)
            .map(|address| lines.frames(address, base, symbol))
            .collect();
        for frames in &all {
            assert_eq!(
                frames.last().and_then(Frame::function),
                Some("name_in_kallsyms")
            );
        }
        let inlined = all
            .iter()
            .find(|frames| frames.len() > 1)
            .expect("no inlined function");
        let Frame::Named {
            line: Some(line),
            inlined: true,
            ..
        } = &inlined[inlined.len() - 2]
        else {
            panic!("{inlined:?}");
        };
        assert!(line.file.ends_with("lines.rs") && line.line > 0, "{line:?}");
        let full = line.file.clone();
        lines.built_in = lines.folder_of(start - base, "symbolize/lines.rs").unwrap();
        assert!(full.starts_with(&lines.built_in), "{}", lines.built_in);
        assert_eq!(lines.folder_of(start - base, "init/main.c"), None);
        let short = lines.frames(start, base, symbol);
        let Some(Frame::Named {
            line: Some(line), ..
        }) = short.last()
        else {
            panic!("{short:?}");
        };
        assert_eq!(line.file, "symbolize/lines.rs");
        assert!(
            inlined[inlined.len() - 2]
                .function()
                .unwrap()
                .contains("inlined_here")
        );
    }

    #[test]
    fn sources_are_named_from_the_kernels_tree_on() {
        let built_in = "debian/build/amd64/";
        for (path, file) in [
            ("debian/build/amd64/fs/read_write.c", "fs/read_write.c"),
            (
                "/build/linux-6.1/arch/x86/entry/entry_64.S",
                "arch/x86/entry/entry_64.S",
            ),
            ("/usr/src/other/module.c", "/usr/src/other/module.c"),
        ] {
            assert_eq!(in_tree(path, built_in), file);
        }
        let path = "/home/arch/linux/fs/read_write.c";
        assert_eq!(in_tree(path, ""), path);
    }

    #[test]
    fn without_debug_information_the_mend_is_said() {
        let error = |path: &str| format!("{:#}", Lines::open(Some(Path::new(path))).unwrap_err());
        assert!(error("/nowhere/vmlinux").contains("opening /nowhere/vmlinux"));
        assert!(error("/proc/self/status").contains("ELF"));
        let found = places(&kernel_release().unwrap())
            .iter()
            .any(|path| path.exists());
        match Lines::open(None) {
            Ok(_) => assert!(found),
            Err(error) => assert!(error.to_string().contains("--vmlinux FILE")),
        }
    }
}
