//! One lookup per distinct address.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use anyhow::Result;

use super::Options;
use super::gone::Gone;
use super::index::{Change, Index};
use super::lines::Lines;
use super::table::Symbol;
use crate::profile::{Frame, FrameId, Marker, Profile, marker};

/// What was found at an address: places in the list of frames.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    /// One frame.
    One(u32),
    /// A function and what was inlined into it, innermost first: a range of `inlined`.
    Inlined { start: u32, end: u32 },
}

/// A frame and what is known about it once and for all.
#[derive(Debug)]
struct Known {
    frame: Frame,
    marker: Option<Marker>,
    interrupt_entry: bool,
    /// Its id in the profile of window number `window`, or of one before it.
    id: FrameId,
    window: u64,
}

/// Frames by address, found once.
#[derive(Debug)]
pub(super) struct Addresses {
    lines: Option<Lines>,
    index: Option<Index>,
    /// What went until the index is read.
    gone: Gone,
    known: Vec<Known>,
    /// Indices into `known` by the function's start, for functions of the kernel proper.
    by_start: AddressMap<u32>,
    /// Indices into `known`, for everything else.
    by_frame: HashMap<Frame, u32>,
    inlined: Vec<u32>,
    /// Addresses in the kernel proper: for the whole run.
    core: AddressMap<Found>,
    /// All others: until modules or programs change.
    loaded: AddressMap<Found>,
    /// Counts windows.
    window: u64,
    /// The window's one look at what changed was taken.
    checked: bool,
}

type AddressMap<T> = HashMap<u64, T, BuildHasherDefault<AddressHasher>>;

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
            gone: Gone::default(),
            known: Vec::new(),
            by_start: AddressMap::default(),
            by_frame: HashMap::new(),
            inlined: Vec::new(),
            core: AddressMap::default(),
            loaded: AddressMap::default(),
            window: 1,
            checked: false,
        })
    }

    /// Takes down what is loaded, as long as its symbols were not read.
    pub(super) fn look(&mut self) {
        if self.index.is_none() {
            self.gone.look();
        }
    }

    /// What is at an address.
    pub(super) fn look_up(&mut self, address: u64) -> Found {
        if let Some(&found) = self.core.get(&address) {
            return found;
        }
        let gone = &mut self.gone;
        let index = self
            .index
            .get_or_insert_with(|| Index::read(std::mem::take(gone)));
        if let Some(symbol) = index.core(address) {
            let found = match self.lines.as_mut().zip(index.text()) {
                Some((lines, text)) => {
                    let frames = lines.frames(address, text, symbol);
                    self.remember_all(frames)
                }
                None => {
                    let known = &mut self.known;
                    Found::One(
                        *self
                            .by_start
                            .entry(symbol.start)
                            .or_insert_with(|| add(known, named(symbol))),
                    )
                }
            };
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
        let found = Found::One(self.remember(frame));
        self.loaded.insert(address, found);
        found
    }

    /// Ends the window.
    pub(super) fn end_window(&mut self) {
        self.checked = false;
        self.window += 1;
        if self.index.as_mut().is_some_and(Index::end_window) {
            self.loaded.clear();
        }
    }

    /// The frames of a place, innermost first.
    pub(super) fn frames(&self, found: Found) -> Vec<Frame> {
        let places = places(&self.inlined, &found).iter();
        places
            .map(|&known| self.known[known as usize].frame.clone())
            .collect()
    }

    /// Appends the frames of a place, and what they tell about the context, to a stack that is being
    /// built innermost first. All calls in one window are for the same profile. Says whether the
    /// place is an entry of interrupts or exceptions: the address around it on the stack is then
    /// where one hit, not where a call returns to.
    pub(super) fn push(
        &mut self,
        found: Found,
        profile: &mut Profile,
        stack: &mut Vec<FrameId>,
        markers: &mut Vec<Marker>,
    ) -> bool {
        let mut entry = false;
        for &known in places(&self.inlined, &found) {
            let known = &mut self.known[known as usize];
            if known.window != self.window {
                known.window = self.window;
                // The same profile as in the last window, mostly.
                let (frames, _, _) = profile.sizes();
                if known.id.0 as usize >= frames || *profile.frame(known.id) != known.frame {
                    known.id = profile.intern_frame(known.frame.clone());
                }
            }
            stack.push(known.id);
            markers.extend(known.marker);
            entry = known.interrupt_entry;
        }
        entry
    }

    fn remember(&mut self, frame: Frame) -> u32 {
        let known = &mut self.known;
        *self
            .by_frame
            .entry(frame)
            .or_insert_with_key(|frame| add(known, frame.clone()))
    }

    fn remember_all(&mut self, frames: Vec<Frame>) -> Found {
        let start = self.inlined.len() as u32;
        for frame in frames {
            let known = self.remember(frame);
            self.inlined.push(known);
        }
        Found::Inlined {
            start,
            end: self.inlined.len() as u32,
        }
    }
}

/// Indices into the known frames.
fn places<'a>(inlined: &'a [u32], found: &'a Found) -> &'a [u32] {
    match found {
        Found::One(known) => std::slice::from_ref(known),
        Found::Inlined { start, end } => &inlined[*start as usize..*end as usize],
    }
}

fn add(known: &mut Vec<Known>, frame: Frame) -> u32 {
    let function = frame.function().unwrap_or_default();
    known.push(Known {
        marker: marker(function),
        interrupt_entry: interrupt_entry(function),
        frame,
        id: FrameId(u32::MAX),
        window: 0,
    });
    // 2^32 frames would not fit into memory.
    (known.len() - 1) as u32
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
