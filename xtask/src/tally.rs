//! Counts tests by what `cargo test` prints: the built-in harness has no other output in stable Rust.

/// What is known from the lines so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Name and reason of each skipped test.
    pub(crate) skipped: Vec<String>,
    /// Ignored by a result, and not told one by one so far.
    ignored: u64,
    /// The test program that is running.
    program: Option<Program>,
}

/// One test program.
#[derive(Debug, Default, PartialEq, Eq)]
struct Program {
    tests: u64,
    /// Skips that it told past the built-in harness, which takes them for passed.
    told: u64,
    /// Tests that the built-in harness told as ignored.
    ignored: u64,
}

impl Tally {
    /// Takes the next line.
    pub(crate) fn line(&mut self, line: &str) {
        let line = line.trim_end();
        if let Some(tests) = running(line) {
            self.close();
            self.program = Some(Program {
                tests,
                ..Program::default()
            });
        } else if let Some(skip) = line.strip_prefix("skipped: ") {
            self.skipped.push(skip.to_owned());
            match &mut self.program {
                Some(program) => program.told += 1,
                // A suite told it in its result before, as ignored.
                None => self.ignored = self.ignored.saturating_sub(1),
            }
        } else if let Some(result) = line.strip_prefix("test result: ") {
            let program = self.program.take().unwrap_or_default();
            self.passed += number(result, "passed").saturating_sub(program.told);
            self.failed += number(result, "failed");
            self.ignored += number(result, "ignored").saturating_sub(program.ignored);
        } else if let Some((name, reason)) = ignored(line)
            && let Some(program) = &mut self.program
        {
            self.skipped.push(format!("{name}: {reason}"));
            program.ignored += 1;
        }
    }

    /// Takes the end. Tests of a program that ended without a result count as failed.
    pub(crate) fn close(&mut self) {
        if let Some(program) = self.program.take() {
            self.failed += program.tests.max(1);
        }
    }

    /// Number of skipped tests.
    pub(crate) fn skips(&self) -> u64 {
        self.skipped.len() as u64 + self.ignored
    }
}

/// The `N` of `running N tests`.
fn running(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("running ")?;
    let number = rest
        .strip_suffix(" tests")
        .or_else(|| rest.strip_suffix(" test"))?;
    number.parse().ok()
}

/// Name and reason of a test with `#[ignore = "REASON"]`. A suite puts the reason in brackets, and tells it again.
fn ignored(line: &str) -> Option<(&str, &str)> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    Some((name, outcome.strip_prefix("ignored, ")?))
}

/// The number before a word, as in `ok. 5 passed; 0 failed`.
fn number(result: &str, word: &str) -> u64 {
    result
        .split([';', '.'])
        .filter_map(|part| part.trim().split_once(' '))
        .find(|(_, what)| *what == word)
        .and_then(|(number, _)| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn tally(text: &str) -> (u64, u64, u64, Vec<String>) {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.line(line));
        tally.close();
        (tally.passed, tally.failed, tally.skips(), tally.skipped)
    }

    #[test]
    fn a_skip_inside_the_built_in_harness_is_no_pass() {
        let text = "running 3 tests\ntest a ... ok\ntest b ... \nskipped: b: no BTF\nok\ntest c ... FAILED\n\n\
                    test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.1s\n";
        assert_eq!(tally(text), (1, 1, 1, vec!["b: no BTF".to_owned()]));
    }

    #[test]
    fn a_skip_of_a_suite_counts_once() {
        let text = "\nrunning 3 tests\ntest a ... ok\ntest b ... ignored (needs root)\ntest c ... ignored (needs: root)\n\n\
                    test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\n\
                    skipped: b: needs root\nskipped: c: needs: root\n\
                    running 2 tests\ntest d ... ignored\ntest e ... ignored, a measurement\n\
                    test result: ok. 0 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.10s\n";
        let skipped = ["b: needs root", "c: needs: root", "e: a measurement"];
        assert_eq!(tally(text), (1, 0, 4, skipped.map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_program_that_dies_is_not_passed_over() {
        let good = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured\n";
        let dead = "running 4 tests\ntest a ... ok\ntest b ... ";
        assert_eq!(tally(&format!("{dead}\n{good}{dead}")).1, 8);
        assert_eq!(tally(good), (2, 0, 0, Vec::new()));
    }
}
