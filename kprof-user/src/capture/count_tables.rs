//! The map `COUNTS`, shared with the programs: each CPU's tables of counts.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use kprof_ebpf::{CountSlot, EPOCHS, Key};

use super::shared::Shared;

/// The tables of all CPUs, two each.
#[derive(Debug)]
pub(super) struct CountTables {
    slots: Shared<CountSlot>,
    /// Slots of one table.
    each: usize,
    tables: usize,
}

impl CountTables {
    /// Elements of a map with this many tables for each epoch, of this many slots.
    pub(super) fn entries(tables: u32, slots: u32) -> Result<u32> {
        let entries = u64::from(tables) * u64::from(EPOCHS) * u64::from(slots);
        let fits = |n: &u32| *n < 1 << 30;
        u32::try_from(entries).ok().filter(fits).with_context(|| {
            format!(
                "counts of {tables} CPUs with {slots} slots each are too many for one BPF map; ask for a smaller --max-stacks"
            )
        })
    }

    /// Maps the map.
    pub(super) fn map(map: &OwnedFd, tables: u32, slots: u32) -> Result<CountTables> {
        let shared = Shared::map(map, Self::entries(tables, slots)? as usize)
            .context("cannot map the BPF counts into memory")?;
        Ok(CountTables {
            slots: shared,
            each: slots as usize,
            tables: tables as usize,
        })
    }

    /// Takes all counts out of the tables of a retired epoch. No program may be in it any more.
    pub(super) fn take_all(&mut self, epoch: u32, mut each: impl FnMut(&Key, u64)) {
        for table in 0..self.tables {
            let first = (table * EPOCHS as usize + epoch as usize % EPOCHS as usize) * self.each;
            for slot in (first..first + self.each).filter_map(|at| self.slots.element(at)) {
                // SAFETY: the slot is live, and nobody else uses a retired table.
                let slot = unsafe { &mut *slot.as_ptr() };
                if slot.count > 0 {
                    each(&slot.key, std::mem::take(&mut slot.count));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_map_holds_is_refused() {
        assert_eq!(CountTables::entries(2, 8192).unwrap(), 32_768);
        let error = CountTables::entries(4096, 1 << 20).unwrap_err().to_string();
        assert!(error.contains("--max-stacks"), "{error}");
    }
}
