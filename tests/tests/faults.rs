//! Ctrl-C, closed pipes, full disks, threads that change under the capture.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kprof_tests::burn::Burner;
use kprof_tests::{
    Outcome, Skip, expect_success, folded, json, kprof, live, names, run, signal, stderr, stdout,
    wait, wait_for_samples,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

kprof_tests::suite![
    ctrl_c_ends_early_and_everything_is_written,
    ctrl_c_at_any_moment_leaves_whole_files_or_none,
    a_reader_that_leaves_is_no_failure,
    a_full_disk_is_one_line_and_the_other_outputs_are_there,
    a_full_file_system_keeps_the_old_file,
    a_pipe_as_output_is_written_and_stays_a_pipe,
    a_thread_that_changes_its_name_is_seen_under_each,
    a_target_that_exits_ends_the_capture,
    nothing_matched_explains_itself,
    a_standard_error_that_is_full_or_gone_ends_nothing,
    names_do_not_drive_the_terminal,
    statistics_on_standard_output_are_alone_there,
];

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

fn ctrl_c_ends_early_and_everything_is_written() -> Outcome {
    /// Half a second's worth of one CPU.
    const SAMPLES: u64 = 500;
    let _live = live()?;
    let folder = tempfile::tempdir().unwrap();
    let _busy = Burner::start(&["kp-busy"], MS(50), MS(1));
    for code in [libc::SIGINT, libc::SIGTERM] {
        let (file, stats) = (
            path(folder.path(), "k.folded"),
            path(folder.path(), "k.stats"),
        );
        let mut child = kprof()
            .args(["-d", "0", "-F", "999", "-o", &file, "--stats", &stats])
            // Not a pipe that nobody reads: on a busy machine the stacks fill it.
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_for_samples(&mut child, SAMPLES);
        signal(&child, code);
        assert_eq!(wait(&mut child, Duration::from_secs(10)), Some(0));
        let stats = json(stats.as_ref());
        let seconds = stats["duration_ns"].as_u64().unwrap() as f64 / 1e9;
        let cpus = stats["cpus"].as_u64().unwrap();
        let least = SAMPLES as f64 / 999.0 / cpus as f64 * 0.9;
        assert!((least..60.0).contains(&seconds), "{stats}");
        assert!(folded::total(&folded::parse(&std::fs::read_to_string(file).unwrap())) > 0);
    }
    assert_eq!(names(folder.path()), ["k.folded", "k.stats"]);
    Ok(())
}

fn ctrl_c_at_any_moment_leaves_whole_files_or_none() -> Outcome {
    let _live = live()?;
    for wait_ms in [0, 1, 2, 5, 10, 20, 40, 60, 80, 100, 130, 160, 200, 300, 400] {
        let folder = tempfile::tempdir().unwrap();
        let file = path(folder.path(), "k.json");
        let mut child = kprof()
            .args(["-d", "250ms", "-F", "499", "-o", &file])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(MS(wait_ms));
        signal(&child, libc::SIGINT);
        let code = wait(&mut child, Duration::from_secs(10));
        let left = names(folder.path());
        match code {
            // Complete, or ended early with all it had.
            Some(0) => {
                assert_eq!(left, ["k.json"], "after {wait_ms} ms");
                json(file.as_ref());
            }
            // Before anything was captured; or before kprof's first instruction, by the signal itself.
            Some(130) | None => assert_eq!(left, Vec::<String>::new(), "after {wait_ms} ms"),
            other => panic!("exit {other:?} after {wait_ms} ms"),
        }
    }
    // However long the start takes: right at the first sample, and later.
    for samples in [1, 20, 300] {
        let folder = tempfile::tempdir().unwrap();
        let file = path(folder.path(), "k.json");
        let mut child = kprof()
            .args(["-d", "60", "-F", "499", "-o", &file])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for_samples(&mut child, samples);
        signal(&child, libc::SIGINT);
        let code = wait(&mut child, Duration::from_secs(10));
        assert_eq!(code, Some(0), "after {samples} samples");
        assert_eq!(names(folder.path()), ["k.json"], "after {samples} samples");
        json(file.as_ref());
    }
    Ok(())
}

fn a_reader_that_leaves_is_no_failure() -> Outcome {
    let _live = live()?;
    let _busy = Burner::start(&["kp-busy"], MS(50), MS(1));
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "k.folded");
    let started = Instant::now();
    let mut child = kprof()
        .args(["-d", "30", "-i", "100ms", "-F", "999", "-o", &file])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(folded::parse(&line).len(), 1, "streaming works: {line}");
    let output = child.wait_with_output().unwrap();
    expect_success(&output);
    assert_eq!(stderr(&output), "");
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "goes on without a reader"
    );
    assert!(folded::total(&folded::parse(&std::fs::read_to_string(file).unwrap())) > 0);
    Ok(())
}

