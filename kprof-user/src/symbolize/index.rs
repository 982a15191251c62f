//! All symbols of the running kernel: its own, read once, and those of modules and BPF programs, which
//! come and go.

use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::gone::Gone;
use super::kallsyms::for_each_line;
use super::loaded::{Ends, Loaded};
use super::table::{Builder, Symbol, Table};
use crate::profile::UnknownReason;

/// Where the kernel lists its symbols.
const KALLSYMS: &str = "/proc/kallsyms";

/// Where BPF programs can't be listed, changes can't be seen and the symbols are read again this often.
const BLIND_INTERVAL: Duration = Duration::from_secs(1);

/// What `/proc/kallsyms` held.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    /// The kernel proper.
    pub(super) core: Table,
    /// Everything with a module's name.
    pub(super) loaded: Table,
    /// Address of `_text`.
    pub(super) text: Option<u64>,
    /// There are symbols, but all at address 0.
    pub(super) hidden: bool,
}

impl Symbols {
    /// Parses the list. Reads the kernel's own symbols only if `core` is set.
    pub(super) fn read(reader: impl Read, core: bool, ends: &Ends) -> io::Result<Symbols> {
        let mut kernel = Builder::new(true);
        let mut loaded = Builder::new(false);
        let mut text = None;
        let (mut shown, mut zero) = (0usize, 0usize);
        for_each_line(reader, |line| {
            if line.address == 0 {
                zero += usize::from(line.is_code());
                return;
            }
            shown += usize::from(line.is_code());
            if line.module.is_some() {
                loaded.add(line);
            } else if core {
                if line.name == b"_text" {
                    text = Some(line.address);
                }
                kernel.add(line);
            }
        })?;
        Ok(Symbols {
            core: kernel.finish(|_| None),
            loaded: loaded.finish(|symbol| ends.end(symbol)),
            text,
            hidden: shown == 0 && zero > 0,
        })
    }
}

/// Whether the loaded symbols are those of the window at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing was loaded or unloaded since the last look.
    None,
    /// What was found at these symbols before may not hold.
    Reread,
}

/// The symbols of the running kernel, kept up to date.
#[derive(Debug)]
pub(super) struct Index {
    symbols: Symbols,
    /// The loaded symbols before the last change, while the window lasts in which it happened.
    before: Option<Table>,
    seen: Loaded,
    read_at: Instant,
    /// Read for the window at hand.
    fresh: bool,
    missing: bool,
    /// The symbols of BPF programs may be out of date.
    blind: bool,
    /// What went while samples were taken and before the symbols were read, in the first window.
    gone: Gone,
}

impl Index {
    /// Reads everything: some 40 ms. `gone` was looked at while samples were taken that are named from now on.
    pub(super) fn read(mut gone: Gone) -> Index {
        // Looked at first: what is loaded while the symbols are read must show as a change.
        let seen = Loaded::now();
        let symbols = Self::kallsyms(true, &seen);
        gone.look_again();
        Index {
            missing: symbols.is_err(),
            symbols: symbols.unwrap_or_default(),
            before: None,
            seen,
            read_at: Instant::now(),
            fresh: true,
            blind: false,
            gone,
        }
    }

    fn kallsyms(core: bool, seen: &Loaded) -> io::Result<Symbols> {
        Symbols::read(File::open(KALLSYMS)?, core, &Ends::now(seen))
    }

