//! `cargo xtask vm`: Debian's kernels in QEMU, and the live tests, or one command, on each.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::host::{self, say};

mod command;
mod console;
mod docs;
mod fleet;
mod guest;
mod initramfs;
mod kernels;
mod matrix;
mod modules;
mod offers;
mod programs;
mod report;
mod tests;
mod tools;

use fleet::Fleet;
use kernels::Store;
use matrix::Kernel;
use programs::Programs;
pub(crate) use report::{Row, skips};
use tools::Qemu;

/// So many kernels of the matrix must have passed for a run of it to be a success.
const ENOUGH: usize = 6;
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
    /// Run these test programs alone, such as live,spill.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAME",
        conflicts_with = "command"
    )]
    suite: Vec<String>,
    /// Write what the run shows into docs/kernels.md.
    #[arg(long, conflicts_with_all = ["command", "suite", "kernel"])]
    docs: bool,
    #[command(flatten)]
    options: Options,
    /// A command for the guests' shell instead of the tests, after `--`; kprof and xtask are on its
    /// path. With one kernel, on a terminal, it can be `sh`.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// How guests are run.
#[derive(clap::Args)]
struct Options {
    /// CPUs of each guest, instead of the matrix's own numbers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: Option<u32>,
    /// Stop a guest after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
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
}

impl Options {
    fn cpus_of(&self, kernel: &Kernel) -> u32 {
        self.cpus.unwrap_or_else(|| kernel.cpus())
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// QEMU, or every kernel, is neither here nor to be had.
#[derive(Debug)]
pub(crate) struct Unavailable(String);

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

/// Runs the tests or the command on each kernel; ends with the command's exit code, or 1 where a
/// guest or a test failed.
pub(crate) fn run(mut args: Args) -> anyhow::Result<ExitCode> {
    // Twice the same kernel would write the same logs.
    args.kernel.sort();
    args.kernel.dedup();
    let cache = Cache::open()?;
    let wanted = match args.kernel.is_empty() {
        true => Kernel::matrix(),
        false => args.kernel.clone(),
    };
    if args.list {
        return list(&mut cache.store(), &wanted);
    }
    if !args.command.is_empty() {
        let (fleet, _) = cache.prepare(&wanted, args.update, false)?;
        return command::run(&fleet, &args.options, &args.command);
    }
    let start = Instant::now();
    let (mut fleet, suites) = cache.prepare(&wanted, args.update, true)?;
    let prepared = start.elapsed();
    let rows = tests::run(&mut fleet, &args.options, &suites, &args.suite)?;
    print!("\n{}", report::table(&rows));
    println!(
        "\n{}, in {:.0} s after {:.0} s of fetching and building; logs: {}",
        report::verdict(&rows),
        (start.elapsed() - prepared).as_secs_f64(),
        prepared.as_secs_f64(),
        fleet.logs.display()
    );
    if args.docs {
        docs::write(&host::root().join("docs/kernels.md"), &rows)?;
    }
    let enough = match args.kernel.is_empty() {
        true => ENOUGH,
        false => rows.len(),
    };
    Ok(match report::is_good(&rows, enough) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Runs the tests on the whole matrix. Fails with [`Unavailable`] where that can't be done here.
pub(crate) fn test() -> anyhow::Result<Vec<Row>> {
    let cache = Cache::open()?;
    let options = <Options as clap::Args>::augment_args(clap::Command::new("vm"));
    let options = <Options as clap::FromArgMatches>::from_arg_matches(
        &options.try_get_matches_from(["vm"])?,
    )?;
    let (mut fleet, suites) = cache.prepare(&Kernel::matrix(), false, true)?;
    let rows = tests::run(&mut fleet, &options, &suites, &[])?;
    print!("\n{}", report::table(&rows));
    Ok(rows)
}

/// Fails unless what a run of the matrix found is good enough.
pub(crate) fn check(rows: &[Row]) -> anyhow::Result<()> {
    if !report::is_good(rows, ENOUGH) {
        bail!(
            "{}; at least {ENOUGH} must, and none may fail",
            report::verdict(rows)
        );
    }
    Ok(())
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

/// The folder of kernels, tools and logs, which one run has at a time.
struct Cache {
    folder: PathBuf,
    _guard: File,
}

impl Cache {
    fn open() -> anyhow::Result<Self> {
        let folder = match std::env::var_os(FOLDER_VARIABLE) {
            Some(folder) => std::path::absolute(folder).context("the cache's folder")?,
            None => host::target()?.join("vm"),
        };
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let lock = folder.join("lock");
        let guard = File::create(&lock).with_context(|| format!("creating {}", lock.display()))?;
        if guard.try_lock().is_err() {
            say("waiting for another `cargo xtask vm` to end");
            guard.lock().context("waiting for the cache")?;
        }
        Ok(Self {
            folder,
            _guard: guard,
        })
    }

    fn store(&self) -> Store {
        Store::new(&self.folder.join("kernels"))
    }

    /// Fetches what is not there and builds the programs; gives the names of the test programs as well.
    fn prepare(
        &self,
        kernels: &[Kernel],
        update: bool,
        tests: bool,
    ) -> anyhow::Result<(Fleet, Vec<String>)> {
        let (qemu, busybox, images) = self
            .fetch(kernels, update)
            .map_err(|error| anyhow::Error::new(Unavailable(format!("{error:#}"))))?;
        let programs = Programs::build(tests)?;
        let base = self.folder.join("programs.cpio");
        programs.archive(&busybox, &base)?;
        let fleet = Fleet {
            qemu,
            base,
            logs: self.folder.join("logs"),
            images,
        };
        Ok((fleet, programs.suites()))
    }

    fn fetch(
        &self,
        kernels: &[Kernel],
        update: bool,
    ) -> anyhow::Result<(Qemu, PathBuf, Vec<kernels::Image>)> {
        if !cfg!(target_arch = "x86_64") {
            bail!("guests are x86-64 machines, and this one builds programs for another");
        }
        let mut store = self.store();
        let qemu = Qemu::find(&self.folder)?;
        let busybox = tools::busybox(&self.folder, &mut store)?;
        let mut images = Vec::new();
        for kernel in kernels {
            if update {
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
        Ok((qemu, busybox, images))
    }
}
