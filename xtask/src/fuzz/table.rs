//! The sums of a run, by target.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::output::Stats;
use super::slice::Done;

/// What came of all slices.
pub(super) struct Totals(BTreeMap<String, Row>);

#[derive(Default)]
struct Row {
    stats: Stats,
    cpu: Duration,
    findings: u64,
}

impl Totals {
    pub(super) fn new(targets: &[String]) -> Totals {
        let row = |target: &String| (target.clone(), Row::default());
        Totals(targets.iter().map(row).collect())
    }

    pub(super) fn add(&mut self, target: &str, done: &Done) {
        let row = self.0.entry(target.to_owned()).or_default();
        row.stats.executions += done.stats.executions;
        row.stats.coverage = row.stats.coverage.max(done.stats.coverage);
        row.stats.corpus = row.stats.corpus.max(done.stats.corpus);
        row.cpu += done.cpu;
        row.findings += u64::from(done.finding.is_some());
    }

    /// Whether something was found in this target.
    pub(super) fn found(&self, target: &str) -> bool {
        self.0.get(target).is_some_and(|row| row.findings > 0)
    }

    /// How much was found in all targets.
    pub(super) fn findings(&self) -> u64 {
        self.0.values().map(|row| row.findings).sum()
    }

    /// CPU time of all targets.
    pub(super) fn cpu(&self) -> Duration {
        self.0.values().map(|row| row.cpu).sum()
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, cells: [String; 5]| {
            let [executions, coverage, seconds, corpus, findings] = cells;
            writeln!(
                f,
                "{name:<10} {executions:>12} {coverage:>9} {seconds:>9} {corpus:>7} {findings:>9}"
            )
        };
        let heads = ["executions", "coverage", "CPU s", "corpus", "findings"];
        line("target", heads.map(str::to_owned))?;
        let mut sum = Row::default();
        for (target, row) in &self.0 {
            sum.stats.executions += row.stats.executions;
            sum.cpu += row.cpu;
            sum.stats.corpus += row.stats.corpus;
            sum.findings += row.findings;
            line(target, row.cells(row.stats.coverage.to_string()))?;
        }
        // The targets share code, so their coverage can't be added up.
        line("all", sum.cells(String::new()))
    }
}

impl Row {
    fn cells(&self, coverage: String) -> [String; 5] {
        [
            self.stats.executions.to_string(),
            coverage,
            self.cpu.as_secs().to_string(),
            self.stats.corpus.to_string(),
            self.findings.to_string(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::slice::Finding;

    #[test]
    fn slices_add_up_and_findings_stick() {
        let names = ["a", "b"].map(str::to_owned);
        let mut totals = Totals::new(&names);
        let done = |executions, coverage, found: bool| Done {
            stats: Stats {
                executions,
                coverage,
                corpus: 3,
            },
            cpu: Duration::from_millis(1_500),
            finding: found.then(|| Finding {
                what: String::new(),
                input: "x".into(),
            }),
        };
        totals.add("a", &done(10, 7, false));
        totals.add("a", &done(5, 9, false));
        totals.add("b", &done(1, 2, true));
        assert!(totals.found("b") && !totals.found("a"));
        assert_eq!(totals.findings(), 1);
        let text = totals.to_string();
        let rows: Vec<Vec<&str>> = text
            .lines()
            .map(|l| l.split_whitespace().collect())
            .collect();
        assert_eq!(rows[1], ["a", "15", "9", "3", "3", "0"]);
        assert_eq!(rows[3], ["all", "16", "4", "6", "1"]);
    }
}
