//! Symbols by address, kept small: 16 bytes a symbol and one arena for all names.

use std::collections::HashMap;

use super::kallsyms::Line;

/// An address range that the kernel names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbol<'a> {
    /// Its first address.
    pub(super) start: u64,
    /// As the kernel lists it.
    pub(super) name: &'a [u8],
    /// Module, or `bpf`; empty for the kernel proper.
    pub(super) module: &'a str,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    address: u64,
    /// Where the name starts in the arena, or [`GAP`].
    name: u32,
    /// Index into the modules.
    module: u16,
    /// Lower is better, among symbols of one address.
    rank: u16,
}

/// From this entry's address to the next one's there is no code.
const GAP: u32 = u32::MAX;

/// How far a symbol reaches when nothing says where it ends.
const UNKNOWN_SIZE: u64 = 4096;

/// Sorted symbols and the gaps between them; made by a [`Builder`].
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
    names: Vec<u8>,
    modules: Vec<Box<str>>,
}

impl Table {
    /// The symbol that holds an address; `None` before, between and behind all symbols.
    pub(super) fn find(&self, address: u64) -> Option<Symbol<'_>> {
        let after = self
            .entries
            .partition_point(|entry| entry.address <= address);
        let entry = self.entries.get(after.checked_sub(1)?)?;
        if entry.name == GAP {
            return None;
        }
        let name = self.names.get(entry.name as usize..)?;
        let length = name.iter().position(|&byte| byte == 0)?;
        let module = self.modules.get(usize::from(entry.module))?;
        Some(Symbol {
            start: entry.address,
            name: &name[..length],
            module,
        })
    }

    /// How many symbols there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.name != GAP)
            .count()
    }
}

/// Takes lines in any order; quick and small when they come sorted, as the kernel's own do.
#[derive(Debug)]
pub(super) struct Builder {
    table: Table,
    sorted: bool,
    /// Drop data symbols next to each other at once, as long as all come sorted.
    dense: bool,
    /// The greatest address so far, of a dropped symbol too.
    highest: u64,
    last_name: std::ops::Range<usize>,
    /// Places in the table's modules, but for that of the kernel proper.
    modules: HashMap<Vec<u8>, u16>,
    last_module: u16,
}

impl Builder {
    /// For symbols that come sorted (`dense`) or mostly not.
    pub(super) fn new(dense: bool) -> Builder {
        // Enough for most kernels: a table that grows is copied and leaves holes behind. What isn't
        // touched takes no memory.
        let (entries, names) = if dense { (1 << 17, 1 << 21) } else { (0, 0) };
        let table = Table {
            entries: Vec::with_capacity(entries),
            names: Vec::with_capacity(names),
            modules: vec!["".into()],
        };
        Builder {
            table,
            sorted: true,
            dense,
            highest: 0,
            last_name: 0..0,
            modules: HashMap::new(),
            last_module: 0,
        }
    }

    /// Adds a line: code as a symbol, anything else as the end of the code before it.
    pub(super) fn add(&mut self, line: Line<'_>) {
        let Line { address, name, .. } = line;
        if local_label(name) {
            return;
        }
        // Behind a symbol that may have been dropped, nothing says where code ends.
        let known = !self.dense || address >= self.highest;
        self.highest = self.highest.max(address);
        let code = line.is_code() && !end_marker(name) && known;
        let rank = if code { rank(&line) } else { u16::MAX };
        if let Some(last) = self.table.entries.last() {
            if last.address == address && last.rank <= rank {
                return;
            }
            let dense = self.dense && self.sorted;
            if !code && dense && last.name == GAP && last.address < address {
                return;
            }
            self.sorted &= last.address <= address;
        }
        let (name, module) = if code {
            match (
                self.intern_name(name),
                self.intern_module(line.module.unwrap_or(b"")),
            ) {
                (Some(name), Some(module)) => (name, module),
                // More than 4 GiB of names or 65,535 modules.
                _ => return,
            }
        } else {
            (GAP, 0)
        };
        let entry = Entry {
            address,
            name,
            module,
            rank,
        };
        match self.table.entries.last_mut() {
            Some(last) if last.address == address => *last = entry,
            _ => self.table.entries.push(entry),
        }
    }

