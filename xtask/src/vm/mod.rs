//! `cargo xtask vm`: Debian's kernels in QEMU, and the live tests, or one command, on each.

use std::collections::VecDeque;
use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::host::{self, say};
use crate::tally::Tally;

mod console;
mod guest;
mod initramfs;
mod kernels;
mod matrix;
mod modules;
mod programs;
mod report;
mod tools;

use guest::{End, Machine, Work};
use kernels::{Image, Store};
use matrix::Kernel;
use programs::Programs;
use report::Row;
use tools::Qemu;

/// So many kernels of the matrix must have been tested for a run of it to be a success.
const ENOUGH: usize = 6;
/// Guests at a time.
const AT_A_TIME: usize = 2;
/// Overrides the folder of kernels and tools, so that several checkouts can share one.
const FOLDER_VARIABLE: &str = "KPROF_VM_CACHE";

/// Options of `cargo xtask vm`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kernels, such as 5.10,6.12-rt,6.12-generic; the whole matrix unless given.
    #[arg(long, value_delimiter = ',', value_name = "KERNEL")]
    kernel: Vec<Kernel>,
    /// List the kernels, what the cache has of each and what the mirror holds.
    #[arg(long)]
    list: bool,
    /// Fetch kernels anew, should the mirror hold newer ones than the cache.
    #[arg(long)]
    update: bool,
    /// CPUs of each guest, instead of the matrix's own numbers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: Option<u32>,
    /// Run these test programs alone, such as live,spill.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAME",
        conflicts_with = "command"
    )]
    suite: Vec<String>,
    /// Stop a guest after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
    /// QEMU's accelerator. Software is slow and works anywhere; kvm is fast, where the machine has it.
    #[arg(long, value_name = "NAME", default_value = "tcg,thread=multi")]
    accel: String,
    /// More words for the kernels' command lines.
    #[arg(
        long,
        value_name = "WORDS",
        default_value = "",
        allow_hyphen_values = true
    )]
    append: String,
    /// A command for the guests' shell instead of the tests, after `--`; kprof and xtask are on its
    /// path. With one kernel, on a terminal, it can be `sh`.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs the tests or the command on each kernel; ends with the command's exit code, or 1 where a
/// guest or a test failed.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let cache = match std::env::var_os(FOLDER_VARIABLE) {
        Some(folder) => std::path::absolute(folder).context("the cache's folder")?,
        None => host::target()?.join("vm"),
    };
    fs::create_dir_all(&cache).with_context(|| format!("creating {}", cache.display()))?;
    // Two runs would write the same logs.
    let lock = cache.join("lock");
    let guard = fs::File::create(&lock).with_context(|| format!("creating {}", lock.display()))?;
    if guard.try_lock().is_err() {
        say("waiting for another `cargo xtask vm` to end");
        guard.lock().context("waiting for the cache")?;
    }
    let mut store = Store::new(&cache.join("kernels"));
    let wanted = match args.kernel.is_empty() {
        true => Kernel::matrix(),
        false => args.kernel.clone(),
    };
    if args.list {
        return list(&mut store, &wanted);
    }
    match args.command.is_empty() {
        true => tests(&args, &cache, &mut store, &wanted),
        false => command(&args, &cache, &mut store, &wanted),
    }
}