fn a_full_disk_is_one_line_and_the_other_outputs_are_there() -> Outcome {
    let _live = live()?;
    let _busy = Burner::start(&["kp-busy"], MS(50), MS(1));
    let folder = tempfile::tempdir().unwrap();
    let good = path(folder.path(), "good.folded");
    let output = run(&[
        "-d",
        "300ms",
        "-F",
        "999",
        "-q",
        "-o",
        "/dev/full",
        "-o",
        &good,
    ]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains("/dev/full") && said.contains("No space left"),
        "{said}"
    );
    assert!(!std::fs::read(&good).unwrap().is_empty());
    Ok(())
}

fn a_full_file_system_keeps_the_old_file() -> Outcome {
    let _live = live()?;
    let _busy = Burner::start(&["kp-busy"], MS(50), MS(1));
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
        mount -t tmpfs -o size=16k tmpfs "$0" || exit 77
        echo old 1 > "$0/k.svg"
        head -c 100000 /dev/zero > "$0/filler" 2>/dev/null
        "$1" -q -F 999 -d 500ms --show-user -o "$0/k.svg"
        code=$?
        cat "$0/k.svg"; ls -A "$0"
        exit $code"#;
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .arg(folder.path())
        .arg(kprof().get_program())
        .output();
    let output = match output {
        Ok(output) if output.status.code() != Some(77) && !stderr(&output).contains("unshare") => {
            output
        }
        Ok(output) => {
            return Err(Skip::because(format_args!(
                "no private tmpfs here: {}",
                stderr(&output)
            )));
        }
        Err(error) => return Err(Skip::because(format_args!("no unshare(1) here: {error}"))),
    };
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    assert!(
        stderr(&output).contains("No space left"),
        "{}",
        stderr(&output)
    );
    assert_eq!(stdout(&output), "old 1\nfiller\nk.svg\n");
    Ok(())
}

fn a_pipe_as_output_is_written_and_stays_a_pipe() -> Outcome {
    let _live = live()?;
    let _busy = Burner::start(&["kp-busy"], MS(50), MS(1));
    let folder = tempfile::tempdir().unwrap();
    let script = r#"mkfifo "$0/p" || exit; cat "$0/p" > "$0/copy" &
        "$1" -q -F 999 -d 300ms -o "$0/p" -o /dev/null; code=$?; wait; test -p "$0/p" && test -c /dev/null && exit $code"#;
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(folder.path())
        .arg(kprof().get_program())
        .output()
        .unwrap();
    expect_success(&output);
    assert!(
        folded::total(&folded::parse(
            &std::fs::read_to_string(folder.path().join("copy")).unwrap()
        )) > 0
    );
    Ok(())
}

fn a_thread_that_changes_its_name_is_seen_under_each() -> Outcome {
    let _live = live()?;
    let busy = Burner::start(&["kp-alpha", "kp-beta"], MS(60), MS(2));
    let tid = busy.tid().to_string();
    let both = run(&["-d", "1500ms", "-F", "999", "--tid", &tid]);
    expect_success(&both);
    let both = folded::parse(&stdout(&both));
    let of = |name: &str| {
        both.iter()
            .filter(|l| l.comm == name)
            .map(|l| l.count)
            .sum::<u64>()
    };
    assert!(of("kp-alpha") > 50 && of("kp-beta") > 50, "{both:?}");
    let one = run(&["-d", "1500ms", "-F", "999", "--comm", "kp-beta"]);
    expect_success(&one);
    let one = folded::parse(&stdout(&one));
    assert!(
        !one.is_empty() && one.iter().all(|l| l.comm == "kp-beta"),
        "{one:?}"
    );
    Ok(())
}

