//! What kprof writes, as its readers see it: a terminal, a browser, `go tool pprof`.

use std::time::{Duration, Instant};

use kprof_tests::{Load, Outcome, expect_success, json, kprof, live, run, run_on_terminal, tools};

kprof_tests::suite![
    go_tool_pprof_reads_a_capture,
    the_report_is_as_wide_as_the_terminal,
    the_words_in_a_flame_graph_fit_narrow_windows,
    what_came_before_kprof_in_its_process_is_not_its_own,
];

fn go_tool_pprof_reads_a_capture() -> Outcome {
    let _live = live()?;
    let go = tools::go()?;
    let _load = Load::start("ksoftirqd", 20)?;
    let folder = tempfile::tempdir().unwrap();
    let (file, stats) = (folder.path().join("k.pb.gz"), folder.path().join("k.stats"));
    let names = [&file, &stats].map(|path| path.to_str().unwrap());
    let arguments = ["--comm", "ksoftirqd", "-d", "2", "-F", "999", "-q"];
    expect_success(&run(&[
        &arguments[..],
        &["-o", names[0], "--stats", names[1]],
    ]
    .concat()));
    let top = tools::pprof(&go, "-top", &file);
    assert!(
        top.lines().any(|line| line.ends_with(" net_rx_action")),
        "{top}"
    );
    let raw = tools::pprof(&go, "-raw", &file);
    let counted = json(&stats)["counted"].as_u64();
    assert_eq!(Some(raw_samples(&raw)), counted, "{raw}");
    Ok(())
}

/// Sum of the first value of all samples in pprof's raw view, whose lines are `COUNT NANOSECONDS: LOCATIONS`.
fn raw_samples(raw: &str) -> u64 {
    let samples = raw
        .lines()
        .skip_while(|line| !line.starts_with("samples/count "))
        .take_while(|line| *line != "Locations");
    samples
        .filter_map(|line| line.split_once(':'))
        .filter_map(|(values, _)| values.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

fn the_report_is_as_wide_as_the_terminal() -> Outcome {
    let _live = live()?;
    for columns in [72, 130] {
        let arguments = [
            "-d",
            "500ms",
            "-F",
            "999",
            "--show-idle",
            "--show-user",
            "-q",
        ];
        let report = run_on_terminal(columns, &arguments);
        let widest = report.lines().map(|line| line.chars().count()).max();
        let least = usize::from(columns) - 20;
        assert!(widest <= Some(columns.into()), "{widest:?}: {report}");
        assert!(widest >= Some(least), "{widest:?}: {report}");
    }
    Ok(())
}

fn the_words_in_a_flame_graph_fit_narrow_windows() -> Outcome {
    let _live = live()?;
    let chromium = tools::chromium()?;
    let folder = tempfile::tempdir().unwrap();
    for (name, filter) in [
        ("all.svg", "--cpu=0"),
        ("none.svg", "--comm=no-such-thread"),
    ] {
        let file = folder.path().join(name);
        expect_success(&run(&[
            "-d",
            "500ms",
            "-q",
            filter,
            "-o",
            file.to_str().unwrap(),
        ]));
        let lines = |width| {
            let dom = tools::dom(&chromium, &file, width);
            let lines: Vec<String> = dom
                .split("<tspan ")
                .skip(1)
                .filter_map(|part| part.split_once('>')?.1.split('<').next())
                .map(str::to_owned)
                .collect();
            assert!(!lines.is_empty(), "{dom}");
            lines
        };
        let (wide, narrow) = (lines(1200), lines(500));
        let longest = |lines: &[String]| lines.iter().map(String::len).max();
        // A monospace character of 12 pixels is 7 wide or more; 480 pixels are between the margins.
        assert!(longest(&narrow) <= Some(480 / 7 + 1), "{name}: {narrow:?}");
        assert!(longest(&wide) > longest(&narrow), "{name}: {wide:?}");
        let words = |lines: &[String]| {
            lines
                .join(" ")
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(&wide), words(&narrow), "{name}");
    }
    Ok(())
}

fn what_came_before_kprof_in_its_process_is_not_its_own() -> Outcome {
    let _live = live()?;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("k.stats");
    let before = Duration::from_secs(2);
    let script = r#"sleep 2; exec "$0" -q -d 200ms -o /dev/null --stats "$1""#;
    let started = Instant::now();
    let status = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(kprof().get_program())
        .arg(&file)
        .status()
        .unwrap();
    assert!(status.success());
    let first = Duration::from_nanos(json(&file)["first_sample_ns"].as_u64().unwrap());
    let wall = started.elapsed();
    assert!(first + before <= wall, "{first:?} of {wall:?}");
    Ok(())
}
