//! Code that was loaded while samples were taken and is gone when they are named: what lies in its place now has
//! another name.

use std::collections::BTreeMap;

use super::loaded::{Ends, Loaded};

/// What went between looks at what is loaded.
#[derive(Debug, Default)]
pub(super) struct Gone {
    last: Option<(Loaded, Ends)>,
    /// First address and last one plus one of what went; none overlap.
    ranges: BTreeMap<u64, u64>,
}

impl Gone {
    /// Looks. Costs some 100 µs, and some microseconds a BPF program if anything changed.
    pub(super) fn look(&mut self) {
        let loaded = Loaded::now();
        if self.last.as_ref().is_some_and(|(last, _)| *last == loaded) {
            return;
        }
        let ends = Ends::now(&loaded);
        if let Some((_, before)) = &self.last {
            for (start, end) in went(before, &ends) {
                self.add(start, end);
            }
        }
        self.last = Some((loaded, ends));
    }

    /// Looks once more, unless nobody ever did.
    pub(super) fn look_again(&mut self) {
        if self.last.is_some() {
            self.look();
        }
    }

    /// Whether nothing went.
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether something that went was at this address.
    pub(super) fn held(&self, address: u64) -> bool {
        let below = self.ranges.range(..=address).next_back();
        below.is_some_and(|(_, end)| address < *end)
    }

    fn add(&mut self, mut start: u64, mut end: u64) {
        // Programs that follow each other in one place make one range.
        while let Some((&low, &high)) = self.ranges.range(..end).next_back()
            && high > start
        {
            self.ranges.remove(&low);
            (start, end) = (start.min(low), end.max(high));
        }
        self.ranges.insert(start, end);
    }
}

/// Where the code was that is in `before` and not in `now`.
fn went(before: &Ends, now: &Ends) -> Vec<(u64, u64)> {
    let mut starts: Vec<u64> = before.modules.values().map(|range| range.0).collect();
    starts.sort_unstable();
    let modules = before.modules.iter().filter_map(|(name, &(start, end))| {
        if now.modules.get(name).is_some_and(|now| now.0 == start) {
            return None;
        }
        // The end is an upper bound, so that another module's code may come before it.
        let next = starts.partition_point(|other| *other <= start);
        Some((start, starts.get(next).map_or(end, |next| end.min(*next))))
    });
    let functions = before.functions.iter().filter_map(|(&start, function)| {
        let now = now.functions.get(&start);
        let stayed = now.is_some_and(|now| now.program == function.program);
        (!stayed).then_some((start, function.end))
    });
    modules.chain(functions).collect()
}

#[cfg(test)]
mod tests {
    use super::super::bpf::Function;
    use super::*;

    fn ends(modules: &[(&str, u64, u64)], functions: &[(u64, u64, u32)]) -> Ends {
        let modules = modules
            .iter()
            .map(|&(name, start, end)| (name.to_owned(), (start, end)));
        let functions = functions
            .iter()
            .map(|&(start, end, program)| (start, Function { end, program }));
        Ends {
            modules: modules.collect(),
            functions: functions.collect(),
        }
    }

    fn sorted(before: &Ends, now: &Ends) -> Vec<(u64, u64)> {
        let mut found = went(before, now);
        found.sort_unstable();
        found
    }

    #[test]
    fn what_stayed_is_told_from_what_was_replaced() {
        let before = ends(
            &[
                ("a", 0x1000, 0x9000),
                ("b", 0x4000, 0x6000),
                ("c", 0xa000, 0xb000),
            ],
            &[(0x100, 0x180, 7), (0x200, 0x280, 8), (0x300, 0x380, 9)],
        );
        assert_eq!(sorted(&before, &before), []);
        // `a` is gone and does not reach over `b`; `c` is elsewhere; 8 has a successor, and 9 none.
        let now = ends(
            &[("b", 0x4000, 0x6000), ("c", 0xc000, 0xd000)],
            &[(0x100, 0x180, 7), (0x200, 0x240, 10)],
        );
        assert_eq!(
            sorted(&before, &now),
            [
                (0x200, 0x280),
                (0x300, 0x380),
                (0x1000, 0x4000),
                (0xa000, 0xb000)
            ]
        );
    }

    #[test]
    fn overlapping_places_are_one() {
        let mut gone = Gone::default();
        for (start, end) in [(10, 20), (40, 50), (15, 30), (60, 70), (45, 65), (70, 71)] {
            gone.add(start, end);
        }
        let ranges: Vec<_> = gone.ranges.clone().into_iter().collect();
        assert_eq!(ranges, [(10, 30), (40, 70), (70, 71)]);
        let held = |address| gone.held(address);
        assert!(!held(9) && held(10) && held(29) && !held(30) && held(69) && held(70) && !held(71));
    }
}
