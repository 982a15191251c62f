//! What is missing from the counts, why, and what mends it.

use std::fmt::Write as _;

use super::caption::{group, samples, seconds};
use crate::profile::{Accounting, Meta};

/// Why a sample was lost: the accounting's name and what happened.
const REASONS: [(&str, &str); 7] = [
    ("counts_full", "no room for another thread, name and stack"),
    ("spill_full", "no room for another stack"),
    (
        "counts_busy",
        "a map was locked by what the sample interrupted",
    ),
    ("stack_fault", "the kernel could not walk the stack"),
    ("other", "another error in the kernel"),
    (
        "drain",
        "not in the maps although counted, please report this",
    ),
    (
        "stack_gone",
        "its stack was not in the maps, please report this",
    ),
];

/// From here on a drain came too late for a rate that is known; the maps are made for that rate and some lateness.
const LATE_NS: u64 = 10_000_000;
/// The same where the rate is not known: a drain that is less late is not what filled the maps.
const VERY_LATE_NS: u64 = 250_000_000;

/// What is missing from the counts, of all threads together; `None` if nothing is.
pub(super) fn missing(meta: &Meta) -> Option<String> {
    let lost = meta.accounting.lost_total();
    let skipped = meta.accounting.skipped().unwrap_or(0);
    let skipped_words = match meta.accounting.expected {
        Some(due) if skipped > 0 => format!(
            "the kernel skipped {} of the {} that were due",
            group(skipped),
            samples(due)
        ),
        _ => String::new(),
    };
    let lost_words = match lost {
        0 => String::new(),
        lost => format!(
            "kprof lost {} of {}",
            group(lost),
            samples(meta.accounting.seen)
        ),
    };
    let parts: Vec<String> = [lost_words, skipped_words]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    (!parts.is_empty()).then(|| format!("Missing, of all threads: {}.", parts.join("; ")))
}

/// What was lost, by reason: why, and what mends it; `None` if nothing was. To stand after "lost".
pub(super) fn lost(meta: &Meta) -> Option<String> {
    let accounting = &meta.accounting;
    let reasons: Vec<String> = accounting
        .lost
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, count)| {
            let words = REASONS.iter().find(|(name, _)| name == reason);
            let words = words.map_or(String::new(), |(_, words)| format!(" ({words})"));
            format!("{} {reason}{words}", group(*count))
        })
        .collect();
    if reasons.is_empty() {
        return None;
    }
    let mut text = format!(
        "{} of {}: {}.",
        group(accounting.lost_total()),
        samples(accounting.seen),
        reasons.join(", ")
    );
    if accounting.was_full() {
        text.push_str(&cause(meta));
    }
    Some(text)
}

/// Why maps were full.
fn cause(meta: &Meta) -> String {
    let late_ns = meta.accounting.late_ns;
    let (limit, less) = match meta.frequency_hz {
        Some(_) => (LATE_NS, "-F"),
        None => (VERY_LATE_NS, "--period"),
    };
    let mut text = String::new();
    // Writing to a `String` can't fail.
    let _ = if late_ns >= limit {
        write!(
            text,
            " The maps were full because kprof came up to {} late to empty them: it was stopped, waited for the reader \
             of its output, or was short of CPU (then nice -n -20 helps).",
            seconds(late_ns)
        )
    } else {
        write!(
            text,
            " More came than the maps have room for: sample less ({less}), narrow the filters, or give more room \
             (--max-stacks)."
        )
    };
    text
}

/// The same where it is worth a line to someone who did not ask: maps were full, kprof is at fault, or it is 1 % or more.
pub(crate) fn note(meta: &Meta) -> Option<String> {
    let accounting = &meta.accounting;
    let defect = ["drain", "stack_gone"]
        .iter()
        .any(|reason| accounting.lost.contains_key(*reason));
    let much = accounting.lost_total() * 100 >= accounting.seen;
    lost(meta)
        .filter(|_| accounting.was_full() || defect || much)
        .map(|lost| format!("lost {lost}"))
}

/// What a full map means while the capture goes on.
pub(crate) fn full(accounting: &Accounting, next_ns: u64) -> String {
    format!(
        "the kernel's maps were full, so that {} of {} were lost; from here on they are emptied every {}",
        group(accounting.lost_total()),
        samples(accounting.seen),
        seconds(next_ns)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(lost: &[(&str, u64)], late_ms: u64, frequency_hz: Option<u64>) -> Meta {
        Meta {
            frequency_hz,
            accounting: Accounting {
                seen: 10_000,
                lost: lost
                    .iter()
                    .map(|(reason, n)| ((*reason).to_owned(), *n))
                    .collect(),
                late_ns: late_ms * 1_000_000,
                ..Accounting::default()
            },
            ..Meta::default()
        }
    }

    #[test]
    fn each_reason_has_words() {
        use kprof_ebpf::Counter;
        for counter in &Counter::ALL[2..] {
            let text = lost(&meta(&[(counter.name(), 3)], 0, None)).unwrap();
            let start = format!("3 of 10,000 samples: 3 {} (", counter.name());
            assert!(text.starts_with(&start), "{text}");
        }
        assert_eq!(lost(&meta(&[], 30_000, None)), None);
    }

    #[test]
    fn what_filled_the_maps_is_said_with_its_mend() {
        let of = |late_ms, hz| lost(&meta(&[("spill_full", 7)], late_ms, hz)).unwrap();
        assert!(
            of(30_400, Some(99)).contains("up to 30.4 s late"),
            "{}",
            of(30_400, Some(99))
        );
        assert!(of(60, Some(99)).contains("up to 60 ms late"));
        assert!(of(2, Some(99)).contains("sample less (-F)"));
        // One second is the window where the rate is not known.
        assert!(of(60, None).contains("sample less (--period)"));
        assert!(of(300, None).contains("up to 300 ms late"));
        assert!(
            !lost(&meta(&[("other", 7)], 999, None))
                .unwrap()
                .contains("maps were full")
        );
    }

    #[test]
    fn nobody_is_told_of_one_sample_in_a_thousand() {
        let told = |reason, n| note(&meta(&[(reason, n)], 0, None)).is_some();
        assert!(!told("counts_busy", 10) && told("counts_busy", 100));
        assert!(told("counts_full", 1) && told("drain", 1));
    }
}
