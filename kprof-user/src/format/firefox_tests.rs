//! The Firefox Profiler's JSON against the definition of its format, and its counts against the profile's.

use kprof_tests::firefox::check;
use serde_json::Value;

use super::firefox;
use super::fixture::{self, ALL};
use crate::profile::{Profile, Show};

fn json(profile: &Profile, show: &Show) -> Value {
    let mut out = Vec::new();
    firefox::write(profile, show, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
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
