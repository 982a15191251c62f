//! What is read here, open to tests/fuzz.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};

use super::bpf::Function;
use super::index::Symbols;
use super::loaded::{Ends, modules};
use super::table::Symbol;
use super::{elf, kallsyms};

/// A line of `/proc/kallsyms`: address, kind, name, module.
pub type Line<'a> = (u64, u8, &'a [u8], Option<&'a [u8]>);

/// The lines that are read.
pub fn lines(reader: impl Read, mut each: impl FnMut(Line<'_>)) -> io::Result<()> {
    kallsyms::for_each_line(reader, |line| {
        each((line.address, line.kind, line.name, line.module));
    })
}

/// A symbol: first address, name, module (empty for the kernel proper).
pub type Named<'a> = (u64, &'a [u8], &'a str);

/// The symbols of one `/proc/kallsyms`.
#[derive(Debug)]
pub struct Kallsyms(Symbols);

impl Kallsyms {
    /// Reads it, with the text of `/proc/modules` and the ends of BPF functions by their beginnings.
    pub fn read(
        text: impl Read,
        modules: &str,
        functions: HashMap<u64, u64>,
    ) -> io::Result<Kallsyms> {
        let functions = functions
            .into_iter()
            .map(|(start, end)| (start, Function { end, program: 0 }));
        Symbols::read(text, true, &Ends::of(modules, functions.collect())).map(Kallsyms)
    }

    /// The symbol of the kernel proper that holds an address.
    pub fn core(&self, address: u64) -> Option<Named<'_>> {
        self.0.core.find(address).map(named)
    }

    /// The symbol of a module or program that holds an address.
    pub fn loaded(&self, address: u64) -> Option<Named<'_>> {
        self.0.loaded.find(address).map(named)
    }

    /// Whether the addresses are hidden.
    pub fn hidden(&self) -> bool {
        self.0.hidden
    }

    /// Address of `_text`.
    pub fn text(&self) -> Option<u64> {
        self.0.text
    }
}

fn named(symbol: Symbol<'_>) -> Named<'_> {
    (symbol.start, symbol.name, symbol.module)
}

/// Name, first address and last address plus one of each module in the text of `/proc/modules`.
pub fn modules_of(text: &str) -> Vec<(&str, u64, u64)> {
    modules(text).collect()
}

/// What is read of an ELF file.
#[derive(Debug, PartialEq, Eq)]
pub struct Elf {
    /// It has DWARF line information.
    pub has_lines: bool,
    /// Link-time address of `_text`.
    pub text: Option<u64>,
    /// Link-time address of `start_kernel`.
    pub start_kernel: Option<u64>,
    /// The build id.
    pub build_id: Option<Vec<u8>>,
}

/// Reads an ELF file.
pub fn elf(file: &File) -> anyhow::Result<Elf> {
    let elf::Elf {
        has_lines,
        text,
        start_kernel,
        build_id,
    } = elf::Elf::parse(file)?;
    Ok(Elf {
        has_lines,
        text,
        start_kernel,
        build_id,
    })
}

/// The build id among ELF notes.
pub fn build_id(notes: &[u8]) -> Option<Vec<u8>> {
    elf::build_id(notes)
}
