//! The `kprof` program: turns the outcome into messages and an exit code, and nothing else.

use std::process::ExitCode;

use kprof::cli::{EXIT_INTERRUPTED, Failure};

fn main() -> ExitCode {
    let Err(failure) = kprof::cli::run(std::env::args_os()) else {
        return ExitCode::SUCCESS;
    };
    for line in failure.lines() {
        kprof::cli::say(line);
    }
    match failure {
        Failure::Failed(_) => ExitCode::from(1),
        Failure::Usage(_) => ExitCode::from(2),
        Failure::Interrupted => ExitCode::from(EXIT_INTERRUPTED as u8),
    }
}
