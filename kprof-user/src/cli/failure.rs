//! How a command ends; `main` turns it into words and an exit code.

use std::fmt;
use std::io;

/// Why a command did not do all it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// The command line can't be meant that way.
    Usage(anyhow::Error),
    /// Something could not be done, one error a line.
    Failed(Vec<anyhow::Error>),
    /// Ctrl-C before anything was captured.
    Interrupted,
}

impl Failure {
    /// Wrong usage, in words.
    pub(super) fn usage(message: impl fmt::Display) -> Failure {
        Failure::Usage(anyhow::anyhow!("{message}"))
    }

    /// One line for each error: what was done, to what, why it failed and what mends it.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Failure::Usage(error) => vec![one_line(error)],
            Failure::Failed(errors) => errors.iter().map(one_line).collect(),
            Failure::Interrupted => vec!["interrupted before anything was captured".into()],
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Failed(vec![error])
    }
}

/// The whole chain of an error in one line.
fn one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Clap's message without its usage block, in one line.
pub(super) fn from_clap(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let head: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect();
    let head = head.join(" ");
    let head = head.strip_prefix("error: ").unwrap_or(&head);
    Failure::usage(format!("{head} (`kprof --help` lists the flags)"))
}

/// Whether an error is a reader that went away, which ends output but is no failure.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use clap::Parser as _;

    use super::*;

    #[test]
    fn an_error_is_one_line() {
        let error = anyhow::anyhow!("no such\n file").context("open x");
        assert_eq!(Failure::from(error).lines(), ["open x: no such file"]);
    }

    #[test]
    fn clap_errors_are_one_line() {
        let error = super::super::args::Cli::try_parse_from(["kprof", "--frobnicate"]).unwrap_err();
        let lines = from_clap(&error).lines();
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].contains("--frobnicate") && !lines[0].contains('\n'),
            "{lines:?}"
        );
    }

    #[test]
    fn broken_pipe_is_found_below_context() {
        let error =
            anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("write");
        assert!(is_broken_pipe(&error));
        assert!(!is_broken_pipe(&anyhow::anyhow!("x")));
        let _ = error.context("more");
        let none: Option<()> = None;
        assert!(!is_broken_pipe(&none.context("y").unwrap_err()));
    }
}