fn list(store: &mut Store, kernels: &[Kernel]) -> anyhow::Result<ExitCode> {
    println!("{:<13} {:>4}  {:<30} offered", "kernel", "CPUs", "cached");
    for kernel in kernels {
        let offered = store.offered(kernel)?;
        println!(
            "{kernel:<13} {:>4}  {:<30} {}",
            kernel.cpus(),
            store.cached(kernel).as_deref().unwrap_or("-"),
            offered.as_deref().unwrap_or("-")
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// What is the same for tests and commands.
struct Ready {
    qemu: Qemu,
    base: PathBuf,
    logs: PathBuf,
    images: Vec<Image>,
    suites: Vec<String>,
}

fn prepare(
    args: &Args,
    cache: &std::path::Path,
    store: &mut Store,
    kernels: &[Kernel],
    tests: bool,
) -> anyhow::Result<Ready> {
    let qemu = Qemu::find(cache)?;
    let busybox = tools::busybox(cache, store)?;
    let mut images = Vec::new();
    for kernel in kernels {
        if args.update {
            store.drop_old(kernel)?;
        }
        match store.get(kernel)? {
            Some(image) => images.push(image),
            None => say(format_args!("the mirror does not hold kernel {kernel}")),
        }
    }
    if images.is_empty() {
        bail!("there is no kernel to boot: `cargo xtask vm --list` shows what there is");
    }
    let programs = Programs::build(tests)?;
    let base = cache.join("programs.cpio");
    programs.archive(&busybox, &base)?;
    Ok(Ready {
        qemu,
        base,
        logs: cache.join("logs"),
        images,
        suites: programs.suites(),
    })
}

fn command(
    args: &Args,
    cache: &std::path::Path,
    store: &mut Store,
    kernels: &[Kernel],
) -> anyhow::Result<ExitCode> {
    let ready = prepare(args, cache, store, kernels, false)?;
    let text = match &args.command[..] {
        // One word is a line for the shell; several are words.
        [line] => line.clone(),
        words => words
            .iter()
            .map(|word| guest::quoted(word))
            .collect::<Vec<_>>()
            .join(" "),
    };
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let work = match terminal && ready.images.len() == 1 {
        true => Work::Interactive(text),
        false => Work::Command(text),
    };
    let many = ready.images.len() > 1;
    let mut worst = 0;
    each(args, &ready, &work, |image, text| {
        let mut out = std::io::stdout().lock();
        // A reader that left wants no more.
        let _ = match many {
            true => writeln!(out, "[{}] {text}", image.kernel),
            false => writeln!(out, "{text}"),
        };
    })?
    .into_iter()
    .for_each(|(image, outcome)| match outcome.end {
        End::Done(code) => worst = worst.max(code),
        End::Lost(why) => {
            tell_lost(&image, &why, &outcome.console, &outcome.logs);
            worst = worst.max(1);
        }
    });
    Ok(ExitCode::from(u8::try_from(worst).unwrap_or(1)))
}

fn tests(
    args: &Args,
    cache: &std::path::Path,
    store: &mut Store,
    kernels: &[Kernel],
) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let mut ready = prepare(args, cache, store, kernels, true)?;
    if let Some(unknown) = args.suite.iter().find(|name| !ready.suites.contains(name)) {
        let known = ready.suites.join(", ");
        bail!("there is no test program {unknown}: give some of {known}");
    }
    if !args.suite.is_empty() {
        ready.suites.clone_from(&args.suite);
    }
    say(format_args!(
        "testing on {} kernels; programs and kernels took {:.0} s",
        ready.images.len(),
        start.elapsed().as_secs_f64()
    ));
    let work = Work::Suites(ready.suites.clone());
    let many = ready.images.len() > 1;
    let tallies: Mutex<Vec<(String, Tally)>> = Mutex::default();
    let ended = each(args, &ready, &work, |image, text| {
        let mut tallies = tallies.lock().expect("no thread panics with the tallies");
        let release = &image.release;
        let at = tallies.iter().position(|(known, _)| known == release);
        let at = at.unwrap_or_else(|| {
            tallies.push((release.clone(), Tally::default()));
            tallies.len() - 1
        });
        tallies[at].1.line(text);
        match many {
            true => eprintln!("[{}] {text}", image.kernel),
            false => eprintln!("{text}"),
        }
    })?;
    let mut tallies = tallies
        .into_inner()
        .expect("no thread panics with the tallies");
    let mut rows = Vec::new();
    for (image, outcome) in ended {
        let at = tallies
            .iter()
            .position(|(known, _)| *known == image.release);
        let mut tally = at.map(|at| tallies.swap_remove(at).1).unwrap_or_default();
        tally.close();
        if let End::Lost(why) = &outcome.end {
            tell_lost(&image, why, &outcome.console, &outcome.logs);
        }
        rows.push(Row {
            cpus: args.cpus.unwrap_or_else(|| image.kernel.cpus()),
            kernel: image.kernel,
            release: image.release,
            tally,
            failed: outcome.failed,
            end: outcome.end,
            seconds: outcome.took.as_secs_f64(),
        });
    }
    rows.sort_by(|a, b| a.kernel.cmp(&b.kernel));
    println!("{}", report::table(&rows));
    let good = rows.iter().filter(|row| row.is_good()).count();
    println!(
        "{good} of {} kernels passed; {:.0} s in all; logs: {}",
        rows.len(),
        start.elapsed().as_secs_f64(),
        ready.logs.display()
    );
    if args.kernel.is_empty() && good < ENOUGH {
        say(format_args!("fewer than {ENOUGH} kernels passed"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(match good == rows.len() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Runs a guest for each image, some at a time.
fn each(
    args: &Args,
    ready: &Ready,
    work: &Work,
    line: impl Fn(&Image, &str) + Sync,
) -> anyhow::Result<Vec<(Image, guest::Outcome)>> {
    let machine = Machine {
        qemu: &ready.qemu,
        base: &ready.base,
        logs: &ready.logs,
        limit: Duration::from_secs(args.timeout),
        accel: &args.accel,
        append: &args.append,
    };
    let waiting: Mutex<VecDeque<&Image>> = Mutex::new(ready.images.iter().collect());
    let ended = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME.min(ready.images.len()))
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let next = waiting.lock().expect("no guest panics").pop_front();
                        let Some(image) = next else {
                            return anyhow::Ok(());
                        };
                        let cpus = args.cpus.unwrap_or_else(|| image.kernel.cpus());
                        let outcome =
                            guest::run(&machine, image, cpus, work, |text| line(image, text))
                                .with_context(|| format!("kernel {}", image.kernel))?;
                        ended
                            .lock()
                            .expect("no guest panics")
                            .push((image.clone(), outcome));
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("a guest's thread does not panic"))
    })?;
    Ok(ended.into_inner().expect("no guest panics"))
}

fn tell_lost(image: &Image, why: &str, console: &[String], logs: &std::path::Path) {
    say(format_args!("kernel {} was stopped: {why}", image.kernel));
    for line in console {
        eprintln!("[{} console] {line}", image.kernel);
    }
    say(format_args!("its logs are in {}", logs.display()));
}
