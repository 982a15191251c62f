//! One command on each kernel.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use super::Options;
use super::fleet::Fleet;
use super::guest::{self, End, Work};

/// Runs it, shows what it prints, and gives the highest of its exit codes.
pub(super) fn run(
    fleet: &Fleet,
    options: &Options,
    command: &[String],
) -> anyhow::Result<ExitCode> {
    let text = match command {
        // One word is a line for the shell; several are words.
        [line] => line.clone(),
        words => words
            .iter()
            .map(|word| guest::quoted(word))
            .collect::<Vec<_>>()
            .join(" "),
    };
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let many = fleet.images.len() > 1;
    let work = match terminal && !many {
        true => Work::Interactive(text),
        false => Work::Command(text),
    };
    let ended = fleet.run(
        options,
        |_| work.clone(),
        || (),
        |image, (), text| {
            let mut out = std::io::stdout().lock();
            // A reader that left wants no more.
            let _ = match many {
                true => writeln!(out, "[{}] {text}", image.kernel),
                false => writeln!(out, "{text}"),
            };
        },
    )?;
    let codes = ended.iter().map(|(_, outcome, ())| match outcome.end {
        End::Done(code) => u8::try_from(code).unwrap_or(1),
        End::Lost(_) => 1,
    });
    Ok(ExitCode::from(codes.max().unwrap_or(1)))
}
