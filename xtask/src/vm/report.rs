//! What a run on many kernels comes to.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::guest::End;
use super::matrix::Kernel;
use super::offers::Offer;
use crate::tally::Tally;

/// One kernel's part.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) kernel: Kernel,
    pub(crate) release: String,
    pub(crate) cpus: u32,
    /// The test programs that it ran.
    pub(crate) suites: Vec<String>,
    pub(crate) tally: Tally,
    /// Test programs that failed.
    pub(crate) failed: Vec<String>,
    pub(crate) end: End,
    /// What `kprof doctor` found there.
    pub(crate) offers: Vec<Offer>,
    pub(crate) seconds: f64,
}

impl Row {
    /// Whether the guest did all it was asked for, and nothing failed.
    pub(crate) fn is_good(&self) -> bool {
        self.end == End::Done(0)
            && self.failed.is_empty()
            && self.tally.failed == 0
            && self.tally.passed > 0
    }

    fn result(&self) -> String {
        match &self.end {
            End::Lost(why) => format!("STOPPED: {why}"),
            End::Done(_) if self.is_good() => "passed".to_owned(),
            End::Done(_) if self.failed.is_empty() && self.tally.passed == 0 => {
                "FAILED: no test passed".to_owned()
            }
            End::Done(_) => format!("FAILED: {}", self.failed.join(", ")),
        }
    }
}

/// How many kernels passed.
pub(crate) fn verdict(rows: &[Row]) -> String {
    let good = rows.iter().filter(|row| row.is_good()).count();
    format!("{good} of {} kernels passed", rows.len())
}

/// Whether nothing failed, and at least so many kernels passed.
pub(crate) fn is_good(rows: &[Row], enough: usize) -> bool {
    rows.len() >= enough && rows.iter().all(Row::is_good)
}

/// The table, then the skipped tests, each with the kernels it was skipped on.
pub(crate) fn table(rows: &[Row]) -> String {
    let width = rows
        .iter()
        .map(|row| row.release.len())
        .max()
        .unwrap_or(0)
        .max("release".len());
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<13} {:<width$} {:>4} {:>6} {:>6} {:>7} {:>7}  result",
        "kernel", "release", "CPUs", "passed", "failed", "skipped", "seconds"
    );
    for row in rows {
        let _ = writeln!(
            text,
            "{:<13} {:<width$} {:>4} {:>6} {:>6} {:>7} {:>7.0}  {}",
            row.kernel,
            row.release,
            row.cpus,
            row.tally.passed,
            row.tally.failed,
            row.tally.skips(),
            row.seconds,
            row.result()
        );
    }
    for (skip, kernels) in skips(rows) {
        let _ = writeln!(text, "skipped on {kernels}: {skip}");
    }
    text
}

/// Both as Markdown.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| kernel | Debian's release | CPUs | passed | failed | skipped | result |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            row.kernel,
            row.release,
            row.cpus,
            row.tally.passed,
            row.tally.failed,
            row.tally.skips(),
            row.result()
        );
    }
    text.push_str("\nTest programs, in [tests](../tests/tests), and where they ran:\n\n");
    for (suite, kernels) in gather(rows, |row| &row.suites) {
        let _ = writeln!(text, "- `{suite}` on {kernels}");
    }
    text.push_str("\nTests that were skipped, and why:\n\n");
    for (skip, kernels) in skips(rows) {
        let _ = writeln!(text, "- on {kernels}: {skip}");
    }
    text
}

/// Each skipped test with its reason, and where that was.
pub(crate) fn skips(rows: &[Row]) -> Vec<(&str, String)> {
    gather(rows, |row| &row.tally.skipped)
}

/// All that the rows have, each with the kernels that have it.
fn gather(rows: &[Row], of: impl Fn(&Row) -> &Vec<String>) -> Vec<(&str, String)> {
    let mut kernels: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in rows {
        for one in of(row) {
            kernels.entry(one).or_default().push(row.kernel.to_string());
        }
    }
    let which = |kernels: Vec<String>| match kernels.len() == rows.len() {
        true => "every kernel".to_owned(),
        false => kernels.join(", "),
    };
    kernels
        .into_iter()
        .map(|(one, kernels)| (one, which(kernels)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(label: &str, output: &str, end: End, failed: &[&str]) -> Row {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.line(line));
        tally.close();
        Row {
            kernel: label.parse().unwrap(),
            release: format!("{label}.1-amd64"),
            cpus: 2,
            suites: vec!["live".to_owned()],
            tally,
            failed: failed.iter().map(|&name| name.to_owned()).collect(),
            end,
            offers: Vec::new(),
            seconds: 12.3,
        }
    }

    const GOOD: &str = "running 2 tests\ntest result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
                        skipped: a: no go\n";

    #[test]
    fn only_a_guest_that_did_all_of_it_is_good() {
        assert!(row("6.1", GOOD, End::Done(0), &[]).is_good());
        let bad = [
            row("6.1", "", End::Done(0), &[]),
            row("6.1", GOOD, End::Done(1), &["live (exit code 139)"]),
            row("6.1", GOOD, End::Done(2), &[]),
            row("6.1", GOOD, End::Lost("the kernel panicked".into()), &[]),
            // A program that died in the middle.
            row("6.1", "running 2 tests\n", End::Done(0), &[]),
        ];
        for bad in bad {
            assert!(!bad.is_good(), "{bad:?}");
            assert!(!is_good(&[row("6.1", GOOD, End::Done(0), &[]), bad], 1));
        }
        let good = [row("6.1", GOOD, End::Done(0), &[])];
        assert!(is_good(&good, 1) && !is_good(&good, 2));
    }

    #[test]
    fn the_table_tells_results_and_skips() {
        let rows = [
            row("5.10", GOOD, End::Done(0), &[]),
            row("6.12-rt", GOOD, End::Done(1), &["live (exit code 101)"]),
            row("7.3", "", End::Lost("RCU is stalled".into()), &[]),
        ];
        let text = table(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[1].starts_with("5.10 ") && lines[1].ends_with("12  passed"));
        assert!(lines[2].ends_with("FAILED: live (exit code 101)"));
        assert!(lines[3].ends_with("STOPPED: RCU is stalled"));
        assert_eq!(lines[4], "skipped on 5.10, 6.12-rt: a: no go");
        let text = markdown(&rows);
        for line in ["- `live` on every kernel", "- on 5.10, 6.12-rt: a: no go"] {
            assert!(text.lines().any(|l| l == line), "{text}");
        }
    }
}
