//! `cargo xtask fuzz`: tries inputs on everything that kprof reads, guided by coverage.
//!
//! The targets and their laws are in tests/fuzz; libFuzzer makes the inputs. New ones that reach new code are kept
//! in the target folder, so that each run begins where the last one ended.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::host::{self, say};
use crate::toolchain::Rustc;
use slice::{Finding, Slice};
use table::Totals;

mod engine;
mod output;
mod slice;
mod table;

pub(crate) use engine::NoCompiler;

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these targets [default: all]
    targets: Vec<String>,
    /// How long, all targets together: 40s, 30m, 2h
    #[arg(long, value_name = "TIME", default_value = "2h", value_parser = time)]
    time: Duration,
    /// Fuzzers side by side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: u32,
    /// Name the targets and leave
    #[arg(long)]
    list: bool,
}

/// How long the run inside `cargo xtask test` takes, all targets together.
const SHORT: Duration = Duration::from_secs(36);

/// Fuzzes, and ends with a table on stdout; fails if something was found.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let all = targets()?;
    if args.list {
        all.iter().for_each(|target| println!("{target}"));
        return Ok(ExitCode::SUCCESS);
    }
    for target in &args.targets {
        ensure!(
            all.contains(target),
            "there is no target {target}: there are {}",
            all.join(", ")
        );
    }
    let chosen = match args.targets.is_empty() {
        true => all,
        false => args.targets,
    };
    let folder = host::target()?.join("fuzz");
    let corpus = folder.join("corpus");
    let totals = fuzz(&chosen, args.time, args.jobs, &folder, &corpus)?;
    print!("{totals}");
    Ok(match totals.findings() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// A short run of all targets from the committed inputs, which keeps none of its own.
pub(crate) fn short() -> anyhow::Result<()> {
    let folder = host::target()?.join("fuzz");
    let corpus = folder.join("short");
    if corpus.exists() {
        std::fs::remove_dir_all(&corpus)
            .with_context(|| format!("emptying {}", corpus.display()))?;
    }
    let totals = fuzz(&targets()?, SHORT, 1, &folder, &corpus)?;
    eprint!("{totals}");
    // Other lints leave it out, as it takes the compiler.
    let words = "clippy --quiet --locked --package kprof-fuzz --features engine --bin engine -- -D warnings";
    host::run(host::cargo().args(words.split(' ')))?;
    match totals.findings() {
        0 => Ok(()),
        n => bail!("{n} findings"),
    }
}

/// The targets: each has a folder of inputs (a test holds that).
fn targets() -> anyhow::Result<Vec<String>> {
    let folder = seeds();
    let mut names = Vec::new();
    for entry in folder
        .read_dir()
        .with_context(|| format!("listing {}", folder.display()))?
    {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn seeds() -> PathBuf {
    host::root().join("tests/fuzz/corpus")
}

/// Fuzzes target after target, each for a slice of the time, round after round. A target in which something was
/// found is left out from then on.
fn fuzz(
    targets: &[String],
    time: Duration,
    jobs: u32,
    folder: &Path,
    corpus: &Path,
) -> anyhow::Result<Totals> {
    let engine = engine::build(&Rustc::find()?, folder)?;
    let (rounds, seconds) = plan(time, jobs, targets.len());
    say(format_args!(
        "{} targets, {rounds} rounds of {seconds} s each",
        targets.len()
    ));
    let start = Instant::now();
    let totals = Mutex::new(Totals::new(targets));
    let queue = Mutex::new((0..rounds).flat_map(|_| targets));
    let next = || queue.lock().expect("no worker panics with it").next();
    let work = || -> anyhow::Result<()> {
        while let Some(target) = next() {
            if totals.lock().expect("as above").found(target) {
                continue;
            }
            let slice = Slice {
                engine: &engine,
                target,
                seconds,
                seeds: &seeds().join(target),
                corpus: &corpus.join(target),
                findings: &folder.join("findings").join(target),
            };
            let done = slice.run()?;
            if let Some(finding) = &done.finding {
                tell(target, finding);
            }
            let mut totals = totals.lock().expect("as above");
            totals.add(target, &done);
            say(format_args!(
                "{:.0} s: {target}: {} executions, coverage {}, {} s of CPU in all",
                start.elapsed().as_secs_f64(),
                done.stats.executions,
                done.stats.coverage,
                totals.cpu().as_secs()
            ));
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| match worker.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
    })?;
    totals.into_inner().context("a worker panicked")
}

/// Rounds over all targets and seconds of each slice: about a minute, as far as the time allows.
fn plan(time: Duration, jobs: u32, targets: usize) -> (u64, u64) {
    let targets = targets.max(1) as u64;
    let all = time.as_secs() * u64::from(jobs);
    let rounds = (all / (targets * 60)).max(1);
    (rounds, (all / (targets * rounds)).max(1))
}

fn tell(target: &str, finding: &Finding) {
    say(format_args!("FOUND in {target}: {}", finding.what));
    say(format_args!("the input: {}", finding.input.display()));
    say(format_args!(
        "try it again: cargo run -q -p kprof-fuzz --bin replay -- {target} {}",
        finding.input.display()
    ));
    say(format_args!(
        "once mended, keep it: cp {} tests/fuzz/corpus/{target}/",
        finding.input.display()
    ));
}

fn time(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600)];
    let seconds = units.into_iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number
            .checked_mul(seconds)
            .filter(|&n| n > 0 && n < 366 * 86_400)
    });
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| format!("'{text}' is not a time; write 40s, 30m or 2h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time("2h"), Ok(Duration::from_secs(7_200)));
        assert_eq!(time("40s"), Ok(Duration::from_secs(40)));
        for text in ["", "h", "0s", "-1m", "5", "99999999999999999h"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn slices_fill_the_time() {
        let plan = |seconds, jobs| plan(Duration::from_secs(seconds), jobs, 18);
        assert_eq!(plan(7_200, 1), (6, 66));
        assert_eq!(plan(7_200, 2), (13, 61));
        assert_eq!(plan(36, 1), (1, 2));
        assert_eq!(plan(1, 1), (1, 1));
    }
}
