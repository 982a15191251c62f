//! Profiles: folded stacks and pprof, read, written and read again; and every format of whatever was read.

use kprof::format::{Format, folded, pprof};
use kprof::profile::{Context, Meta, Profile, Show};

use super::pprof::compare;
use super::{MIB, split, text};
use crate::Target;

pub(super) const FOLDED: Target = Target {
    name: "folded",
    check: check_folded,
    memory: (MIB, 2_000),
};

pub(super) const PPROF: Target = Target {
    name: "pprof",
    check: check_pprof,
    memory: (64 * MIB, 4_000),
};

pub(super) const FORMATS: Target = Target {
    name: "formats",
    check: check_formats,
    memory: (16 * MIB, 20_000),
};

/// Everything in a profile shows.
const ALL: Show = Show {
    idle: true,
    user: true,
    addresses: true,
    threads: true,
};

/// What is shown, by the bits of a byte.
fn show(bits: u8) -> Show {
    let bit = |n: u8| bits >> n & 1 == 1;
    Show {
        idle: bit(0),
        user: bit(1),
        addresses: bit(2),
        threads: bit(3),
    }
}

fn fold(profile: &Profile, show: &Show) -> String {
    let mut out = Vec::new();
    folded::write(profile, show, &mut out).expect("memory takes all");
    String::from_utf8(out).expect("folded stacks are UTF-8")
}

fn sum(folded: &str) -> u64 {
    let count = |line: &str| {
        line.rsplit_once(' ')
            .and_then(|(_, n)| n.parse::<u64>().ok())
    };
    folded
        .lines()
        .map(|line| count(line).expect("each line ends with a count"))
        .sum()
}

fn check_folded(data: &[u8]) {
    let (&bits, data) = data.split_first().unwrap_or((&0, &[]));
    let show = show(bits);
    let Ok(profile) = folded::parse(data, &show) else {
        return;
    };
    // What another tool wrote may read otherwise in kprof's own words; those come back as they are.
    for shown in [show, ALL] {
        let first = fold(&profile, &shown);
        let back = folded::parse(first.as_bytes(), &shown).expect("kprof reads what it wrote");
        assert_eq!(fold(&back, &shown), first);
        assert_eq!(back.total(), sum(&first));
    }
    assert_eq!(sum(&fold(&profile, &ALL)), profile.total());
    let contexts: u64 = Context::ALL.iter().map(|&c| profile.total_in(c)).sum();
    assert_eq!(contexts, profile.total());
}

fn check_pprof(data: &[u8]) {
    let Ok(profile) = pprof::read(data) else {
        return;
    };
    compare(data, &profile);
    for show in [
        ALL,
        Show {
            threads: false,
            ..ALL
        },
    ] {
        let mut out = Vec::new();
        pprof::write(&profile, &show, &mut out).expect("memory takes all");
        let back = pprof::read(out.as_slice()).expect("kprof reads what it wrote");
        assert_eq!(fold(&back, &show), fold(&profile, &show));
        assert_eq!(back.meta, profile.meta);
        for context in Context::ALL {
            assert_eq!(back.total_in(context), profile.total_in(context));
        }
    }
}

/// What was captured, as JSON, then a byte that says what is shown, then folded stacks.
fn check_formats(data: &[u8]) {
    let (meta, rest) = split(data);
    let (&bits, stacks) = rest.split_first().unwrap_or((&0, &[]));
    let show = show(bits);
    let Ok(mut profile) = folded::parse(stacks, &show) else {
        return;
    };
    if let Ok(meta) = serde_json::from_slice::<Meta>(meta) {
        profile.meta.merge(&meta);
    }
    let explanation = (bits & 16 != 0).then_some("nothing matched");
    for format in Format::ALL {
        let mut out = Vec::new();
        format
            .write(&profile, &show, explanation, &mut out)
            .unwrap_or_else(|error| panic!("{format:?}: {error:#}"));
        match format {
            Format::Folded => {
                let total = folded::parse(out.as_slice(), &show)
                    .expect("folded")
                    .total();
                assert_eq!(total, sum(&text(&out)));
            }
            Format::Pprof => {
                let back = pprof::read(out.as_slice()).expect("pprof");
                assert_eq!(fold(&back, &show), fold(&profile, &show));
            }
            Format::Firefox => {
                serde_json::from_slice::<serde_json::Value>(&out).expect("JSON");
            }
            Format::Svg => xml(&out),
            Format::Text => plain(&out),
        }
    }
}

/// Well-formed, and without characters that XML has no way to hold.
fn xml(svg: &[u8]) {
    let svg = std::str::from_utf8(svg).expect("the picture is UTF-8");
    let mut reader = quick_xml::Reader::from_str(svg);
    loop {
        match reader.read_event().expect("the picture is XML") {
            quick_xml::events::Event::Eof => break,
            quick_xml::events::Event::Text(words) => {
                words.decode().expect("text");
            }
            _ => {}
        }
    }
    let bad = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t' | '\r') || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    assert!(!svg.contains(bad), "a character that XML can't hold");
}

/// Nothing that drives a terminal.
fn plain(report: &[u8]) {
    let report = std::str::from_utf8(report).expect("the report is UTF-8");
    assert!(
        !report.contains(|c: char| c.is_control() && c != '\n'),
        "control characters in the report"
    );
}
