//! What kprof says on standard error.

use std::fmt::Display;
use std::io::Write as _;

use crate::format::printable;

/// Says one thing on one line of standard error. A standard error that is full or gone is no reason to end: the
/// capture is worth more than a note about it.
pub fn say(what: impl Display) {
    let line = line(&what.to_string());
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Names of threads and files are anyone's choice: what they hold must neither drive the terminal nor look like a
/// line of kprof's own.
fn line(what: &str) -> String {
    format!("kprof: {}\n", printable(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_neither_drives_the_terminal_nor_begins_a_line() {
        assert_eq!(line("é \x1b[2J\nx"), "kprof: é \\u{1b}[2J\\nx\n");
    }
}
