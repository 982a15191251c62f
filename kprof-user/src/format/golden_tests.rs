//! Each text format of the fixture against a file in `tests/golden`. `KPROF_UPDATE_GOLDENS=1` rewrites the
//! files; look at the difference before committing it.

use std::path::PathBuf;

use super::fixture::{self, ALL, NOTHING};
use super::stats::{self, Run};
use super::{Format, svg, text};
use crate::profile::{Profile, Show};

fn check(name: &str, actual: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("KPROF_UPDATE_GOLDENS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, actual).unwrap();
    }
    let golden = std::fs::read(&path).unwrap_or_default();
    assert!(
        golden == actual,
        "{} differs; KPROF_UPDATE_GOLDENS=1 rewrites it. Now:\n{}",
        path.display(),
        String::from_utf8_lossy(actual)
    );
}

fn bytes(format: Format, profile: &Profile, show: &Show, explanation: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    format
        .write(profile, show, explanation, &mut bytes)
        .unwrap();
    bytes
}

#[test]
fn folded() {
    let profile = fixture::profile();
    let show = Show::default();
    check(
        "flood.folded",
        &bytes(Format::Folded, &profile, &show, None),
    );
    check(
        "flood-all.folded",
        &bytes(Format::Folded, &profile, &ALL, None),
    );
    assert!(bytes(Format::Folded, &fixture::nothing(), &show, Some(NOTHING)).is_empty());
}

#[test]
fn report() {
    let profile = fixture::profile();
    let show = Show::default();
    let report = bytes(Format::Text, &profile, &show, None);
    check("flood.txt", &report);
    check("flood-all.txt", &bytes(Format::Text, &profile, &ALL, None));
    for line in String::from_utf8(report).unwrap().lines() {
        assert!(line.chars().count() <= 100, "too wide: {line}");
    }
}

#[test]
fn report_with_source_lines() {
    for width in [80, 120] {
        let mut report = Vec::new();
        let profile = fixture::with_lines();
        text::write(&profile, &Show::default(), None, width, &mut report).unwrap();
        check(&format!("lines-{width}.txt"), &report);
        for line in String::from_utf8(report).unwrap().lines() {
            assert!(line.chars().count() <= width, "too wide: {line}");
        }
    }
}

#[test]
fn report_of_nothing() {
    let show = Show::default();
    let report = bytes(Format::Text, &fixture::nothing(), &show, Some(NOTHING));
    check("nothing.txt", &report);
}

#[test]
fn report_of_an_event_that_is_not_time() {
    let mut profile = fixture::profile();
    profile.meta.event = "sched:sched_switch".into();
    profile.meta.timer_driven = false;
    profile.meta.frequency_hz = None;
    profile.meta.period = Some(1000);
    profile.meta.accounting.expected = None;
    let show = Show::default();
    check(
        "tracepoint.txt",
        &bytes(Format::Text, &profile, &show, None),
    );
}

#[test]
fn firefox() {
    let show = Show::default();
    check(
        "flood.json",
        &bytes(Format::Firefox, &fixture::profile(), &show, None),
    );
}

#[test]
fn statistics() {
    let run = Run {
        max_rss_bytes: 12_345_678,
        first_sample_ns: Some(61_000_000),
    };
    let mut out = Vec::new();
    stats::write(&fixture::profile(), &run, &mut out).unwrap();
    check("flood.stats", &out);
}

#[test]
fn flame_graph() {
    // inferno's script is left to inferno: the golden holds all else.
    let svg = String::from_utf8(bytes(
        Format::Svg,
        &fixture::profile(),
        &Show::default(),
        None,
    ))
    .unwrap();
    let (head, rest) = svg.split_once("<script").unwrap();
    let (_, body) = rest.split_once("</script>").unwrap();
    let lines = format!("{head}{body}").replace("><", ">\n<");
    check("flood.svg", lines.as_bytes());
}

#[test]
fn flame_graph_of_nothing() {
    let mut out = Vec::new();
    svg::write(
        &fixture::nothing(),
        &Show::default(),
        Some(NOTHING),
        &mut out,
    )
    .unwrap();
    check("nothing.svg", &out);
}