fn a_target_that_exits_ends_the_capture() -> Outcome {
    let _live = live()?;
    let mut target = Command::new("cat")
        .arg("/dev/zero")
        .stdout(std::fs::File::create("/dev/null").unwrap())
        .spawn()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "k.folded");
    let pid = target.id().to_string();
    let mut child = kprof()
        .args(["-d", "60", "-F", "999", "--pid", &pid, "-o", &file])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_samples(&mut child, 500);
    let killed = Instant::now();
    target.kill().unwrap();
    // Not reaped before kprof ends: a dead process that waits for its parent is gone all the same.
    let output = child.wait_with_output().unwrap();
    target.wait().unwrap();
    expect_success(&output);
    assert!(killed.elapsed() < Duration::from_secs(20));
    assert!(
        stderr(&output).contains(&format!("process {pid} has exited")),
        "{}",
        stderr(&output)
    );
    let lines = folded::parse(&std::fs::read_to_string(&file).unwrap());
    assert!(
        folded::total(&lines) > 0 && lines.iter().all(|line| line.comm == "cat"),
        "{lines:?}"
    );
    assert_eq!(names(folder.path()), ["k.folded"]);
    Ok(())
}

fn nothing_matched_explains_itself() -> Outcome {
    let _live = live()?;
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<String> = ["k.folded", "k.svg", "k.json", "k.pb.gz", "k.txt"]
        .iter()
        .map(|name| path(folder.path(), name))
        .collect();
    let mut arguments = vec!["-d", "500ms", "--comm", "ksoftirqx"];
    files.iter().for_each(|file| arguments.extend(["-o", file]));
    let output = run(&arguments);
    expect_success(&output);
    let said = stderr(&output);
    assert!(
        said.contains("nothing matched --comm ksoftirqx") && said.contains("ksoftirqd/0"),
        "{said}"
    );
    assert_eq!(stdout(&output), "");
    assert_eq!(std::fs::read_to_string(&files[0]).unwrap(), "");
    assert!(
        std::fs::read_to_string(&files[1])
            .unwrap()
            .contains("</svg>")
    );
    json(files[2].as_ref());
    Ok(())
}

fn a_standard_error_that_is_full_or_gone_ends_nothing() -> Outcome {
    let _live = live()?;
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "k.svg");
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let (reader, gone) = std::io::pipe().unwrap();
    drop(reader);
    for stderr in [Stdio::from(full), Stdio::from(gone)] {
        let status = kprof()
            .args(["-d", "100ms", "--comm", "kp-nobody", "-o", &file])
            .stdout(Stdio::null())
            .stderr(stderr)
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(0));
        std::fs::remove_file(&file).unwrap();
    }
    Ok(())
}

fn names_do_not_drive_the_terminal() -> Outcome {
    let _live = live()?;
    let _busy = Burner::start(&["kp\x1b[2Jx\n"], MS(50), MS(1));
    for pattern in ["kp\x1b[2Jz\n", "kp\x1b[2Jx\n"] {
        // Both the name asked for and the names like it are told; the second one matches, on no CPU.
        let output = run(&["-d", "100ms", "--comm", pattern, "--kthreads"]);
        expect_success(&output);
        let said = stderr(&output);
        assert!(said.contains(r"kp\u{1b}[2J"), "{said}");
        assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said}");
        assert!(
            said.lines().all(|line| line.starts_with("kprof: ")),
            "{said}"
        );
        assert_eq!(said.lines().count(), 2, "{said}");
    }
    Ok(())
}

fn statistics_on_standard_output_are_alone_there() -> Outcome {
    let _live = live()?;
    let output = run(&[
        "-d",
        "100ms",
        "-F",
        "999",
        "--show-idle",
        "--show-user",
        "--stats",
        "-",
    ]);
    expect_success(&output);
    let stats: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(stats["seen"].as_u64() > Some(0), "{stats}");
    Ok(())
}
