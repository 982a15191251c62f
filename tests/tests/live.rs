//! What kprof says is true: paths, shares, names and the accounting, under real loads.

use std::io::Read;
use std::time::Duration;

use kprof_tests::burn::Burner;
use kprof_tests::{
    Load, Outcome, expect_success, firefox, folded, identity, json, live, run, share, stdout, suite,
};

kprof_tests::suite![
    ksoftirqd_is_in_net_rx_action_in_every_output,
    a_known_path_has_the_share_that_proc_says,
    the_accounting_is_exact_in_windows_of_50_ms,
    a_drain_waits_for_programs_that_still_run,
    every_name_is_one_of_kallsyms,
];

/// Kernel threads that receive what other CPUs pass on, and a function that all of that goes through. With PREEMPT_RT,
/// and from 6.10 on, these are not ksoftirqd.
fn receivers() -> (&'static str, &'static str) {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let own = processes
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("comm")).ok())
        .any(|comm| comm.starts_with("backlog_napi/"));
    match own {
        true => ("backlog_napi", "process_backlog"),
        false => ("ksoftirqd", "net_rx_action"),
    }
}

fn ksoftirqd_is_in_net_rx_action_in_every_output() -> Outcome {
    let _live = live()?;
    let (thread, function) = receivers();
    let _load = Load::start("ksoftirqd", 20)?;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let files = ["k.svg", "k.pb.gz", "k.json", "k.folded", "k.txt"]
        .map(|name| at(name).to_str().unwrap().to_owned());
    let stats = at("k.stats");
    let mut arguments = vec![
        "--comm",
        thread,
        "-d",
        suite::by_speed("4", "2"),
        "-F",
        "499",
        "--stats",
        stats.to_str().unwrap(),
    ];
    files.iter().for_each(|file| arguments.extend(["-o", file]));
    expect_success(&run(&arguments));

    let lines = folded::parse(&std::fs::read_to_string(at("k.folded")).unwrap());
    assert!(
        lines.iter().all(|line| line.comm.starts_with(thread)),
        "{lines:?}"
    );
    let (all, net) = (folded::total(&lines), folded::through(&lines, function));
    assert!(
        net > 0 && net * 2 > all,
        "{net} of {all} samples in {function}: {lines:?}"
    );
    for file in ["k.svg", "k.json", "k.txt"] {
        let text = std::fs::read_to_string(at(file)).unwrap();
        assert!(text.contains(function), "{file}");
    }
    firefox::check(&json(&at("k.json")));
    let mut pprof = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(at("k.pb.gz")).unwrap())
        .read_to_end(&mut pprof)
        .unwrap();
    assert!(
        pprof
            .windows(function.len())
            .any(|bytes| bytes == function.as_bytes())
    );

    let stats = json(&stats);
    assert_eq!(stats["counted"].as_u64(), Some(all), "{stats}");
    assert_eq!(
        stats["lost"]
            .as_object()
            .unwrap()
            .values()
            .filter_map(|n| n.as_u64())
            .sum::<u64>(),
        0,
        "{stats}"
    );
    Ok(())
}

fn a_known_path_has_the_share_that_proc_says() -> Outcome {
    let _live = live()?;
    let burner = Burner::start(
        &["kp-known"],
        Duration::from_millis(37),
        Duration::from_millis(29),
    );
    let lines = share::check(&burner, Duration::from_secs(suite::by_speed(6, 4)), &[]);
    let reading = folded::through(&lines, "vfs_read") as f64 / folded::total(&lines) as f64;
    assert!(
        reading > 0.9,
        "only {reading:.2} of the samples are in vfs_read: {lines:?}"
    );
    Ok(())
}

