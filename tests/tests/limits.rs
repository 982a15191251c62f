//! Where a machine or a limit allows less than kprof wants, it says which and what mends it.

use std::process::Command;

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

fn without_sys_doctor_and_record_agree() -> Outcome {
    let _live = live()?;
    let script = r#"mount -t tmpfs none /sys || exit 77; "$0" doctor; "$0" -q -d 100ms"#;
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .arg(kprof().get_program())
        .output()
        .unwrap();
    let said = stderr(&output);
    if output.status.code() == Some(77) || said.contains("unshare") {
        return Err(Skip::because(format_args!(
            "no private mounts here: {said}"
        )));
    }
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
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", script])
        .arg(kprof().get_program())
        .output()
        .unwrap();
    let said = stderr(&output);
    if said.contains("unshare") {
        return Err(Skip::because(format_args!(
            "no user namespaces here: {said}"
        )));
    }
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
    let output = Command::new("setpriv")
        .arg("--bounding-set=-syslog")
        .arg(kprof().get_program())
        .args(["-d", "300ms", "-F", "999", "--show-idle"])
        .output();
    let output = match output {
        Ok(output) if stdout(&output).contains("symbols hidden") => output,
        other => {
            return Err(Skip::because(format_args!(
                "symbols can't be hidden here: {other:?}"
            )));
        }
    };
    expect_success(&output);
    let said = stderr(&output);
    assert!(
        said.lines().count() == 1 && said.contains("this process lacks CAP_SYSLOG"),
        "{said}"
    );
    Ok(())
}
