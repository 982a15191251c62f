//! Folded stacks read back.

use std::collections::HashSet;

/// One line: the thread's name, its frames from the outermost on, and the count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Name of the thread.
    pub comm: String,
    /// Frames, outermost first.
    pub frames: Vec<String>,
    /// Samples.
    pub count: u64,
}

/// Parses folded stacks; panics on a line that is none.
pub fn parse(text: &str) -> Vec<Line> {
    text.lines()
        .map(|line| {
            let (stack, count) = line
                .rsplit_once(' ')
                .unwrap_or_else(|| panic!("no count: {line}"));
            let mut parts = stack.split(';').map(str::to_owned);
            Line {
                comm: parts.next().unwrap_or_default(),
                frames: parts.collect(),
                count: count.parse().unwrap_or_else(|_| panic!("no count: {line}")),
            }
        })
        .collect()
}

/// Sum of all counts.
pub fn total(lines: &[Line]) -> u64 {
    lines.iter().map(|line| line.count).sum()
}

/// Sum of the counts of stacks through a function.
pub fn through(lines: &[Line], function: &str) -> u64 {
    lines
        .iter()
        .filter(|line| line.frames.iter().any(|frame| frame == function))
        .map(|line| line.count)
        .sum()
}

/// All names that /proc/kallsyms lists.
pub fn kallsyms() -> HashSet<String> {
    let text = std::fs::read_to_string("/proc/kallsyms").expect("read /proc/kallsyms");
    text.lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .map(str::to_owned)
        .collect()
}
