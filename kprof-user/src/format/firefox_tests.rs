//! The Firefox Profiler's JSON against the rules of its processed profile format: the columns of a table
//! have its length, indices point into their tables, a stack's prefix comes before it.

use serde_json::Value;

use super::firefox;
use super::fixture::{self, ALL};
use crate::profile::{Profile, Show};

fn json(profile: &Profile, show: &Show) -> Value {
    let mut out = Vec::new();
    firefox::write(profile, show, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn len(table: &Value) -> usize {
    table["length"].as_u64().unwrap() as usize
}

/// Every item of a column is null (or -1, in the columns where that stands for none) or below `limit`.
fn column(table: &Value, name: &str, limit: usize) {
    let column = table[name]
        .as_array()
        .unwrap_or_else(|| panic!("no column {name}"));
    assert_eq!(column.len(), len(table), "{name}");
    for item in column {
        let fits = item.is_null()
            || item.as_i64() == Some(-1)
            || item.as_u64().is_some_and(|index| (index as usize) < limit);
        assert!(fits, "{name}: {item} of {limit}");
    }
}

fn check(json: &Value) {
    let meta = &json["meta"];
    for key in [
        "interval",
        "startTime",
        "preprocessedProfileVersion",
        "processType",
    ] {
        assert!(meta[key].is_number(), "meta.{key}");
    }
    assert!(meta["product"].is_string());
    assert_eq!(meta["symbolicated"], true);
    for section in meta["extra"].as_array().unwrap() {
        assert!(section["label"].is_string());
        for entry in section["entries"].as_array().unwrap() {
            assert!(entry["label"].is_string() && entry["value"].is_string());
            assert_eq!(entry["format"], "string");
        }
    }
    let categories = meta["categories"].as_array().unwrap();
    let threads = json["threads"].as_array().unwrap();
    assert!(
        !threads.is_empty(),
        "the viewer refuses a profile without threads"
    );
    for key in ["initialVisibleThreads", "initialSelectedThreads"] {
        for index in meta[key].as_array().into_iter().flatten() {
            assert!((index.as_u64().unwrap() as usize) < threads.len());
        }
    }
    for thread in threads {
        let strings = thread["stringArray"].as_array().unwrap().len();
        let [samples, stacks, frames, functions] =
            ["samples", "stackTable", "frameTable", "funcTable"].map(|name| &thread[name]);
        column(samples, "stack", len(stacks));
        column(samples, "weight", usize::MAX);
        column(samples, "threadCPUDelta", usize::MAX);
        assert_eq!(samples["weightType"], "samples");
        let deltas = samples["timeDeltas"].as_array().unwrap();
        assert_eq!(deltas.len(), len(samples));
        assert!(deltas.iter().all(|delta| delta.as_f64().unwrap() >= 0.0));
        column(stacks, "frame", len(frames));
        column(stacks, "prefix", len(stacks));
        for (stack, prefix) in stacks["prefix"].as_array().unwrap().iter().enumerate() {
            assert!(
                prefix
                    .as_u64()
                    .is_none_or(|prefix| (prefix as usize) < stack)
            );
        }
        column(frames, "func", len(functions));
        column(frames, "category", categories.len());
        column(functions, "name", strings);
    }
}

fn weights(json: &Value) -> u64 {
    let threads = json["threads"].as_array().unwrap().iter();
    threads
        .flat_map(|thread| thread["samples"]["weight"].as_array().unwrap())
        .map(|weight| weight.as_u64().unwrap())
        .sum()
}

#[test]
fn the_json_keeps_the_formats_rules_and_all_counts() {
    let profile = fixture::profile();
    let all = json(&profile, &ALL);
    check(&all);
    assert_eq!(weights(&all), profile.total());
    check(&json(&profile, &Show::default()));
}

#[test]
fn a_profile_of_nothing_still_loads() {
    check(&json(&fixture::nothing(), &Show::default()));
}

#[test]
fn without_time_no_cpu_use_is_claimed() {
    let mut profile = fixture::profile();
    profile.meta.event = "page-faults".into();
    let json = json(&profile, &ALL);
    check(&json);
    for thread in json["threads"].as_array().unwrap() {
        let cpu = thread["samples"]["threadCPUDelta"].as_array().unwrap();
        assert!(cpu.iter().all(|delta| delta == 0));
    }
}
