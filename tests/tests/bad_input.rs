//! What can't work is told in one line, with the right exit code, and nothing is written.

use kprof_tests::{kprof, names, run, stderr, stdout};

const USAGE: i32 = 2;
const FAILED: i32 = 1;

#[test]
fn each_mistake_is_one_line() {
    let long_list: Vec<(&[&str], i32, &str)> = vec![
        (&["--frobnicate"], USAGE, "--frobnicate"),
        (&["frobnicate"], USAGE, "frobnicate"),
        (&["-e", "no-such-event"], USAGE, "no-such-event"),
        (
            &["-e", "sched:no_such_tracepoint"],
            USAGE,
            "no_such_tracepoint",
        ),
        (&["--pid", "4194304"], FAILED, "4194304"),
        (&["--tid", "4194304"], FAILED, "4194304"),
        (&["--pid", "0"], USAGE, "--pid 0"),
        (&["--tid", "0"], USAGE, "--tid 0"),
        (&["--pid", "many"], USAGE, "--pid"),
        (&["--pid", "1", "--tid", "2"], USAGE, "contradict"),
        (&["--kthreads", "--pid", "1"], USAGE, "kernel thread"),
        (&["--kthreads", "--tid", "1"], USAGE, "kernel thread"),
        (&["--pid", ""], USAGE, "--pid"),
        (&["--tid", ""], USAGE, "--tid"),
        (&["--cgroup", ""], USAGE, "--cgroup"),
        (&["-e", ""], USAGE, "no event \"\""),
        (&["-e", "sched:"], USAGE, "system:name"),
        (&["--comm", "a-name-of-over-15-bytes"], USAGE, "15"),
        (&["--comm", ""], USAGE, "--comm"),
        (&["--cpu", "4000"], USAGE, "online"),
        (&["--cpu", "3-1"], USAGE, "3-1"),
        (&["--cpu", ""], USAGE, "--cpu"),
        (&["--cgroup", "/no/such/cgroup"], FAILED, "/no/such/cgroup"),
        (&["-F", "0"], USAGE, "frequency"),
        (
            &["-F", "1000000000"],
            USAGE,
            "kernel.perf_event_max_sample_rate",
        ),
        (&["-F", "99", "--period", "5"], USAGE, "--period"),
        (&["--period", "0"], USAGE, "period"),
        (&["-d", "soon"], USAGE, "soon"),
        (&["-d", "-1"], USAGE, "-1"),
        (&["-i", "0"], USAGE, "-i"),
        (&["-i", "5s", "-d", "1s"], USAGE, "-i is longer than -d"),
        (&["--max-stacks", "0"], USAGE, "--max-stacks"),
        (&["--max-stacks", "1048577"], USAGE, "1048576"),
        (&["--vmlinux", "/boot/x"], USAGE, "--lines"),
        (
            &["--lines", "--vmlinux", "/no/such/vmlinux"],
            FAILED,
            "/no/such/vmlinux",
        ),
        (&["-o", "k.doc"], USAGE, ".folded .svg .pb.gz .json .txt"),
        (
            &["-o", "/no/such/folder/k.svg"],
            FAILED,
            "/no/such/folder/k.svg",
        ),
        (&["-o", "."], USAGE, "."),
        (&["-o", "k.svg", "-o", "./k.svg"], USAGE, "same file"),
        (&["-o", "k.json", "--stats", "k.json"], USAGE, "same file"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (arguments, code, word) in long_list {
        // The good output must not appear either.
        let output = kprof()
            .current_dir(&folder)
            .args(
                ["-d", "100ms", "-o", "good.svg"]
                    .iter()
                    .filter(|_| !arguments.contains(&"-d")),
            )
            .args(arguments)
            .output()
            .unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        assert!(
            said.starts_with("kprof: ") && said.contains(word),
            "{arguments:?}: {said}"
        );
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert_eq!(names(folder.path()), Vec::<String>::new(), "{arguments:?}");
    }
}

#[test]
fn an_existing_file_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("k.folded");
    std::fs::write(&file, "before 1\n").unwrap();
    let output = run(&["--pid", "4194304", "-o", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(FAILED));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "before 1\n");
    assert_eq!(names(folder.path()), ["k.folded"]);
}

#[test]
fn help_and_version_are_on_standard_output() {
    for flag in ["--help", "-h", "--version"] {
        let output = run(&[flag]);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("kprof") && stderr(&output).is_empty());
    }
}