/// Captures with these flags, again and again until there were so many windows: a slow machine drains fewer than fit in
/// a capture. Checks the accounting of each; returns the samples and how many of these spilled.
fn exact_windows(flags: &[&str], enough: usize) -> (u64, u64) {
    let (mut windows, mut seen, mut spilled) = (0, 0, 0);
    for _ in 0..8 {
        let (more, samples, taken) = exact_capture(flags);
        (windows, seen, spilled) = (windows + more, seen + samples, spilled + taken);
        if windows >= enough {
            return (seen, spilled);
        }
    }
    panic!("only {windows} windows in 8 captures");
}

/// One such capture: windows, samples, spilled samples.
fn exact_capture(flags: &[&str]) -> (usize, u64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("windows.jsonl");
    let all = ["--show-user", "--show-idle", "-o", "/dev/null", "-q"];
    let file = ["--stats-windows", path.to_str().unwrap()];
    let output = run(&[flags, &all, &file].concat());
    expect_success(&output);
    let text = std::fs::read_to_string(&path).unwrap();
    let windows: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (mut seen, mut spilled) = (0, 0);
    for (i, window) in windows.iter().enumerate() {
        let n = |field: &str| {
            window[field]
                .as_u64()
                .unwrap_or_else(|| panic!("no {field} in {window}"))
        };
        let what = format!("window {i}");
        let lost = window["lost"].as_object().unwrap().values();
        let lost: u64 = lost.filter_map(|n| n.as_u64()).sum();
        let ways = n("counted") + n("filtered") + lost;
        assert_eq!(n("seen"), ways, "{what}: {window}");
        assert_eq!(n("sum_of_counts"), n("counted"), "{what}: {window}");
        identity::check_losses(window, &what);
        seen += n("seen");
        spilled += n("spilled");
    }
    eprintln!(
        "{} windows, {seen} samples, {spilled} spilled",
        windows.len()
    );
    (windows.len(), seen, spilled)
}

fn the_accounting_is_exact_in_windows_of_50_ms() -> Outcome {
    let _live = live()?;
    let _load = Load::start("many-stacks", 100)?;
    let (duration, enough) = suite::by_speed(("6s", 200), ("3s", 20));
    let flags = ["-F", "4999", "-i", "50ms", "-d", duration];
    let (seen, spilled) = exact_windows(&flags, enough);
    assert!(spilled > 0, "no stack met a taken bucket in {seen} samples");
    Ok(())
}

/// Drains as often as can be, while the program runs at each system call and all CPUs make nothing else: at nearly each
/// drain it runs on some CPU, and would still write to the maps that are read.
fn a_drain_waits_for_programs_that_still_run() -> Outcome {
    let _live = live()?;
    let _load = Load::start("syscalls", 100)?;
    let (duration, enough) = suite::by_speed(("5s", 100), ("3s", 40));
    let flags = ["-e", "raw_syscalls:sys_enter", "--period", "1", "-i", "1ms"];
    let (seen, _) = exact_windows(&[&flags[..], &["-d", duration]].concat(), enough);
    assert!(seen > 1000, "only {seen} samples");
    Ok(())
}

fn every_name_is_one_of_kallsyms() -> Outcome {
    let _live = live()?;
    let _load = Load::start("syscalls", 20)?;
    let output = run(&["-F", "999", "-d", suite::by_speed("3", "2"), "--show-idle"]);
    expect_success(&output);
    let known = folded::kallsyms();
    let lines = folded::parse(&stdout(&output));
    assert!(lines.len() > 20, "{lines:?}");
    let (mut named, mut unknown) = (0, 0);
    for frame in lines.iter().flat_map(|line| &line.frames) {
        let name = frame.split(" [").next().unwrap_or(frame);
        if frame.starts_with("[unknown") || frame.starts_with("[stack limit") {
            unknown += 1;
        } else {
            assert!(known.contains(name), "{frame} is not in /proc/kallsyms");
            named += 1;
        }
    }
    assert!(
        unknown * 50 < named,
        "{unknown} frames without a name, {named} with one"
    );
    Ok(())
}
