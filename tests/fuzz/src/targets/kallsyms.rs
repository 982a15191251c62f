//! `/proc/kallsyms`, `/proc/modules` and the ends of BPF functions, as one input with NULs between them.

use std::collections::HashMap;
use std::io::{self, Read};

use kprof::symbolize::fuzz::{Kallsyms, lines, modules_of};

use super::{MIB, split, text};
use crate::Target;

pub(super) const KALLSYMS: Target = Target {
    name: "kallsyms",
    check,
    // Tables are made for a kernel's 130,000 symbols at once.
    memory: (8 * MIB, 2_000),
};

/// How far a symbol reaches when nothing says where it ends.
const UNKNOWN_SIZE: u64 = 4096;
/// Lines beyond which the slow comparison is left out.
const COMPARED: usize = 500;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    address: u64,
    kind: u8,
    name: Vec<u8>,
    module: Option<Vec<u8>>,
}

impl Line {
    fn is_code(&self) -> bool {
        let mark = self.name == b"_etext"
            || self.name == b"_einittext"
            || self.name.ends_with(b"_text_end");
        b"tTwW".contains(&self.kind) && !mark
    }

    fn is_label(&self) -> bool {
        self.name.starts_with(b"$") || self.name.starts_with(b".L")
    }
}

fn check(data: &[u8]) {
    let (symbols, rest) = split(data);
    let (modules, functions) = split(rest);
    let read = read(symbols);
    assert_eq!(
        read,
        read_by(Trickle(symbols, data.len() % 61 + 1)),
        "lines by pieces"
    );
    if symbols
        .split(|&c| c == b'\n')
        .all(|line| line.len() < 16 * 1024)
    {
        let plain: Vec<Line> = symbols.split(|&c| c == b'\n').filter_map(parse).collect();
        assert_eq!(read, plain, "lines as a plain reader has them");
    }

    let modules = text(modules);
    let functions: HashMap<u64, u64> = functions
        .chunks_exact(16)
        .map(|pair| {
            let (start, len) = pair.split_at(8);
            let start = u64::from_le_bytes(start.try_into().expect("8 bytes"));
            let len = u64::from_le_bytes(len.try_into().expect("8 bytes"));
            (start, start.saturating_add(len))
        })
        .collect();
    let table = Kallsyms::read(symbols, &modules, functions.clone()).expect("a slice can be read");
    let shown = |zero: bool| {
        read.iter()
            .any(|l| b"tTwW".contains(&l.kind) && (l.address == 0) == zero)
    };
    assert_eq!(table.hidden(), shown(true) && !shown(false));
    let text = read
        .iter()
        .rfind(|l| l.module.is_none() && l.name == b"_text" && l.address != 0);
    assert_eq!(table.text(), text.map(|l| l.address));

    if read.len() > COMPARED {
        return;
    }
    let known = |line: &&Line| line.address != 0 && !line.is_label();
    let (core, loaded): (Vec<&Line>, Vec<&Line>) =
        read.iter().filter(known).partition(|l| l.module.is_none());
    let modules: HashMap<&str, (u64, u64)> = modules_of(&modules)
        .into_iter()
        .map(|(n, s, e)| (n, (s, e)))
        .collect();
    let end = |start: u64, module: &str| {
        functions.get(&start).copied().or_else(|| {
            let &(first, end) = modules.get(module)?;
            (first..end).contains(&start).then_some(end)
        })
    };
    let sorted = core.is_sorted_by_key(|l| l.address);
    for address in probes(&core) {
        judge(&core, address, table.core(address), sorted, |_, _| None);
    }
    for address in probes(&loaded) {
        judge(&loaded, address, table.loaded(address), true, end);
    }
}

/// Addresses at and beside those of the lines.
fn probes(lines: &[&Line]) -> Vec<u64> {
    let beside = |l: &&Line| {
        [0, 1, u64::MAX, UNKNOWN_SIZE - 1, UNKNOWN_SIZE].map(|by| l.address.wrapping_add(by))
    };
    lines.iter().flat_map(beside).chain([0, u64::MAX]).collect()
}

/// Compares what was found at an address with what a look at every line finds.
fn judge(
    lines: &[&Line],
    address: u64,
    found: Option<(u64, &[u8], &str)>,
    whole: bool,
    end: impl Fn(u64, &str) -> Option<u64>,
) {
    let start = lines
        .iter()
        .map(|l| l.address)
        .filter(|&at| at <= address)
        .max();
    let next = lines
        .iter()
        .map(|l| l.address)
        .filter(|&at| at > address)
        .min();
    if let Some((at, name, module)) = found {
        assert_eq!(
            Some(at),
            start,
            "{address:#x} has a name past the next symbol's address"
        );
        let is_there = lines.iter().any(|l| {
            let same = text(l.module.as_deref().unwrap_or_default()) == module;
            l.address == at && l.is_code() && l.name == name && same
        });
        assert!(
            is_there,
            "{address:#x}: {:?} [{module}] is not listed",
            text(name)
        );
        let end = end(at, module)
            .filter(|&end| end > at)
            .unwrap_or(at.saturating_add(UNKNOWN_SIZE));
        if next.is_none() || !module.is_empty() {
            assert!(
                address < end,
                "{address:#x} has a name past the end of {:?}",
                text(name)
            );
        }
    } else if whole && address != u64::MAX {
        // Code at its first byte always has a name.
        let there = lines.iter().any(|l| l.address == address && l.is_code());
        assert!(!there, "{address:#x} has no name");
    }
}

fn read(symbols: &[u8]) -> Vec<Line> {
    read_by(symbols)
}

fn read_by(reader: impl Read) -> Vec<Line> {
    let mut all = Vec::new();
    lines(reader, |(address, kind, name, module)| {
        all.push(Line {
            address,
            kind,
            name: name.to_vec(),
            module: module.map(<[u8]>::to_vec),
        });
    })
    .expect("a slice can be read");
    all
}

/// A line by the book: `ADDRESS KIND NAME`, and perhaps a tab and `[MODULE]`.
fn parse(line: &[u8]) -> Option<Line> {
    let mut words = line.splitn(3, |&c| c == b' ');
    let digits = std::str::from_utf8(words.next()?).ok()?;
    if digits.len() > 16 || digits.starts_with('+') {
        return None;
    }
    let address = u64::from_str_radix(digits, 16).ok()?;
    let &[kind] = words.next()? else {
        return None;
    };
    let rest = words.next()?;
    let mut parts = rest.splitn(2, |&c| c == b'\t');
    let name = parts.next()?.to_vec();
    let module = match parts.next() {
        None => None,
        Some(part) => {
            let part = part.trim_ascii();
            Some(part.strip_prefix(b"[")?.strip_suffix(b"]")?.to_vec())
        }
    };
    (!name.is_empty() && kind.is_ascii_alphabetic()).then_some(Line {
        address,
        kind,
        name,
        module,
    })
}

/// Gives so many bytes at a time.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.1.min(buffer.len()).min(self.0.len());
        buffer[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}
