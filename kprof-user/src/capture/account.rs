//! From counters that only grow to the accounting of a window.

use kprof_ebpf::{Counter, Counters};

use crate::profile::Accounting;

/// Lost: the maps held less than the program counted. It has not happened; if it does, it shows.
const DRAIN: &str = "drain";
/// Lost: a counted sample's stack was not in its map. As above.
const STACK_GONE: &str = "stack_gone";

/// Sums the counters of all CPUs.
pub(super) fn sum(cpus: impl Iterator<Item = Counters>) -> Counters {
    let mut total = Counters::default();
    for cpu in cpus {
        let Counters {
            seen,
            spilled,
            ended,
        } = cpu;
        total.seen += seen;
        total.spilled += spilled;
        for (total, ended) in total.ended.iter_mut().zip(&ended) {
            *total += ended;
        }
    }
    total
}

/// What was added between two readings of one epoch's counters.
pub(super) fn difference(now: &Counters, before: &Counters) -> Counters {
    let mut added = Counters {
        seen: now.seen - before.seen,
        spilled: now.spilled - before.spilled,
        ..*now
    };
    for (added, before) in added.ended.iter_mut().zip(&before.ended) {
        *added -= before;
    }
    added
}

/// The accounting of one drained epoch. `drained` is what its counts map held, `gone` how much of that
/// had no stack.
pub(super) fn settle(added: &Counters, drained: u64, gone: u64) -> anyhow::Result<Accounting> {
    let counted = added.ended[Counter::Counted as usize];
    if drained > counted {
        anyhow::bail!(
            "the counts map held {drained} samples where the program counted {counted}: please report this"
        );
    }
    let mut accounting = Accounting {
        seen: added.seen,
        counted: drained - gone,
        filtered: added.ended[Counter::Filtered as usize],
        spilled: added.spilled,
        ..Accounting::default()
    };
    let mut lose = |reason: &str, n: u64| {
        if n > 0 {
            *accounting.lost.entry(reason.to_owned()).or_default() += n;
        }
    };
    for counter in Counter::ALL {
        if !matches!(counter, Counter::Counted | Counter::Filtered) {
            lose(counter.name(), added.ended[counter as usize]);
        }
    }
    lose(DRAIN, counted - drained);
    lose(STACK_GONE, gone);
    if !accounting.adds_up() {
        anyhow::bail!(
            "the accounting does not add up: {} seen, {} counted, {} filtered, {} lost: please report this",
            accounting.seen,
            accounting.counted,
            accounting.filtered,
            accounting.lost_total()
        );
    }
    Ok(accounting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(seen: u64, spilled: u64, ended: [u64; 8]) -> Counters {
        Counters {
            seen,
            spilled,
            ended,
        }
    }

    #[test]
    fn differences_are_taken_field_by_field() {
        let before = counters(10, 1, [5, 4, 1, 0, 0, 0, 0, 0]);
        let now = counters(25, 3, [15, 8, 1, 0, 0, 0, 0, 1]);
        assert_eq!(
            difference(&now, &before),
            counters(15, 2, [10, 4, 0, 0, 0, 0, 0, 1])
        );
        assert_eq!(
            sum([before, now].into_iter()),
            counters(35, 4, [20, 12, 2, 0, 0, 0, 0, 1])
        );
    }

    #[test]
    fn a_window_that_adds_up_is_settled() {
        let added = counters(15, 2, [10, 3, 0, 2, 0, 0, 0, 0]);
        let accounting = settle(&added, 10, 0).unwrap();
        assert!(accounting.adds_up());
        assert_eq!(
            (accounting.seen, accounting.counted, accounting.filtered),
            (15, 10, 3)
        );
        assert_eq!(accounting.lost.get("counts_busy"), Some(&2));
    }

    #[test]
    fn what_the_maps_lack_is_lost_and_said() {
        let added = counters(10, 0, [10, 0, 0, 0, 0, 0, 0, 0]);
        let accounting = settle(&added, 8, 1).unwrap();
        assert_eq!((accounting.counted, accounting.lost_total()), (7, 3));
        assert!(accounting.adds_up());
    }

    #[test]
    fn too_much_in_the_maps_is_an_error() {
        assert!(settle(&counters(1, 0, [1, 0, 0, 0, 0, 0, 0, 0]), 2, 0).is_err());
        assert!(settle(&counters(2, 0, [1, 0, 0, 0, 0, 0, 0, 0]), 1, 0).is_err());
    }
}
