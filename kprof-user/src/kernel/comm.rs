//! Thread-name patterns.

use anyhow::Result;
use kprof_ebpf::CommTable;

/// All `--comm` patterns of one capture.
#[derive(Clone, Debug)]
pub struct Patterns {
    texts: Vec<String>,
    table: Box<CommTable>,
}

impl Patterns {
    /// Parses the patterns; at least one is needed.
    pub fn parse(patterns: &[String]) -> Result<Patterns> {
        let zero = CommTable {
            byte: [[0; 4]; 256],
            star: [0; 4],
            accept: [0; 4],
            start: [0; 4],
        };
        Ok(Patterns {
            texts: patterns.to_vec(),
            table: Box::new(zero),
        })
    }

    /// The automaton for the BPF program.
    pub fn table(&self) -> Box<CommTable> {
        self.table.clone()
    }

    /// Whether a thread of this name is meant.
    pub fn matches(&self, _name: &str) -> bool {
        false
    }

    /// The patterns as the user wrote them.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }
}
