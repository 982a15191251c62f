//! Which stack an id stands for, without reading it twice.
//!
//! A bucket of a stack-trace map keeps its stack until userspace deletes it, so what was read once
//! stays true, window after window. The same holds for the spill map.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use kprof_ebpf::{Key, MAX_FRAMES, SpillStack, flags};

use super::load::EpochMaps;
use super::sizing::Sizes;

/// All distinct stacks of a capture; equal ones have one index.
#[derive(Debug)]
pub(super) struct Interner {
    stacks: Vec<Arc<[u64]>>,
    index: HashMap<Arc<[u64]>, u32>,
}

/// The stack without frames: user mode.
const EMPTY: u32 = 0;

impl Interner {
    pub(super) fn new() -> Interner {
        let mut interner = Interner {
            stacks: Vec::new(),
            index: HashMap::new(),
        };
        interner.intern(&[]);
        interner
    }

    fn intern(&mut self, frames: &[u64]) -> u32 {
        if let Some(&index) = self.index.get(frames) {
            return index;
        }
        // 2^32 stacks would not fit into memory.
        let index = self.stacks.len() as u32;
        let stack: Arc<[u64]> = frames.into();
        self.stacks.push(Arc::clone(&stack));
        self.index.insert(stack, index);
        index
    }

    pub(super) fn get(&self, index: u32) -> Arc<[u64]> {
        Arc::clone(&self.stacks[index as usize])
    }

    pub(super) fn len(&self) -> usize {
        self.stacks.len()
    }
}

/// What is known of one epoch's maps.
#[derive(Debug, Default)]
pub(super) struct Known {
    stacks: HashMap<u32, u32>,
    spill: HashMap<u64, u32>,
    /// A stack was stored whose sample was then lost: the maps hold more than is known here.
    leaked: bool,
}

impl Known {
    /// The index of the stack that a key of this (retired) epoch names; `None` if it is gone, which
    /// the maps' rules exclude.
    pub(super) fn resolve(
        &mut self,
        key: &Key,
        maps: &EpochMaps,
        interner: &mut Interner,
    ) -> io::Result<Option<u32>> {
        if key.flags & flags::USER != 0 {
            return Ok(Some(EMPTY));
        }
        if key.flags & flags::SPILLED != 0 {
            if let Some(&index) = self.spill.get(&key.stack) {
                return Ok(Some(index));
            }
            let mut stack = SpillStack {
                frames: [0; MAX_FRAMES],
                len: 0,
            };
            if !maps.spill.get_into(&key.stack, &mut stack)? {
                return Ok(None);
            }
            let len = (stack.len as usize).min(MAX_FRAMES);
            let index = interner.intern(&stack.frames[..len]);
            self.spill.insert(key.stack, index);
            return Ok(Some(index));
        }
        let id = key.stack as u32;
        if let Some(&index) = self.stacks.get(&id) {
            return Ok(Some(index));
        }
        let mut frames = [0; MAX_FRAMES];
        if !maps.stacks.get_into(&id, &mut frames)? {
            return Ok(None);
        }
        let len = frames
            .iter()
            .position(|&frame| frame == 0)
            .unwrap_or(MAX_FRAMES);
        let index = interner.intern(&frames[..len]);
        self.stacks.insert(id, index);
        Ok(Some(index))
    }

    /// Remembers that samples were lost after their stacks were stored.
    pub(super) fn note_leak(&mut self) {
        self.leaked = true;
    }

    /// Whether the maps are due for clearing: fuller than collisions allow, or colliding much.
    pub(super) fn is_crowded(&self, sizes: &Sizes, counted: u64, spilled: u64) -> bool {
        let stacks = self.stacks.len() as u64;
        let buckets = u64::from(sizes.stacks);
        self.leaked
            || stacks > buckets / 2
            // The next window may spill as much as half of this one's samples.
            || self.spill.len() as u64 + counted / 2 > u64::from(sizes.spill)
            || (spilled * 8 > counted && stacks > buckets / 8)
    }

    /// Empties the maps of this (retired) epoch.
    pub(super) fn clear(&mut self, maps: &EpochMaps, sizes: &Sizes) -> io::Result<()> {
        if self.leaked {
            for id in 0..sizes.stacks {
                maps.stacks.remove(&id)?;
            }
            let zero = SpillStack {
                frames: [0; MAX_FRAMES],
                len: 0,
            };
            maps.spill.take_all(64, (0, zero), |_, _| {})?;
        } else {
            for id in self.stacks.keys() {
                maps.stacks.remove(id)?;
            }
            for hash in self.spill.keys() {
                maps.spill.remove(hash)?;
            }
        }
        self.forget();
        self.leaked = false;
        Ok(())
    }

    /// Forgets what was read, without touching the maps.
    pub(super) fn forget(&mut self) {
        self.stacks.clear();
        self.spill.clear();
    }
}
