//! Where a machine or a limit allows less than kprof wants, it says which and what mends it.

use std::process::{Command, Output};

use kprof_tests::lack::{self, capability};
use kprof_tests::namespace::{self, Mount};
use kprof_tests::{Outcome, Skip, expect_success, kprof, live, names, stderr, stdout};

kprof_tests::suite![
    a_file_over_the_size_limit_is_one_line_and_leaves_nothing,
    without_sys_doctor_and_record_agree,
    a_user_namespace_is_named,
    hidden_symbols_are_told_with_what_mends_it,
];

fn a_file_over_the_size_limit_is_one_line_and_leaves_nothing() -> Outcome {
    let _live = live()?;
    let folder = tempfile::tempdir().unwrap();
    let script =
        r#"ulimit -f 1; exec "$1" -q -d 200ms -F 999 --show-idle --show-user -o "$0/k.svg""#;
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(folder.path())
        .arg(kprof().get_program())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = stderr(&output);
    assert!(
        said.lines().count() == 1 && said.contains("k.svg: "),
        "{said}"
    );
    assert_eq!(names(folder.path()), Vec::<String>::new());
    Ok(())
}

/// Runs a script of the shell, with kprof as `$0`, in namespaces of its own.
fn script_in(
    namespaces: libc::c_int,
    mounts: &'static [Mount],
    script: &str,
) -> Result<Output, Skip> {
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(kprof().get_program());
    namespace::enter(&mut command, namespaces, mounts);
    namespace::output(&mut command)
}

fn without_sys_doctor_and_record_agree() -> Outcome {
    let _live = live()?;
    let script = r#""$0" doctor; "$0" -q -d 100ms"#;
    let output = script_in(libc::CLONE_NEWNS, &[Mount::Empty(c"/sys")], script)?;
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.lines().count() == 1 && said.contains("mount -t sysfs"),
        "{said}"
    );
    let doctor = stdout(&output);
    assert!(doctor.contains("kprof can't record here"), "{doctor}");
    assert!(doctor.contains("mount -t sysfs"), "{doctor}");
    Ok(())
}

fn a_user_namespace_is_named() -> Outcome {
    let _live = live()?;
    let script = r#""$0" -q -d 100ms; test $? = 1 && "$0" doctor >&2; echo"#;
    let output = script_in(libc::CLONE_NEWUSER, &[], script)?;
    let said = stderr(&output);
    let first = said.lines().next().unwrap();
    assert!(
        first.starts_with("kprof: cannot") && first.contains("user namespace"),
        "{said}"
    );
    assert!(said.contains("kprof can't record here"), "{said}");
    assert!(
        !said.contains("5.11.") && !said.contains("security module"),
        "{said}"
    );
    Ok(())
}

fn hidden_symbols_are_told_with_what_mends_it() -> Outcome {
    let _live = live()?;
    let mut command = kprof();
    command.args(["-d", "300ms", "-F", "999", "--show-idle"]);
    lack::without_capabilities(&mut command, &[capability::SYSLOG]);
    let output = command.output().unwrap();
    expect_success(&output);
    if !stdout(&output).contains("symbols hidden") {
        return Err(Skip::because(
            "this machine's settings show symbols to everybody",
        ));
    }
    let said = stderr(&output);
    assert!(
        said.lines().count() == 1 && said.contains("this process lacks CAP_SYSLOG"),
        "{said}"
    );
    Ok(())
}
