//! One lookup per distinct address.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use anyhow::Result;

use super::Options;
use super::index::{Change, Index};
use super::lines::Lines;
use super::table::Symbol;
use crate::profile::{Frame, FrameId, Marker, Profile, marker};

/// What was found at an address: places in the list of frames, innermost first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    start: u32,
    length: u32,
}

/// A frame and what is known about it once and for all.
#[derive(Debug)]
struct Known {
    frame: Frame,
    marker: Option<Marker>,
    interrupt_entry: bool,
    /// Its id in the profile it was last put into.
    id: FrameId,
}

/// Frames by address, found once.
#[derive(Debug)]
pub(super) struct Addresses {
    lines: Option<Lines>,
    index: Option<Index>,
    /// Distinct frames.
    known: Vec<Known>,
    by_frame: HashMap<Frame, u32>,
    /// Indices into `known`; a [`Found`] is a range of them.
    found: Vec<u32>,
    /// Addresses in the kernel proper: for the whole run.
    core: AddressMap,
    /// All others: until modules or programs change.
    loaded: AddressMap,
    checked: bool,
}

type AddressMap = HashMap<u64, Found, BuildHasherDefault<AddressHasher>>;

impl Addresses {
    /// Finds the vmlinux, if one is wanted.
    pub(super) fn new(options: Options) -> Result<Addresses> {
        let lines = options
            .lines
            .then(|| Lines::open(options.vmlinux.as_deref()))
            .transpose()?;
        Ok(Addresses {
            lines,
            index: None,
            known: Vec::new(),
            by_frame: HashMap::new(),
            found: Vec::new(),
            core: AddressMap::default(),
            loaded: AddressMap::default(),
            checked: false,
        })
    }

    /// What is at an address.
    pub(super) fn look_up(&mut self, address: u64) -> Found {
        if let Some(&found) = self.core.get(&address) {
            return found;
        }
        let index = self.index.get_or_insert_with(Index::read);
        if let Some(symbol) = index.core(address) {
            let frames = match self.lines.as_mut().zip(index.text()) {
                Some((lines, text)) => lines.frames(address, text, symbol),
                None => vec![named(symbol)],
            };
            let found = self.remember(frames);
            self.core.insert(address, found);
            return found;
        }
        // Modules and programs come and go: one cheap look a window, and only if it holds any.
        if !std::mem::replace(&mut self.checked, true) && index.refresh() == Change::Reread {
            self.loaded.clear();
        }
        if let Some(&found) = self.loaded.get(&address) {
            return found;
        }
        let frame = match index.loaded(address) {
            Some(symbol) => named(symbol),
            None => Frame::Unknown {
                address,
                reason: index.reason(),
            },
        };
        let found = self.remember(vec![frame]);
        self.loaded.insert(address, found);
        found
    }

    /// Ends the window.
    pub(super) fn end_window(&mut self) {
        self.checked = false;
        if self.index.as_mut().is_some_and(Index::end_window) {
            self.loaded.clear();
        }
    }

    /// The frames of a place, innermost first, with what they tell about the context.
    pub(super) fn frames(&self, found: Found) -> impl Iterator<Item = (&Frame, Option<Marker>)> {
        self.found[range(found)].iter().map(|&known| {
            let known = &self.known[known as usize];
            (&known.frame, known.marker)
        })
    }

    /// Whether the address around this one, on the stack, is where an interrupt or exception hit.
    pub(super) fn is_interrupt_entry(&self, found: Found) -> bool {
        let outermost = self.found[range(found)].last();
        outermost.is_some_and(|&known| self.known[known as usize].interrupt_entry)
    }

    /// Appends the frames of a place to a stack that is being built innermost first.
    pub(super) fn intern(&mut self, found: Found, profile: &mut Profile, stack: &mut Vec<FrameId>) {
        for &known in &self.found[range(found)] {
            let known = &mut self.known[known as usize];
            // The same profile as last time, nearly always.
            let (frames, _, _) = profile.sizes();
            if known.id.0 as usize >= frames || *profile.frame(known.id) != known.frame {
                known.id = profile.intern_frame(known.frame.clone());
            }
            stack.push(known.id);
        }
    }

    fn remember(&mut self, frames: Vec<Frame>) -> Found {
        // 2^32 frames would not fit into memory.
        let found = Found {
            start: self.found.len() as u32,
            length: frames.len() as u32,
        };
        for frame in frames {
            let known = *self.by_frame.entry(frame).or_insert_with_key(|frame| {
                let function = frame.function().unwrap_or_default();
                self.known.push(Known {
                    marker: marker(function),
                    interrupt_entry: interrupt_entry(function),
                    frame: frame.clone(),
                    id: FrameId(u32::MAX),
                });
                (self.known.len() - 1) as u32
            });
            self.found.push(known);
        }
        found
    }
}

fn range(found: Found) -> Range<usize> {
    found.start as usize..(found.start + found.length) as usize
}

/// A frame with a symbol's name.
pub(super) fn named(symbol: Symbol<'_>) -> Frame {
    Frame::Named {
        name: String::from_utf8_lossy(symbol.name).into_owned(),
        module: (!symbol.module.is_empty()).then(|| symbol.module.to_owned()),
        line: None,
        inlined: false,
    }
}

/// The assembler's entries of interrupts and exceptions: x86 since Linux 5.8 (arch/x86/entry), arm64
/// until 5.12 and since (arch/arm64/kernel/entry.S).
fn interrupt_entry(function: &str) -> bool {
    function.starts_with("asm_")
        || function.starts_with("el1h_64_")
        || matches!(function, "el1_irq" | "el1_sync" | "el1_error")
}

/// Kernel addresses are spread well enough by one multiplication.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value) * 0x9e37_79b9_7f4a_7c15_u128;
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }
}
