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
mod tests {
    use super::*;
    use crate::symbolize::kallsyms::for_each_line;

    fn table(text: &str, dense: bool, end: impl Fn(Symbol<'_>) -> Option<u64>) -> Table {
        let mut builder = Builder::new(dense);
        for_each_line(text.as_bytes(), |line| builder.add(line)).unwrap();
        builder.finish(end)
    }

    fn name(table: &Table, address: u64) -> Option<String> {
        table
            .find(address)
            .map(|symbol| String::from_utf8_lossy(symbol.name).into_owned())
    }

    #[test]
    fn a_symbol_ends_where_the_next_one_or_its_section_does() {
        let text = "1000 T _text\n1000 T first\n1100 t second\n1200 T _etext\n\
                    1300 D data\n1400 d more\n1500 t init\n1600 T _einittext\n";
        for dense in [true, false] {
            let table = table(text, dense, |_| None);
            assert_eq!(name(&table, 0xfff), None);
            assert_eq!(name(&table, 0x1000).as_deref(), Some("first"));
            assert_eq!(name(&table, 0x10ff).as_deref(), Some("first"));
            assert_eq!(name(&table, 0x11ff).as_deref(), Some("second"));
            for gap in [0x1200, 0x12ff, 0x1300, 0x14ff, 0x1600, u64::MAX] {
                assert_eq!(name(&table, gap), None, "{gap:#x}");
            }
            assert_eq!(name(&table, 0x15ff).as_deref(), Some("init"));
            assert_eq!(table.len(), 3);
        }
    }

    #[test]
    fn the_last_symbol_reaches_one_page_at_most() {
        let table = table("1000 T only\n", true, |_| None);
        assert_eq!(name(&table, 0x1fff).as_deref(), Some("only"));
        assert_eq!(name(&table, 0x2000), None);
    }

    #[test]
    fn modules_and_programs_end_where_they_say() {
        let text =
            "9000 t f\t[mod]\n8000 t bpf_prog_1\t[bpf]\n9800 t g\t[mod]\n8800 t unsized\t[bpf]\n";
        let table = table(text, false, |symbol| match symbol.module {
            "mod" => Some(0x9900),
            _ if symbol.name == b"bpf_prog_1" => Some(0x8080),
            _ => None,
        });
        assert_eq!(table.find(0x9100).map(|symbol| symbol.module), Some("mod"));
        assert_eq!(name(&table, 0x807f).as_deref(), Some("bpf_prog_1"));
        assert_eq!(name(&table, 0x8080), None);
        assert_eq!(name(&table, 0x8fff).as_deref(), Some("unsized"));
        assert_eq!(name(&table, 0x98ff).as_deref(), Some("g"));
        assert_eq!(name(&table, 0x9900), None);
    }

    #[test]
    fn a_functions_name_is_preferred_to_a_sections_and_a_global_one_to_a_local_one() {
        let text = "1000 T __softirqentry_text_start\n1000 T __do_softirq\n1000 t do_softirq_local\n\
                    2000 t __do_sys_fork\n2000 T __ia32_sys_fork\n2000 T __x64_sys_fork\n\
                    3000 T __memcpy\n3000 W memcpy\n4000 T _etext\n";
        for dense in [true, false] {
            let table = table(text, dense, |_| None);
            assert_eq!(name(&table, 0x1001).as_deref(), Some("__do_softirq"));
            assert_eq!(name(&table, 0x2001).as_deref(), Some("__x64_sys_fork"));
            assert_eq!(name(&table, 0x3001).as_deref(), Some("memcpy"));
        }
    }

    #[test]
    fn code_out_of_order_has_no_name_where_its_end_may_have_been_dropped() {
        let text = "1000 D data\n3000 d dropped\n2000 t late\n2800 t later\n3000 T there\n";
        let found = |dense| {
            let table = table(text, dense, |_| None);
            [0x2000, 0x2fff, 0x3000].map(|address| name(&table, address))
        };
        let there = Some("there".to_owned());
        assert_eq!(found(true), [None, None, there.clone()]);
        assert_eq!(
            found(false),
            [Some("late".into()), Some("later".into()), there]
        );

        let table = table("9 T code\n5 d data\ne d end\n", true, |_| None);
        assert_eq!(name(&table, 0xd).as_deref(), Some("code"));
        assert_eq!(name(&table, 0xe), None);
    }

    #[test]
    fn names_share_their_tails() {
        let table = table(
            "1000 t __pfx_vfs_read\n1010 T vfs_read\n2000 T ead\n",
            true,
            |_| None,
        );
        assert_eq!(name(&table, 0x1000).as_deref(), Some("__pfx_vfs_read"));
        assert_eq!(name(&table, 0x1010).as_deref(), Some("vfs_read"));
        assert_eq!(name(&table, 0x2000).as_deref(), Some("ead"));
        assert_eq!(table.names.len(), "__pfx_vfs_read\0".len());
    }

    /// xorshift64, so that the inputs below are the same every time.
    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn finds_what_a_plain_scan_finds() {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        for round in 0..100 {
            let mut symbols: Vec<(u64, bool, u64)> = (0..random(&mut state) % 60)
                .map(|id| {
                    (
                        random(&mut state) % 512 + 1,
                        !random(&mut state).is_multiple_of(4),
                        id,
                    )
                })
                .collect();
            let sorted = round % 2 == 0;
            if sorted {
                symbols.sort();
            }
            let mut text = String::new();
            for (address, code, id) in &symbols {
                let kind = if *code { 't' } else { 'd' };
                text += &format!("{address:x} {kind} name{id:02}\n");
            }
            let table = table(&text, sorted, |_| None);
            for address in (0..530).chain(4096..4626) {
                // The greatest address at or below; of its code names the first of the file.
                let start = symbols
                    .iter()
                    .map(|s| s.0)
                    .filter(|&start| start <= address)
                    .max();
                let expected = start.and_then(|start| {
                    let last = symbols.iter().all(|s| s.0 <= start);
                    let found = symbols.iter().find(|s| s.0 == start && s.1)?;
                    (!last || address - start < UNKNOWN_SIZE).then(|| format!("name{:02}", found.2))
                });
                assert_eq!(name(&table, address), expected, "{address:#x} in\n{text}");
            }
        }
    }
}
