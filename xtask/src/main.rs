//! `cargo xtask`: kprof's own build, test and load tasks.
//!
//! Each subcommand is one module with an `Args` and a `run`. What they say goes to stderr, because
//! the stdout of `cargo xtask run` belongs to kprof.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod apt;
mod bench;
mod build_ebpf;
mod fuzz;
mod host;
mod load;
#[path = "../../kprof-user/build/lock.rs"]
mod lock;
mod run;
mod tally;
mod test;
mod toolchain;
mod vm;

/// Build, run, test and load kprof.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Rebuild the checked-in BPF object and its lock file.
    BuildEbpf(build_ebpf::Args),
    /// Build kprof in release and run it with the given arguments, as root.
    Run(run::Args),
    /// Run every check and every test.
    Test(test::Args),
    /// Run the live tests, or one command, on other kernels, in QEMU.
    Vm(vm::Args),
    /// Try inputs on everything that kprof reads, for as long as is given.
    Fuzz(fuzz::Args),
    /// Measure what kprof costs, beside bare programs and installed peers; takes minutes.
    Bench(bench::Args),
    /// Put a real load on this machine's kernel, for trying kprof and for its tests.
    Load(load::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::BuildEbpf(args) => build_ebpf::run(args).map(|()| ExitCode::SUCCESS),
        Task::Run(args) => run::run(args).map(|()| ExitCode::SUCCESS),
        Task::Test(args) => test::run(args),
        Task::Vm(args) => vm::run(args),
        Task::Fuzz(args) => fuzz::run(args),
        Task::Bench(args) => bench::run(args).map(|()| ExitCode::SUCCESS),
        Task::Load(args) => load::run(args).map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
