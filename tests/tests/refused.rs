//! What the machine refuses is told in one line with its mend, before anything is sampled or written.

use std::process::Command;
use std::time::{Duration, Instant};

use kprof_tests::lack::{self, capability};
use kprof_tests::place::Place;
use kprof_tests::{Outcome, live, stderr, stdout};

kprof_tests::suite![
    a_user_without_rights_is_told_how_to_get_them,
    each_capability_that_is_missing_is_named,
    a_system_call_filter_is_recognized,
    an_output_that_cannot_be_written_is_found_before_the_kernel_is_touched,
    a_rate_over_the_limit_names_the_limit_and_how_to_raise_it,
];

const FAILED: i32 = 1;
const USAGE: i32 = 2;

/// A kprof with an output; a capture that did start would take a minute.
fn capture(place: &Place) -> Command {
    let mut command = place.kprof();
    command.args(["-d", "60", "-o", "good.svg"]);
    command
}

/// Runs a kprof that is refused; returns what it says.
fn refused(place: &Place, command: &mut Command, code: i32, what: &str) -> String {
    let started = Instant::now();
    let output = command.output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{what}: {said}");
    assert_eq!(said.lines().count(), 1, "{what}: {said}");
    assert!(said.starts_with("kprof: "), "{what}: {said}");
    assert_eq!(stdout(&output), "", "{what}");
    assert_eq!(place.written(), Vec::<String>::new(), "{what}");
    assert!(started.elapsed() < Duration::from_secs(30), "{what}");
    said
}

#[track_caller]
fn assert_words(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "no {word} in: {said}");
    }
}

fn a_user_without_rights_is_told_how_to_get_them() -> Outcome {
    let _live = live()?;
    let place = Place::new();
    let mut command = capture(&place);
    lack::as_nobody(&mut command);
    let said = refused(&place, &mut command, FAILED, "nobody");
    let program = place.program().to_str().unwrap();
    assert_words(
        &said,
        &[
            "lacks CAP_BPF and CAP_PERFMON",
            "sudo kprof",
            "sudo setcap cap_bpf,cap_perfmon,cap_syslog+ep",
            program,
        ],
    );
    Ok(())
}

fn each_capability_that_is_missing_is_named() -> Outcome {
    let _live = live()?;
    let place = Place::new();
    let cases: [(&'static [libc::c_ulong], &str); 3] = [
        (&[capability::SYS_ADMIN, capability::BPF], "lacks CAP_BPF. "),
        (
            &[capability::SYS_ADMIN, capability::PERFMON],
            "lacks CAP_PERFMON. ",
        ),
        (
            &[capability::SYS_ADMIN, capability::BPF, capability::PERFMON],
            "lacks CAP_BPF and CAP_PERFMON. ",
        ),
    ];
    for (dropped, words) in cases {
        let mut command = capture(&place);
        lack::without_capabilities(&mut command, dropped);
        let said = refused(&place, &mut command, FAILED, words);
        // Root lacks it only where something withholds it.
        assert_words(&said, &[words, "--cap-add BPF --cap-add PERFMON"]);
        assert!(!said.contains("sudo kprof"), "sudo is no mend here: {said}");
    }
    Ok(())
}

fn a_system_call_filter_is_recognized() -> Outcome {
    let _live = live()?;
    let place = Place::new();
    for call in [libc::SYS_bpf, libc::SYS_perf_event_open] {
        let mut command = capture(&place);
        lack::without_calls(&mut command, [call, call]);
        let said = refused(&place, &mut command, FAILED, &format!("call {call}"));
        assert_words(&said, &["seccomp", "--security-opt seccomp=unconfined"]);
    }
    Ok(())
}

fn an_output_that_cannot_be_written_is_found_before_the_kernel_is_touched() -> Outcome {
    let _live = live()?;
    let place = Place::new();
    let bad: [&[&str]; 4] = [
        &["-o", "/no/such/folder/k.svg"],
        &["-o", "/sys/k.json"],
        &["--stats", "/no/such/folder/k.stats"],
        &["--stats-windows", "/no/such/folder/k.jsonl"],
    ];
    for arguments in bad {
        let mut command = capture(&place);
        command.args(arguments);
        // Sampling can't start; if that is not what kprof complains of, it did not try.
        lack::without_calls(&mut command, [libc::SYS_bpf, libc::SYS_perf_event_open]);
        let said = refused(&place, &mut command, FAILED, arguments[1]);
        assert_words(&said, &[arguments[1]]);
    }
    Ok(())
}

fn a_rate_over_the_limit_names_the_limit_and_how_to_raise_it() -> Outcome {
    let _live = live()?;
    let place = Place::new();
    let limit = std::fs::read_to_string("/proc/sys/kernel/perf_event_max_sample_rate").unwrap();
    let over = (limit.trim().parse::<u64>().unwrap() + 1).to_string();
    let mut command = capture(&place);
    command.args(["-F", &over]);
    let said = refused(&place, &mut command, USAGE, "rate");
    assert_words(
        &said,
        &[
            &format!("--freq {}", limit.trim()),
            &format!("sysctl -w kernel.perf_event_max_sample_rate={over}"),
        ],
    );
    Ok(())
}
