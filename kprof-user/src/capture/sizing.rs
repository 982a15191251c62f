//! How large the maps are, and how long they last.

use std::time::Duration;

/// Buckets of a stack-trace map, unless the user asks for more.
pub(super) const MAX_BUCKETS: u32 = 16_384;
/// Fewest samples of a window worth making room for.
const MIN_BUCKETS: u32 = 256;

/// Entries of each of the two sets of maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Buckets of the stack-trace map, a power of two.
    pub(super) stacks: u32,
    /// Entries of the counts map.
    pub(super) counts: u32,
    /// Entries of the spill map.
    pub(super) spill: u32,
    /// Drain at least this often, so that a window fits even if all its stacks differ.
    pub(super) period: Duration,
}

impl Sizes {
    /// Sizes for `rate` samples a second (all CPUs together; `None` where it can't be told) in windows
    /// of this length. `max_stacks` replaces the choice of buckets.
    pub(super) fn choose(rate: Option<u64>, window: Duration, max_stacks: Option<u32>) -> Sizes {
        let samples = rate.map_or(u64::MAX, |rate| {
            let samples = u128::from(rate) * window.as_millis() / 1000;
            u64::try_from(samples).unwrap_or(u64::MAX)
        });
        // What a window can hold; more samples are drained in between.
        let samples = samples.clamp(MIN_BUCKETS.into(), u64::from(MAX_BUCKETS) / 2) as u32;
        let wanted = max_stacks.unwrap_or(samples * 2);
        let stacks = wanted.clamp(1, 1 << 20).next_power_of_two();
        // In the worst case every sample of a window is a new key, and a spilled one at that.
        let counts = (samples * 2).next_power_of_two();
        let spill = (samples + samples / 4).next_power_of_two();
        let period = match rate {
            Some(rate) => Duration::from_millis(u64::from(counts / 2) * 1000 / rate.max(1)),
            None => Duration::from_secs(1),
        };
        let shortest = Duration::from_millis(20).min(window);
        Sizes {
            stacks,
            counts,
            spill,
            period: period.clamp(shortest, window),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_capture_has_small_maps_and_one_drain_a_window() {
        let sizes = Sizes::choose(Some(2 * 99), Duration::from_secs(10), None);
        assert_eq!(
            (sizes.stacks, sizes.counts, sizes.spill),
            (4096, 4096, 4096)
        );
        assert_eq!(sizes.period, Duration::from_secs(10));
    }

    #[test]
    fn a_fast_capture_is_capped_and_drained_in_between() {
        let sizes = Sizes::choose(Some(8 * 4999), Duration::from_secs(10), None);
        assert_eq!(sizes.stacks, MAX_BUCKETS);
        assert!(
            sizes.period < Duration::from_millis(210),
            "{:?}",
            sizes.period
        );
    }

    #[test]
    fn samples_of_a_period_fit_the_counts_map() {
        for rate in [1, 99, 999, 100_000, 1_000_000] {
            for millis in [50, 1000, 60_000] {
                let sizes = Sizes::choose(Some(rate), Duration::from_millis(millis), None);
                let due = u128::from(rate) * sizes.period.as_millis() / 1000;
                let short = sizes.period <= Duration::from_millis(50);
                assert!(
                    short || due <= u128::from(sizes.counts) / 2 + 1,
                    "{rate} {sizes:?}"
                );
            }
        }
    }

    #[test]
    fn the_number_of_stacks_can_be_asked_for() {
        let sizes = Sizes::choose(Some(9998), Duration::from_millis(50), Some(60));
        assert_eq!((sizes.stacks, sizes.counts, sizes.spill), (64, 1024, 1024));
    }
}
