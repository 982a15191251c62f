//! `cargo xtask load`: real kernel work, made without third-party programs.
//!
//! Each load is one module with a `run(&Run) -> Result<String>`. A load says on stderr what it does
//! and which threads to look at, and again once it works; it goes on until its time is over or a signal asks it to stop, and
//! returns what it really did as `key=value` words. That is the last line, on stdout.
//!
//! A load leaves nothing behind, even when it is killed: everything it makes is held by an open
//! file descriptor or a thread of this one process (anonymous network namespaces, detached mounts,
//! files without a name). Only `many-stacks` needs named files; see [`scratch`].

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;

mod cpu;
mod ksoftirqd;
mod kworker;
mod many_stacks;
mod netlink;
mod netns;
mod proc;
mod random;
mod run;
mod scratch;
mod softirq_idle;
mod steered;
mod syscalls;

/// Options of `cargo xtask load`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which load
    #[arg(value_enum)]
    name: Name,
    /// How long, in seconds; Ctrl-C ends it early
    #[arg(long, value_name = "N", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Directory for temporary files (kworker, many-stacks), on a disk file system [default: target]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// A flood of small packets that makes ksoftirqd burn CPU
    Ksoftirqd,
    /// Dirty pages written back by kworker threads
    Kworker,
    /// Threads in one known system call each, at a known share of a CPU
    Syscalls,
    /// Packet bursts whose softirqs land on an otherwise idle CPU
    SoftirqIdle,
    /// As many distinct kernel stacks as possible
    ManyStacks,
}

/// Runs one load to its end and prints what it did.
pub(crate) fn run(args: Args) -> Result<()> {
    let dir = match args.dir {
        Some(dir) => dir,
        None => scratch::default_dir()?,
    };
    let run = run::Run::start(Duration::from_secs(args.seconds), dir)?;
    let did = match args.name {
        Name::Ksoftirqd => ksoftirqd::run(&run),
        Name::Kworker => kworker::run(&run),
        Name::Syscalls => syscalls::run(&run),
        Name::SoftirqIdle => softirq_idle::run(&run),
        Name::ManyStacks => many_stacks::run(&run),
    }?;
    let line = format!("{did} seconds={:.1}\n", run.elapsed().as_secs_f64());
    match io::stdout().write_all(line.as_bytes()) {
        // Nobody wants to know any more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("print what the load did"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Args, Name};

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(words: &[&str]) -> Result<Args, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"load").chain(words)).map(|cli| cli.args)
    }

    #[test]
    fn every_load_has_its_name() {
        for (word, name) in [
            ("ksoftirqd", Name::Ksoftirqd),
            ("kworker", Name::Kworker),
            ("syscalls", Name::Syscalls),
            ("softirq-idle", Name::SoftirqIdle),
            ("many-stacks", Name::ManyStacks),
        ] {
            let args = parse(&[word]).unwrap();
            assert_eq!(args.name, name);
            assert_eq!(args.seconds, 30);
        }
    }

    #[test]
    fn wrong_arguments_are_refused() {
        assert!(parse(&[]).is_err());
        assert!(parse(&["nosuch"]).is_err());
        assert!(parse(&["kworker", "--seconds", "0"]).is_err());
        assert!(parse(&["kworker", "--seconds", "3601"]).is_err());
        assert!(parse(&["kworker", "--seconds", "1.5"]).is_err());
        assert!(parse(&["kworker", "--seconds", "-1"]).is_err());
    }
}
