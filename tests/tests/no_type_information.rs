//! Where the kernel's type information (BTF) can't be read: all works that doesn't need it, and the rest is refused with
//! its mend.

use std::process::{Command, Output};
use std::time::Duration;

use kprof_tests::advice::Advice;
use kprof_tests::burn::Burner;
use kprof_tests::identity::{self, check_line};
use kprof_tests::namespace::{self, Mount};
use kprof_tests::{
    Outcome, Skip, expect_success, folded, json, kprof, live, names, stderr, stdout,
};

kprof_tests::suite![
    samples_are_counted_and_named,
    what_takes_it_is_refused_and_the_doctor_agrees,
    a_file_that_would_mark_kernel_threads_says_that_it_does_not,
];

/// Runs kprof where the folder of BTF is empty.
fn without_btf(arguments: &[&str]) -> Result<Output, Skip> {
    let mut command: Command = kprof();
    command.args(arguments);
    hide(&mut command);
    namespace::output(&mut command)
}

fn hide(command: &mut Command) {
    namespace::enter(
        command,
        libc::CLONE_NEWNS,
        &[Mount::Empty(c"/sys/kernel/btf")],
    );
}

fn samples_are_counted_and_named() -> Outcome {
    let _live = live()?;
    let busy = Burner::start(
        &["kp-typeless"],
        Duration::from_millis(50),
        Duration::from_millis(1),
    );
    let folder = tempfile::tempdir().unwrap();
    let stats = folder.path().join("k.stats");
    let stats = stats.to_str().unwrap();
    let all = ["-d", "1", "-F", "999", "--show-user", "--show-idle"];
    let output = without_btf(&[&all[..], &["--stats", stats]].concat())?;
    expect_success(&output);
    assert_eq!(stderr(&output), "");
    let lines = folded::parse(&stdout(&output));
    identity::check(&lines, &json(stats.as_ref()), "all threads");
    assert!(folded::through(&lines, "vfs_read") > 0, "{lines:?}");
    // Names are matched by another helper then.
    let tid = busy.tid().to_string();
    for filter in [["--comm", "kp-typeless"], ["--tid", &tid]] {
        let output = without_btf(&[&all[..], &filter].concat())?;
        expect_success(&output);
        let lines = folded::parse(&stdout(&output));
        let is = |line: &folded::Line| line.comm == "kp-typeless";
        assert!(!lines.is_empty() && lines.iter().all(is), "{lines:?}");
    }
    Ok(())
}

fn what_takes_it_is_refused_and_the_doctor_agrees() -> Outcome {
    let _live = live()?;
    let folder = tempfile::tempdir().unwrap();
    let mut command = kprof();
    command
        .args(["-d", "60", "--kthreads", "-o", "k.svg"])
        .current_dir(folder.path());
    hide(&mut command);
    let output = namespace::output(&mut command)?;
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let words = [
        "--kthreads",
        "/sys/kernel/btf/vmlinux",
        "CONFIG_DEBUG_INFO_BTF=y",
    ];
    check_line(&said, &words, "--kthreads");
    assert_eq!(stdout(&output), "");
    assert_eq!(names(folder.path()), [""; 0]);
    let advice = Advice::read(&without_btf(&["doctor", "--json"])?);
    assert!(advice.can_record);
    assert_eq!(advice.status("type information (BTF)"), "limited");
    assert!(advice.explains("limited", &said), "{said}: {advice:?}");
    Ok(())
}

fn a_file_that_would_mark_kernel_threads_says_that_it_does_not() -> Outcome {
    let _live = live()?;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (pprof, svg) = (file("k.pb.gz"), file("k.svg"));
    let few = ["-d", "200ms", "--show-idle", "-o", &svg];
    let output = without_btf(&few)?;
    expect_success(&output);
    assert_eq!(stderr(&output), "");
    let output = without_btf(&[&few[..], &["-o", &pprof]].concat())?;
    expect_success(&output);
    let words = ["k.pb.gz", "kernel threads", "CONFIG_DEBUG_INFO_BTF=y"];
    check_line(&stderr(&output), &words, "pprof");
    Ok(())
}
