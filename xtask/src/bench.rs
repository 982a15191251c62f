//! `cargo xtask bench`: what kprof costs, beside bare programs and the peers that are installed.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

use crate::host::{self, say};
use crate::{build_ebpf, run};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the cases whose name contains this
    #[arg(value_name = "WORDS", default_value = "")]
    only: String,
    /// Load to measure under
    #[arg(long, value_name = "NAME", default_value = "ksoftirqd")]
    load: String,
}

/// Measures all cases under one load, and prints a table on stdout.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    build_ebpf::refresh()?;
    let kprof = run::build()?;
    let words = "build --quiet --release --locked --package kprof-user --example bench";
    host::run(host::cargo().args(words.split(' ')))?;
    let bench = host::target()?.join("release/examples/bench");

    let _load = Load::start(&args.load)?;
    say("each round takes 10 s; compare ratios, and nothing across rounds");
    let status = Command::new(bench)
        .arg(kprof)
        .arg(args.only)
        .stdin(Stdio::null())
        .status()
        .context("starting the benchmark")?;
    if !status.success() {
        bail!("the benchmark failed: {status}");
    }
    Ok(())
}

/// A load that runs until this is dropped.
struct Load(Child);

impl Load {
    /// Starts a load and waits until it says that it works.
    fn start(name: &str) -> anyhow::Result<Load> {
        let xtask = std::env::current_exe().context("finding this program")?;
        let mut child = Command::new(xtask)
            .args(["load", name, "--seconds", "3600"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting the load")?;
        let said = child.stderr.take().context("the load has no stderr")?;
        let load = Load(child);
        let mut said = BufReader::new(said);
        let mut line = String::new();
        while said.read_line(&mut line).context("reading the load")? > 0 {
            eprint!("{line}");
            if line.trim_end() == "load: working" {
                // It must not come to write into a pipe that nobody reads.
                std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::stderr()));
                return Ok(load);
            }
            line.clear();
        }
        bail!("the load {name} ended before it worked")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // SAFETY: the child was not waited for to its end, so the id is still its own.
        unsafe { libc::kill(self.0.id() as libc::pid_t, libc::SIGINT) };
        // It cleans up after itself.
        let _ = self.0.wait();
    }
}
