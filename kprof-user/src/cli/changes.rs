//! What changed on the machine while kprof sampled, as far as it changes what the result means.

use crate::format::cpu_list;
use crate::kernel::refusal::{self, Lack};
use crate::kernel::sampling::Sampling;

/// Changes so far.
#[derive(Debug)]
pub(super) struct Changes {
    /// Samples a second and CPU that were asked for.
    asked: Option<u64>,
    /// The lowest limit of them that was seen.
    limit: Option<u64>,
}

impl Changes {
    /// None yet.
    pub(super) fn of(sampling: Sampling) -> Changes {
        Changes {
            asked: match sampling {
                Sampling::Frequency(hz) => Some(hz),
                Sampling::Period(_) => None,
            },
            limit: None,
        }
    }

    /// Takes in the kernel's limit of samples as it is now.
    pub(super) fn note_rate_limit(&mut self, limit: Option<u64>) {
        self.limit = self.limit.into_iter().chain(limit).min();
    }

    /// What to tell, one line each. `cpus` came online or went offline.
    pub(super) fn notes(&self, cpus: &[u32]) -> Vec<String> {
        let mut notes = Vec::new();
        if let (Some(hz), Some(limit)) = (self.asked, self.limit)
            && limit < hz
        {
            let Lack { cause, cost, mend } = refusal::lowered_sample_rate(hz, limit);
            notes.push(format!("{cause}: {cost}. {mend}"));
        }
        let list = cpu_list(cpus);
        match cpus {
            [] => {}
            [_] => notes.push(format!(
                "CPU {list} was offline for part of the time; it was sampled while it was online"
            )),
            _ => notes.push(format!(
                "CPUs {list} were offline for part of the time; they were sampled while they were online"
            )),
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_counts_and_only_below_what_was_asked_for() {
        let mut changes = Changes::of(Sampling::Frequency(999));
        for limit in [Some(100_000), None, Some(999)] {
            changes.note_rate_limit(limit);
        }
        assert!(changes.notes(&[]).is_empty());
        for limit in [Some(250), Some(100_000)] {
            changes.note_rate_limit(limit);
        }
        let notes = changes.notes(&[]);
        assert!(
            notes.len() == 1 && notes[0].contains("fell to 250 while 999 samples"),
            "{notes:?}"
        );
        let mut changes = Changes::of(Sampling::Period(1000));
        changes.note_rate_limit(Some(1));
        assert!(changes.notes(&[]).is_empty());
    }

    #[test]
    fn cpus_that_came_and_went_are_told() {
        let changes = Changes::of(Sampling::Frequency(99));
        assert!(changes.notes(&[2])[0].starts_with("CPU 2 was offline"));
        assert!(changes.notes(&[1, 2, 3, 7])[0].starts_with("CPUs 1-3,7 were offline"));
    }
}
