//! Reads an epoch that no program uses any more.

use std::collections::HashMap;

use anyhow::{Context, Result};
use kprof_ebpf::{Key, flags};

use super::account::{self, Totals};
use super::load::Loaded;
use super::sizing::Sizes;
use super::stacks::{Interner, Known};
use crate::profile::Accounting;

/// Userspace's side of one epoch.
#[derive(Debug, Default)]
pub(super) struct Epoch {
    known: Known,
    counted_so_far: Totals,
}

/// Counts by key; `Key::stack` is an index of the interner here.
pub(super) type Counts = HashMap<Key, u64>;

impl Epoch {
    /// Takes everything out of the retired maps and adds it to `counts`.
    pub(super) fn read(
        &mut self,
        index: u32,
        loaded: &mut Loaded,
        sizes: &Sizes,
        interner: &mut Interner,
        counts: &mut Counts,
    ) -> Result<Accounting> {
        let now = Totals::of(loaded.cpus.counters(index));
        let added = now.since(&self.counted_so_far);
        self.counted_so_far = now;

        let mut entries = Vec::new();
        loaded
            .counts
            .take_all(index, |key, count| entries.push((*key, count)));
        let in_tables: u64 = entries.iter().map(|(_, count)| count).sum();
        let maps = &loaded.epochs[index as usize & 1];
        let counted = added.all.counted;
        // As a rule the tables had room for all.
        if in_tables < counted {
            let room = usize::try_from(counted - in_tables).unwrap_or(usize::MAX);
            maps.overflow
                .take_all(room.clamp(64, 1024), (Key::default(), 0), |key, count| {
                    entries.push((*key, *count))
                })
                .context("cannot drain the overflow map")?;
        }

        let (mut drained, mut gone) = (0, 0);
        for (key, count) in entries {
            drained += count;
            match self
                .known
                .resolve(&key, maps, interner)
                .context("cannot read a stack")?
            {
                Some(stack) => {
                    let key = Key {
                        stack: stack.into(),
                        flags: key.flags & !flags::SPILLED,
                        ..key
                    };
                    *counts.entry(key).or_default() += count;
                }
                None => gone += count,
            }
        }
        let accounting = account::settle(&added, drained, gone)?;
        if accounting.lost_total() > 0 {
            self.known.note_leak();
        }
        if self
            .known
            .is_crowded(sizes, accounting.counted, accounting.spilled)
        {
            self.known
                .clear(maps, sizes)
                .context("cannot clear the stack maps")?;
        }
        Ok(accounting)
    }

    /// Forgets which stacks were read; see [`Known::forget`].
    pub(super) fn forget(&mut self) {
        self.known.forget();
    }
}
