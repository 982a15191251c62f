//! How large the maps are, and how long they last.

use std::time::Duration;

/// Most samples that a window is given room for; more are drained in between. Twice as many buckets
/// make 17 MB of stack-trace map.
const MAX_SAMPLES: u64 = 8192;
/// Most buckets of a stack-trace map that can be asked for.
pub const MAX_STACKS: u32 = 1 << 20;
/// Fewest samples of a window worth making room for.
const MIN_SAMPLES: u64 = 512;
/// How late a drain may come without loss.
const LATE: Duration = Duration::from_millis(250);

/// Entries of each of the two sets of maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Buckets of the stack-trace map, a power of two.
    pub(super) stacks: u32,
    /// Slots of each CPU's table of counts, a power of two.
    pub(super) slots: u32,
    /// Entries of the overflow map, which takes the counts that find no slot in their table.
    pub(super) overflow: u32,
    /// Entries of the spill map.
    pub(super) spill: u32,
    /// Drain at least this often, so that a window fits even if all its stacks differ.
    pub(super) period: Duration,
}

impl Sizes {
    /// Sizes for `rate` samples a second (all `cpus` together; `None` where it can't be told) in windows
    /// of this length. `max_stacks` replaces the choice of buckets and slots.
    pub(super) fn choose(
        rate: Option<u64>,
        cpus: usize,
        window: Duration,
        max_stacks: Option<u32>,
    ) -> Sizes {
        let samples_in = |time: Duration| {
            let samples = rate.map_or(u64::MAX, |rate| {
                let samples = u128::from(rate) * time.as_millis() / 1000;
                u64::try_from(samples).unwrap_or(u64::MAX)
            });
            samples.clamp(MIN_SAMPLES, MAX_SAMPLES) as u32
        };
        // On a crowded machine kprof itself comes late to its drain.
        let samples = samples_in(window + LATE);
        let wanted = max_stacks.unwrap_or(samples * 2);
        let stacks = wanted.clamp(1, MAX_STACKS).next_power_of_two();
        // At worst every sample is a new key, and each CPU's table is half full then. Should one CPU have all of
        // them, the overflow map has room. Spilled stacks are fewer, and large.
        let slots = max_stacks.unwrap_or(samples * 2) / cpus.max(1) as u32;
        let slots = slots.clamp(64, MAX_STACKS).next_power_of_two();
        let overflow = samples.next_power_of_two();
        let spill = (samples / 2).next_power_of_two();
        let period = match rate {
            // All of it fits, lateness included.
            Some(_) if u64::from(samples) < MAX_SAMPLES => window,
            Some(rate) => {
                let whole = Duration::from_millis(u64::from(samples) * 1000 / rate.max(1));
                whole.saturating_sub(LATE).max(whole / 2)
            }
            None => Duration::from_secs(1),
        };
        let shortest = Duration::from_millis(20).min(window);
        Sizes {
            stacks,
            slots,
            overflow,
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
        let sizes = Sizes::choose(Some(2 * 99), 2, Duration::from_secs(10), None);
        assert_eq!(
            (sizes.stacks, sizes.slots, sizes.overflow, sizes.spill),
            (4096, 2048, 2048, 1024)
        );
        assert_eq!(sizes.period, Duration::from_secs(10));
    }

    #[test]
    fn a_fast_capture_is_capped_and_drained_in_between() {
        let sizes = Sizes::choose(Some(8 * 4999), 8, Duration::from_secs(10), None);
        assert_eq!(sizes.stacks, 16_384);
        assert!(
            sizes.period < Duration::from_millis(110),
            "{:?}",
            sizes.period
        );
    }

    #[test]
    fn samples_of_a_period_fit_wherever_they_fall() {
        for rate in [1, 99, 999, 100_000, 400_000] {
            for millis in [50, 1000, 60_000] {
                let sizes = Sizes::choose(Some(rate), 4, Duration::from_millis(millis), None);
                let due = u128::from(rate) * sizes.period.as_millis() / 1000;
                assert!(due <= u128::from(sizes.overflow), "{rate} {sizes:?}");
                assert!(due <= u128::from(sizes.slots * 4), "{rate} {sizes:?}");
            }
        }
    }

    #[test]
    fn the_number_of_stacks_can_be_asked_for() {
        let sizes = Sizes::choose(Some(9998), 2, Duration::from_millis(50), Some(60));
        assert_eq!((sizes.stacks, sizes.slots), (64, 64));
        assert!(sizes.overflow >= 2048 && sizes.spill >= 1024);
    }
}
