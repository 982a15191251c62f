//! What of a pprof file can be told without kprof: the sum of its counts, and of the frames that they stand for.

use std::collections::HashMap;

use kprof::profile::{Frame, Profile};
use prost::Message as _;

#[derive(Clone, PartialEq, prost::Message)]
struct File {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct ValueType {
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function: u64,
}

/// Sums over all samples with two frames or more: a single one may be a stand-in for none.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    counts: u128,
    frames: u128,
    /// All but the outermost of a location are inlined into the next.
    joined: u128,
}

/// Panics if the profile is not what the file holds.
pub(super) fn compare(file: &[u8], profile: &Profile) {
    // A packed file is another matter, and tried by what kprof writes.
    let Ok(file) = File::decode(file) else {
        return;
    };
    let count_at = file.sample_type.iter().position(|kind| {
        let unit = usize::try_from(kind.unit).ok();
        unit.and_then(|unit| file.string_table.get(unit))
            .is_some_and(|unit| unit == "count")
    });
    // Of locations with one id the last one counts.
    let lines: HashMap<u64, u128> = file
        .location
        .iter()
        .map(|location| (location.id, location.line.len() as u128))
        .collect();
    let mut total = 0;
    let mut expected = Sums::default();
    for sample in &file.sample {
        let count = sample
            .value
            .get(count_at.unwrap_or(0))
            .copied()
            .unwrap_or(0);
        let count = u128::try_from(count).unwrap_or(0);
        total += count;
        let frames: u128 = sample.location.iter().map(|id| lines[id].max(1)).sum();
        if frames > 1 {
            expected.counts += count;
            expected.frames += count * frames;
            let joined = |id: &u64| lines[id].saturating_sub(1);
            expected.joined += count * sample.location.iter().map(joined).sum::<u128>();
        }
    }
    assert_eq!(u128::from(profile.total()), total);
    let mut found = Sums::default();
    let mut nameless = 0;
    for (sample, count) in profile.samples() {
        let count = u128::from(count);
        let frames: Vec<&Frame> = profile
            .stack(sample.stack)
            .iter()
            .map(|&id| profile.frame(id))
            .collect();
        if frames.len() > 1 {
            found.counts += count;
            found.frames += count * frames.len() as u128;
            let number =
                |which: fn(&Frame) -> bool| frames.iter().filter(|f| which(f)).count() as u128;
            found.joined += count * number(Frame::is_inlined);
            nameless += count * number(|frame| frame.function().is_none());
        }
    }
    // What has no name is never said to be inlined.
    assert!(found.joined <= expected.joined && expected.joined <= found.joined + nameless);
    found.joined = expected.joined;
    assert_eq!(found, expected);
}