    /// A function of the kernel proper; its name holds for as long as the kernel runs.
    pub(super) fn core(&self, address: u64) -> Option<Symbol<'_>> {
        self.symbols.core.find(address)
    }

    /// A function of a module or a BPF program. `None` as well for an address at which one replaced
    /// another while the samples at hand were taken, since either may have been hit.
    pub(super) fn loaded(&self, address: u64) -> Option<Symbol<'_>> {
        let now = self.symbols.loaded.find(address)?;
        if self.blind && now.module == "bpf" {
            return None;
        }
        match self.before.as_ref().and_then(|before| before.find(address)) {
            Some(before) if before != now => None,
            _ if self.gone.held(address) => None,
            _ => Some(now),
        }
    }

    /// Why an address that is in neither has no name.
    pub(super) fn reason(&self) -> UnknownReason {
        if self.missing {
            UnknownReason::NoSymbols
        } else if self.symbols.hidden {
            UnknownReason::SymbolsHidden
        } else {
            UnknownReason::OutsideSymbols
        }
    }

    /// Address of the kernel's first byte.
    pub(super) fn text(&self) -> Option<u64> {
        self.symbols.text
    }

    /// Looks whether modules or programs changed, and if so reads their symbols again.
    pub(super) fn refresh(&mut self) -> Change {
        if self.fresh || self.missing || self.symbols.hidden {
            return Change::None;
        }
        let now = Loaded::now();
        if now.lists_programs() || !now.same_modules(&self.seen) {
            if now == self.seen {
                return Change::None;
            }
        } else if self.read_at.elapsed() < BLIND_INTERVAL {
            self.blind = true;
            return Change::Reread;
        }
        match Self::kallsyms(false, &now) {
            Ok(symbols) => {
                self.before = Some(std::mem::replace(&mut self.symbols.loaded, symbols.loaded));
                self.seen = now;
                self.read_at = Instant::now();
            }
            Err(_) => self.blind = true,
        }
        Change::Reread
    }

    /// Ends the window: what was replaced in it is forgotten. Says whether anything was.
    pub(super) fn end_window(&mut self) -> bool {
        self.fresh = false;
        let went = !std::mem::take(&mut self.gone).is_empty();
        went | self.before.take().is_some() | std::mem::take(&mut self.blind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(before: Option<&str>, now: &str) -> Index {
        let read = |text: &str| Symbols::read(text.as_bytes(), true, &Ends::default()).unwrap();
        Index {
            symbols: read(now),
            before: before.map(|text| read(text).loaded),
            seen: Loaded::now(),
            read_at: Instant::now(),
            fresh: false,
            missing: false,
            blind: false,
            gone: Gone::default(),
        }
    }

    #[test]
    fn hidden_addresses_are_told_from_missing_ones() {
        let hidden = "0000000000000000 T _text\n0000000000000000 t f\t[mod]\n";
        assert_eq!(index(None, hidden).reason(), UnknownReason::SymbolsHidden);
        assert_eq!(index(None, hidden).loaded(0), None);
        assert_eq!(
            index(None, "1000 T f\n").reason(),
            UnknownReason::OutsideSymbols
        );
        // The per-CPU symbols of older x86 kernels are at 0 in good order.
        let percpu = "0000000000000000 A fixed_percpu_data\n1000 T _text\n1000 T f\n";
        let shown = index(None, percpu);
        assert_eq!(
            (shown.reason(), shown.text()),
            (UnknownReason::OutsideSymbols, Some(0x1000))
        );
    }

    #[test]
    fn a_program_never_has_the_name_of_another_at_its_address() {
        let one = "8000 t bpf_prog_1\t[bpf]\n";
        let two = "8000 t bpf_prog_2\t[bpf]\n";
        let mut replaced = index(Some(one), two);
        assert_eq!(
            replaced.loaded(0x8010),
            None,
            "either may have been sampled"
        );
        assert!(replaced.end_window());
        assert_eq!(
            replaced.loaded(0x8010).map(|symbol| symbol.name),
            Some(&b"bpf_prog_2"[..])
        );
        assert!(!replaced.end_window());
        assert!(index(Some(one), one).loaded(0x8010).is_some());
        assert!(index(Some(""), one).loaded(0x8010).is_some());
        assert!(index(Some(one), "").loaded(0x8010).is_none());
    }

    #[test]
    fn programs_that_cannot_be_checked_have_no_names_and_modules_keep_theirs() {
        let mut index = index(None, "8000 t bpf_prog_1\t[bpf]\na000 t f\t[mod]\n");
        index.blind = true;
        assert_eq!(index.loaded(0x8000), None);
        assert!(index.loaded(0xa000).is_some());
    }
}