    /// The table. `end` gives the first address behind a symbol of a module, where that is known.
    pub(super) fn finish(mut self, end: impl Fn(Symbol<'_>) -> Option<u64>) -> Table {
        let entries = &mut self.table.entries;
        if !self.sorted {
            // Stable: at equal rank the first one in the file stays.
            entries.sort_by_key(|entry| (entry.address, entry.rank));
            entries.dedup_by_key(|entry| entry.address);
        }
        let bounded = |entry: &Entry| entry.name != GAP && entry.module != 0;
        if entries.iter().any(bounded) {
            let before = std::mem::take(entries);
            let mut after: Vec<Entry> = Vec::with_capacity(before.len() + 16);
            for (i, entry) in before.iter().enumerate() {
                after.push(*entry);
                let Some(next) = before.get(i + 1) else {
                    continue;
                };
                if bounded(entry) {
                    let end = self.end_of(entry, &end);
                    if end < next.address {
                        after.push(Entry {
                            address: end,
                            name: GAP,
                            module: 0,
                            rank: u16::MAX,
                        });
                    }
                }
            }
            self.table.entries = after;
        }
        if let Some(last) = self.table.entries.last().copied()
            && last.name != GAP
        {
            let end = self.end_of(&last, &end);
            self.table.entries.push(Entry {
                address: end,
                name: GAP,
                module: 0,
                rank: u16::MAX,
            });
        }
        self.table.entries.shrink_to_fit();
        self.table.names.shrink_to_fit();
        self.table
    }

    fn end_of(&self, entry: &Entry, end: &impl Fn(Symbol<'_>) -> Option<u64>) -> u64 {
        let name = &self.table.names[entry.name as usize..];
        let length = name
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(name.len());
        let module = &self.table.modules[usize::from(entry.module)];
        let symbol = Symbol {
            start: entry.address,
            name: &name[..length],
            module,
        };
        end(symbol)
            .filter(|&end| end > entry.address)
            .unwrap_or(entry.address.saturating_add(UNKNOWN_SIZE))
    }

    /// Half of x86's names are `__pfx_` and the next function's name: the second one is stored
    /// as the tail of the first.
    fn intern_name(&mut self, name: &[u8]) -> Option<u32> {
        let names = &mut self.table.names;
        if names[self.last_name.clone()].ends_with(name) {
            return u32::try_from(self.last_name.end - name.len()).ok();
        }
        let start = names.len();
        names.extend_from_slice(name);
        self.last_name = start..names.len();
        names.push(0);
        u32::try_from(start).ok().filter(|&start| start != GAP)
    }

    fn intern_module(&mut self, name: &[u8]) -> Option<u16> {
        let modules = &mut self.table.modules;
        if modules[usize::from(self.last_module)].as_bytes() != name {
            self.last_module = match self.modules.get(name) {
                _ if name.is_empty() => 0,
                Some(&known) => known,
                None => {
                    let new = u16::try_from(modules.len()).ok()?;
                    modules.push(String::from_utf8_lossy(name).into());
                    self.modules.insert(name.to_vec(), new);
                    new
                }
            };
        }
        Some(self.last_module)
    }
}

/// Labels of the assembler and arm64's mapping symbols, which older kernels list for modules.
fn local_label(name: &[u8]) -> bool {
    name.starts_with(b"$") || name.starts_with(b".L")
}

/// Marks of the linker script behind the last function of a section
/// (include/asm-generic/vmlinux.lds.h).
fn end_marker(name: &[u8]) -> bool {
    name == b"_etext" || name == b"_einittext" || name.ends_with(b"_text_end")
}

/// Which of several names of one address to show: a function's before a section's, a global one
/// before a local one, then the one with fewer underscores in front, then the shortest.
fn rank(line: &Line<'_>) -> u16 {
    let name = line.name;
    let marker = matches!(name, b"_text" | b"_stext" | b"_sinittext" | b"__pi__text")
        || name.ends_with(b"_text_start")
        || name.starts_with(b"__pfx_");
    let local = line.kind.is_ascii_lowercase();
    let underscores = name
        .iter()
        .take_while(|&&byte| byte == b'_')
        .count()
        .min(15);
    let length = name.len().min(1022);
    // At most 15 * 1024 + 1022 + 49152, below the rank of a gap.
    (u16::from(marker) << 15)
        | (u16::from(local) << 14)
        | (underscores as u16) << 10
        | length as u16
}

#[cfg(test)]
mod tests;
