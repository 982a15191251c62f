//! `cargo xtask test`: everything that must hold before a change goes in.

use std::io::{Read as _, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::host::{self, say};
use crate::tally::Tally;
use crate::{build_ebpf, fuzz, run, vm};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out the live tests on other kernels, which `cargo xtask vm` runs and which take the most time.
    #[arg(long)]
    this_kernel: bool,
    /// Arguments for `cargo test`, after `--`; with any, only the tests run, not the checks.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    args: Vec<String>,
}

/// Runs every step even where one fails, and fails if any did. Ends with the skipped tests and the totals.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let mut failed = Vec::new();
    let mut step = |name: &'static str, result: &mut dyn FnMut() -> anyhow::Result<()>| {
        let begin = Instant::now();
        eprintln!("\n==== {name}");
        let outcome = result();
        if let Err(error) = outcome {
            say(format_args!("FAILED: {name}: {error:#}"));
            failed.push(name);
        }
        eprintln!("==== {name}: {:.0} s", begin.elapsed().as_secs_f64());
    };

    // Nothing builds with a stale object. Whether the one checked in was stale is for .ci/run.
    step("BPF object: up to date", &mut build_ebpf::refresh);
    if args.args.is_empty() {
        step("format", &mut || {
            show(host::cargo().args(["fmt", "--all", "--check"]))
        });
        step("lints", &mut || {
            let words = "clippy --quiet --locked --workspace --all-targets -- -D warnings";
            show(host::cargo().args(words.split(' ')))
        });
        step("docs", &mut || {
            let words = "doc --quiet --locked --workspace --no-deps --document-private-items";
            show(
                host::cargo()
                    .args(words.split(' '))
                    .env("RUSTDOCFLAGS", "-D warnings"),
            )
        });
        step("BPF object: rebuild and compare", &mut build_ebpf::check);
        step("BPF object with logging", &mut with_log);
    }
    let mut kprof = None;
    let mut tally = Tally::default();
    step("kprof", &mut || {
        kprof = Some(run::build()?);
        Ok(())
    });
    step("tests: unit, golden, live", &mut || {
        let mut cargo = host::cargo();
        cargo
            .args(["test", "--locked", "--workspace", "--no-fail-fast"])
            .args(&args.args);
        if !args.args.iter().any(|word| word == "--") {
            cargo.arg("--");
        }
        // One at a time: the live ones load and measure the whole machine.
        cargo.arg("--test-threads=1");
        cargo.env(
            "KPROF",
            kprof.as_ref().context("there is no kprof to test")?,
        );
        count(&mut cargo, &mut tally)
    });
    if args.args.is_empty() {
        match args.this_kernel {
            false => step("tests on other kernels, in QEMU", &mut || {
                on_other_kernels(&mut tally)
            }),
            true => tally
                .skipped
                .push("other kernels: --this-kernel leaves them out".to_owned()),
        }
        let mut skipped = None;
        step("fuzzing, in short", &mut || {
            skipped = fuzz_briefly()?;
            Ok(())
        });
        tally.skipped.extend(skipped);
    }

    eprintln!("\n==== {:.0} s in all", start.elapsed().as_secs_f64());
    match failed.is_empty() {
        true => eprintln!("==== all passed"),
        false => eprintln!("==== failed: {}", failed.join(", ")),
    }
    for skip in &tally.skipped {
        println!("skipped: {skip}");
    }
    println!(
        "{} passed, {} failed, {} skipped",
        tally.passed,
        tally.failed,
        tally.skips()
    );
    Ok(match failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Runs `cargo test`, shows what it prints as it comes, and counts.
fn count(command: &mut Command, tally: &mut Tally) -> anyhow::Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting cargo")?;
    let mut output = child.stdout.take().context("a pipe was asked for")?;
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = output.read(&mut buffer).context("reading from cargo")?;
        if read == 0 {
            break;
        }
        let mut stdout = std::io::stdout();
        stdout
            .write_all(&buffer[..read])
            .and_then(|()| stdout.flush())
            .context("showing what cargo prints")?;
        for byte in &buffer[..read] {
            match byte {
                b'\n' => tally.line(&String::from_utf8_lossy(&std::mem::take(&mut line))),
                byte => line.push(*byte),
            }
        }
    }
    tally.line(&String::from_utf8_lossy(&line));
    tally.close();
    let status = child.wait().context("awaiting cargo")?;
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}

/// Runs the live tests on the kernels of the matrix, and counts. Says so where that can't be done here.
fn on_other_kernels(tally: &mut Tally) -> anyhow::Result<()> {
    let rows = match vm::test() {
        Err(error) if error.is::<vm::Unavailable>() && !host::must_run_all() => {
            tally.skipped.push(format!("other kernels: {error:#}"));
            return Ok(());
        }
        rows => rows?,
    };
    for row in &rows {
        tally.passed += row.tally.passed;
        // A guest that was stopped may have no failed test to show.
        tally.failed += row.tally.failed.max(u64::from(!row.is_good()));
    }
    for (skip, kernels) in vm::skips(&rows) {
        tally.skipped.push(format!("on {kernels}: {skip}"));
    }
    vm::check(&rows)
}

/// A kprof whose programs write a log builds, and the kernel takes the programs.
fn with_log() -> anyhow::Result<()> {
    match build_ebpf::with_log() {
        Err(error) if error.is::<build_ebpf::NoSource>() => {
            say(format_args!("skipped: {error:#}"));
            return Ok(());
        }
        built => built?,
    }
    let words = "clippy --quiet --locked --package kprof-user --features bpf-log -- -D warnings";
    show(host::cargo().args(words.split(' ')))?;
    // SAFETY: geteuid takes no arguments, touches no memory and can't fail.
    if unsafe { libc::geteuid() } != 0 {
        say("not root: the programs with logging are not loaded");
        return Ok(());
    }
    let words =
        "run --quiet --locked --package kprof-user --features bpf-log -- -q -d 200ms -o /dev/null";
    show(host::cargo().args(words.split(' ')))
}

/// Why it can't be done here, or nothing.
fn fuzz_briefly() -> anyhow::Result<Option<String>> {
    match fuzz::short() {
        Err(error) if error.is::<fuzz::NoCompiler>() => Ok(Some(format!("fuzzing: {error:#}"))),
        done => done.map(|()| None),
    }
}

/// Runs a command whose own output is what people want to see.
fn show(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .context("starting cargo")?;
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}
