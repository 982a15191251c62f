//! From counters that only grow to the accounting of a window.

use kprof_ebpf::{Counter, Counters, RareCounters};

use crate::profile::Accounting;

/// Lost: the maps held less than the program counted. It has not happened; if it does, it shows.
const DRAIN: &str = "drain";
/// Lost: a counted sample's stack was not in its map. As above.
const STACK_GONE: &str = "stack_gone";

/// The counters of all CPUs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) all: Counters,
    pub(super) rare: RareCounters,
}

impl Totals {
    /// Sums the counters of one epoch.
    pub(super) fn of(cpus: impl Iterator<Item = (Counters, RareCounters)>) -> Totals {
        cpus.fold(Totals::default(), |total, (all, rare)| {
            total.each_with(&Totals { all, rare }, |a, b| a + b)
        })
    }

    /// What was added since an earlier reading.
    pub(super) fn since(&self, before: &Totals) -> Totals {
        self.each_with(before, |now, before| now - before)
    }

    fn each_with(&self, other: &Totals, f: impl Fn(u64, u64) -> u64) -> Totals {
        let (
            Counters {
                seen,
                counted,
                filtered,
            },
            RareCounters { spilled, lost },
        ) = (self.all, self.rare);
        Totals {
            all: Counters {
                seen: f(seen, other.all.seen),
                counted: f(counted, other.all.counted),
                filtered: f(filtered, other.all.filtered),
            },
            rare: RareCounters {
                spilled: f(spilled, other.rare.spilled),
                lost: std::array::from_fn(|i| f(lost[i], other.rare.lost[i])),
            },
        }
    }
}

/// The accounting of one drained epoch. `drained` is what its tables and its overflow map held, `gone` how much of that
/// had no stack.
pub(super) fn settle(added: &Totals, drained: u64, gone: u64) -> anyhow::Result<Accounting> {
    let counted = added.all.counted;
    if drained > counted {
        anyhow::bail!(
            "the maps held {drained} samples where the program counted {counted}: please report this"
        );
    }
    let mut accounting = Accounting {
        seen: added.all.seen,
        counted: drained - gone,
        filtered: added.all.filtered,
        spilled: added.rare.spilled,
        ..Accounting::default()
    };
    let mut lose = |reason: &str, n: u64| {
        if n > 0 {
            *accounting.lost.entry(reason.to_owned()).or_default() += n;
        }
    };
    for counter in Counter::ALL {
        if let Some(&n) = added.rare.lost.get(counter.lost_index()) {
            lose(counter.name(), n);
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

    /// `ended` by [`Counter`].
    fn totals(seen: u64, spilled: u64, ended: [u64; 7]) -> Totals {
        let [counted, filtered, lost @ ..] = ended;
        Totals {
            all: Counters {
                seen,
                counted,
                filtered,
            },
            rare: RareCounters { spilled, lost },
        }
    }

    #[test]
    fn differences_are_taken_field_by_field() {
        let before = totals(10, 1, [5, 4, 1, 0, 0, 0, 0]);
        let now = totals(25, 3, [15, 8, 1, 0, 0, 0, 1]);
        assert_eq!(now.since(&before), totals(15, 2, [10, 4, 0, 0, 0, 0, 1]));
        let cpus = [(before.all, before.rare), (now.all, now.rare)];
        assert_eq!(
            Totals::of(cpus.into_iter()),
            totals(35, 4, [20, 12, 2, 0, 0, 0, 1])
        );
    }

    #[test]
    fn a_window_that_adds_up_is_settled() {
        let added = totals(15, 2, [10, 3, 0, 2, 0, 0, 0]);
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
        let added = totals(10, 0, [10, 0, 0, 0, 0, 0, 0]);
        let accounting = settle(&added, 8, 1).unwrap();
        assert_eq!((accounting.counted, accounting.lost_total()), (7, 3));
        assert!(accounting.adds_up());
    }

    #[test]
    fn too_much_in_the_maps_is_an_error() {
        assert!(settle(&totals(1, 0, [1, 0, 0, 0, 0, 0, 0]), 2, 0).is_err());
        assert!(settle(&totals(2, 0, [1, 0, 0, 0, 0, 0, 0]), 1, 0).is_err());
    }
}
