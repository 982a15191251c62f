//! The command line: parses, validates, calls; decides nothing else.
//!
//! `args` holds the flags, `plan` turns them into a checked plan with its outputs open, `record` runs the capture
//! and hands windows to `emit`, which names them and writes the outputs.

use std::ffi::OsString;
use std::io::Write as _;

use clap::Parser as _;

use crate::capture::own;

mod args;
#[cfg(feature = "bpf-log")]
mod bpf_log;
mod changes;
mod doctor;
mod emit;
mod failure;
mod filters;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
mod machine;
mod nothing;
mod output;
mod plan;
mod progress;
mod record;
#[cfg(test)]
mod record_tests;
mod say;
mod signals;
mod store;
mod terminal;
mod values;

pub use args::{Cli, Command, RecordArgs};
pub use doctor::DoctorArgs;
pub use failure::Failure;
pub use say::say;

/// Exit code of a run that was interrupted before it captured anything, or while it wrote its outputs.
pub const EXIT_INTERRUPTED: i32 = 130;

/// Runs kprof with these arguments, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    own::begin();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return Err(failure::from_clap(&error)),
        Err(help) => {
            // Help and version; a reader that closed the pipe has seen enough.
            let _ = write!(std::io::stdout(), "{}", help.render());
            return Ok(());
        }
    };
    #[cfg(feature = "bpf-log")]
    bpf_log::start();
    match cli.command {
        None => record::run(&cli.record),
        Some(Command::Record(args)) => record::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
    }
}
