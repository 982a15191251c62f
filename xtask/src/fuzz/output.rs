//! What libFuzzer prints.

use std::path::PathBuf;

/// Figures of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stats {
    /// Inputs tried.
    pub(super) executions: u64,
    /// Places in the code that were reached.
    pub(super) coverage: u64,
    /// Inputs kept, each of which reaches something that no other does.
    pub(super) corpus: u64,
}

impl Stats {
    /// From all that it printed: `#171488 DONE cov: 402 ft: 874 corp: 229/69Kb lim: 911 exec/s: 19054 rss: 30Mb`.
    pub(super) fn read(text: &str) -> Stats {
        let mut stats = Stats::default();
        for line in text.lines().filter(|line| line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let number = |word: Option<&str>| -> Option<u64> {
                word?
                    .split('/')
                    .next()?
                    .trim_start_matches('#')
                    .parse()
                    .ok()
            };
            stats.executions = number(words.next()).unwrap_or(stats.executions);
            while let Some(word) = words.next() {
                match word {
                    "cov:" => stats.coverage = number(words.next()).unwrap_or(stats.coverage),
                    "corp:" => stats.corpus = number(words.next()).unwrap_or(stats.corpus),
                    _ => {}
                }
            }
        }
        let units = "stat::number_of_executed_units:";
        let last = text.lines().find_map(|line| line.strip_prefix(units));
        if let Some(executions) = last.and_then(|n| n.trim().parse().ok()) {
            stats.executions = executions;
        }
        stats
    }
}

/// Where it put the input that broke something.
pub(super) fn artifact(text: &str) -> Option<PathBuf> {
    let words = "Test unit written to ";
    let line = text.lines().find_map(|line| line.split_once(words))?;
    Some(PathBuf::from(line.1.trim()))
}

/// What broke, in one line: the panic's own words, or libFuzzer's.
pub(super) fn what(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    if let Some(at) = lines.iter().position(|line| line.contains("panicked at ")) {
        let place = lines[at]
            .split_once("panicked at ")
            .map_or("", |(_, place)| place);
        let said = lines.get(at + 1).copied().unwrap_or_default();
        return format!("{place} {said}");
    }
    let error = lines
        .iter()
        .find_map(|line| line.split_once("ERROR: libFuzzer: "));
    error.map_or_else(
        || "it ended without a word".to_owned(),
        |(_, error)| error.to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "INFO: Seed: 1\n#4\tINITED cov: 200 ft: 286 corp: 3/749b exec/s: 0 rss: 29Mb\n\
        #319\tNEW    cov: 738 ft: 2268 corp: 145/161Kb lim: 3810 exec/s: 0 rss: 30Mb L: 1/2 MS: 3 ChangeBit-\n";

    #[test]
    fn the_last_figures_count() {
        let stats = |executions| Stats {
            executions,
            coverage: 738,
            corpus: 145,
        };
        assert_eq!(Stats::read(RUN), stats(319));
        let done = format!("{RUN}stat::number_of_executed_units: 400\n");
        assert_eq!(Stats::read(&done), stats(400));
        assert_eq!(Stats::read(""), Stats::default());
    }

    #[test]
    fn a_finding_is_told_in_the_panics_words() {
        let text = "thread '<unnamed>' (9) panicked at src/lib.rs:34:9:\nelf: took 9 bytes\n==1== ERROR: libFuzzer: \
                    deadly signal\nartifact_prefix='x/'; Test unit written to x/crash-1\n";
        assert_eq!(what(text), "src/lib.rs:34:9: elf: took 9 bytes");
        assert_eq!(artifact(text), Some(PathBuf::from("x/crash-1")));
        assert_eq!(
            what("==1== ERROR: libFuzzer: timeout after 9 seconds"),
            "timeout after 9 seconds"
        );
        assert_eq!(
            (what(RUN).as_str(), artifact(RUN)),
            ("it ended without a word", None)
        );
    }
}
