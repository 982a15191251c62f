//! What was loaded into the kernel after it started: modules and BPF programs.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::bpf::{self, Function};
use super::table::{End, Symbol};
use crate::kernel::bpf_syscall;

/// A cheap picture of all loaded code: two that are equal mean that the symbols are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loaded {
    modules: u64,
    /// `None` where the kernel won't list them.
    programs: Option<Vec<u32>>,
    links: Option<Vec<u32>>,
}

impl Loaded {
    /// Looks at the running kernel. Costs some 100 µs.
    pub(super) fn now() -> Loaded {
        let mut hasher = DefaultHasher::new();
        for (name, start, end) in modules(&read_modules()) {
            (name, start, end).hash(&mut hasher);
        }
        Loaded {
            modules: hasher.finish(),
            programs: bpf_syscall::program_ids(),
            links: bpf_syscall::link_ids(),
        }
    }

    /// Whether the modules are the same.
    pub(super) fn same_modules(&self, other: &Loaded) -> bool {
        self.modules == other.modules
    }

    /// Whether a comparison says anything about BPF programs.
    pub(super) fn lists_programs(&self) -> bool {
        self.programs.is_some()
    }

    /// Ids of the loaded programs; none where they can't be listed.
    pub(super) fn programs(&self) -> &[u32] {
        self.programs.as_deref().unwrap_or_default()
    }
}

/// Where the code of modules and BPF programs ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    /// First address and last one plus one, by name.
    pub(super) modules: HashMap<String, (u64, u64)>,
    /// By first address.
    pub(super) functions: HashMap<u64, Function>,
}

impl Ends {
    /// Reads `/proc/modules` and asks for each program's length.
    pub(super) fn now(loaded: &Loaded) -> Ends {
        Ends::of(&read_modules(), bpf::functions(loaded.programs()))
    }

    /// From the text of `/proc/modules`, and each function of a program by its first address.
    pub(super) fn of(text: &str, functions: HashMap<u64, Function>) -> Ends {
        let modules = modules(text)
            .map(|(name, start, end)| (name.to_owned(), (start, end)))
            .collect();
        Ends { modules, functions }
    }

    /// Where a symbol ends, as far as its module or program tells.
    pub(super) fn end(&self, symbol: Symbol<'_>) -> Option<End> {
        if let Some(function) = self.functions.get(&symbol.start) {
            return Some(End::At(function.end));
        }
        let &(start, end) = self.modules.get(symbol.module)?;
        (start..end)
            .contains(&symbol.start)
            .then_some(End::Within(end))
    }
}

/// Empty in a kernel that has no modules.
fn read_modules() -> String {
    fs::read_to_string("/proc/modules").unwrap_or_default()
}

/// Name, first address and last address plus one of each line: `name size users deps state address`.
///
/// From Linux 6.4 on a module's parts lie apart; the size is of all of them, and the address that of
/// its code (kernel/module/procfs.c). The end is then an upper bound.
pub(super) fn modules(text: &str) -> impl Iterator<Item = (&str, u64, u64)> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let name = words.next()?;
        let size: u64 = words.next()?.parse().ok()?;
        let address = words.nth(3)?;
        let start = u64::from_str_radix(address.strip_prefix("0x")?, 16).ok()?;
        Some((name, start, start.checked_add(size)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_read_and_garbage_is_skipped() {
        let text = "nf_conntrack 180224 3 nf_nat,nft_ct, Live 0xffffffffc0a00000\n\
                    junk\n\nbig 1 0 - Live 0xffffffffffffffff\n\
                    zfs 4096 0 - Live 0xffffffffc0b00000 (OE)\n";
        let found: Vec<_> = modules(text).collect();
        assert_eq!(
            found[0],
            ("nf_conntrack", 0xffff_ffff_c0a0_0000, 0xffff_ffff_c0a2_c000)
        );
        assert_eq!(found[1].0, "zfs");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn looking_twice_gives_the_same_answer_or_none() {
        // Other tests may load programs meanwhile; this must only never fail or hang.
        let loaded = Loaded::now();
        let ends = Ends::now(&loaded);
        assert!(
            ends.functions
                .iter()
                .all(|(start, function)| *start < function.end)
        );
        if !loaded.lists_programs() {
            crate::skip::skip!("BPF programs can't be listed (needs CAP_SYS_ADMIN)");
        }
    }
}
