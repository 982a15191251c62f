//! Thread-name patterns, as one automaton that the BPF program and userspace both run.
//!
//! A pattern without `*` or `?` means a name and its instances: `ksoftirqd` is `ksoftirqd` itself and
//! `ksoftirqd` followed by `/`, `:` or `.` and anything. With `*` (any bytes, also none) or `?` (any one
//! byte) a pattern is matched as a whole and nothing is added to it. Bytes are compared, not characters.
//!
//! The automaton is described at [`kprof_ebpf::CommTable`]. No pattern spans two of its words, so a shift
//! may drop what it carries out of a word; the patterns fill the words from the first.

use anyhow::{Result, bail};
use kprof_ebpf::CommTable;
use kprof_ebpf::config::COMM_WORDS;

/// Bytes of a thread's name, without the NUL (`TASK_COMM_LEN` is 16).
pub const MAX_NAME: usize = 15;

/// Bits of one word of state.
const WORD_BITS: u32 = u64::BITS;

/// Bytes that part a name from the number of its instance: `ksoftirqd/0`, `kworker/u8:1`, `kdamond.0`.
const INSTANCE: [u8; 3] = [b'/', b':', b'.'];

/// All `--comm` patterns of one capture; at least one.
#[derive(Clone, Debug)]
pub struct Patterns {
    texts: Vec<String>,
    table: Box<CommTable>,
}

/// One position of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// This byte and no other.
    Byte(u8),
    /// Any one byte.
    Any,
    /// One of [`INSTANCE`], or the name ends here.
    EndOrInstance,
    /// Any bytes, also none.
    Star,
    /// The name ends here.
    End,
}

impl Patterns {
    /// Parses the patterns; refuses those that can never match, and more than the automaton holds.
    pub fn parse(patterns: &[String]) -> Result<Patterns> {
        if patterns.is_empty() {
            bail!("no thread name was given: write one, such as --comm ksoftirqd");
        }
        let mut table = Box::new(EMPTY);
        let mut used = [0; COMM_WORDS];
        for text in patterns {
            let steps = steps(text)?;
            let len = steps.len() as u32;
            let Some(word) = (0..COMM_WORDS).find(|&w| used[w] + len <= WORD_BITS) else {
                bail!(
                    "{} --comm patterns are too many to match in the kernel: \"{text}\" found no room. \
                     Give fewer, or one glob for several, such as \"k*\"",
                    patterns.len()
                );
            };
            place(&mut table, word, used[word], &steps);
            used[word] += len;
        }
        Ok(Patterns {
            texts: patterns.to_vec(),
            table,
        })
    }

    /// The automaton for the BPF program.
    pub fn table(&self) -> Box<CommTable> {
        self.table.clone()
    }

    /// Whether a thread of this name is meant: the automaton, run as the BPF program runs it.
    pub fn matches(&self, name: &str) -> bool {
        let CommTable {
            byte,
            star,
            accept,
            start,
        } = &*self.table;
        let mut state = *start;
        for c in name.bytes().take_while(|&c| c != 0) {
            for w in 0..COMM_WORDS {
                let next = ((state[w] & byte[usize::from(c)][w]) << 1) | (state[w] & star[w]);
                state[w] = next | ((next & star[w]) << 1);
            }
        }
        (0..COMM_WORDS).any(|w| state[w] & accept[w] != 0)
    }

    /// The patterns as the user wrote them.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }
}

const EMPTY: CommTable = CommTable {
    byte: [[0; COMM_WORDS]; 256],
    star: [0; COMM_WORDS],
    accept: [0; COMM_WORDS],
    start: [0; COMM_WORDS],
};

/// Writes one pattern into the bits of `word` from `first` on. There is room.
fn place(table: &mut CommTable, word: usize, first: u32, steps: &[Step]) {
    table.start[word] |= 1 << first;
    for (i, step) in steps.iter().enumerate() {
        let bit = 1u64 << (first + i as u32);
        match *step {
            Step::Byte(c) => table.byte[usize::from(c)][word] |= bit,
            // A name never holds NUL, which ends it.
            Step::Any => table.byte[1..]
                .iter_mut()
                .for_each(|words| words[word] |= bit),
            Step::EndOrInstance => {
                table.accept[word] |= bit;
                for c in INSTANCE {
                    table.byte[usize::from(c)][word] |= bit;
                }
            }
            Step::Star => {
                table.star[word] |= bit;
                if i == 0 {
                    table.start[word] |= bit << 1;
                }
            }
            Step::End => table.accept[word] |= bit,
        }
    }
}

/// The positions of one pattern. It ends with [`Step::End`], so that a star always has one behind it.
/// At most 32: 15 bytes, as many stars and one more, and the end.
fn steps(text: &str) -> Result<Vec<Step>> {
    if text.is_empty() {
        bail!(
            "the pattern is empty: write a thread's name, such as ksoftirqd, or leave --comm out"
        );
    }
    if text.contains('\0') {
        bail!("the pattern {text:?} can never match: no thread's name holds a NUL byte");
    }
    if let Some(name) = without_work_queue(text) {
        bail!(
            "the pattern \"{text}\" can never match: ps and /proc add the work queue to a kworker's \
             name, the kernel keeps \"{name}\". Write --comm {name}"
        );
    }
    let glob = text.contains(['*', '?']);
    let mut steps = Vec::new();
    for c in text.bytes() {
        match c {
            b'*' if steps.last() == Some(&Step::Star) => {}
            b'*' => steps.push(Step::Star),
            b'?' => steps.push(Step::Any),
            c => steps.push(Step::Byte(c)),
        }
    }
    let needs = steps.iter().filter(|s| **s != Step::Star).count();
    if needs > MAX_NAME {
        let kept = match text
            .char_indices()
            .map(|(i, c)| i + c.len_utf8())
            .take_while(|&end| end <= MAX_NAME)
            .last()
        {
            Some(end) if !glob => format!(
                " Write --comm {:?}, which is all that the kernel keeps",
                &text[..end]
            ),
            _ => String::new(),
        };
        bail!(
            "the pattern \"{text}\" can never match: it needs {needs} bytes, and a thread's name has at \
             most {MAX_NAME}.{kept}"
        );
    }
    if !glob {
        steps.extend([Step::EndOrInstance, Step::Star]);
    }
    steps.push(Step::End);
    Ok(steps)
}

/// For a kworker's name as `/proc` shows it (`kworker/0:1-events`, `kworker/u8:2+flush-8:0`), the name that
/// the kernel itself keeps; `None` for all other names.
pub fn without_work_queue(name: &str) -> Option<&str> {
    let pool = name.strip_prefix("kworker/")?;
    let (cpu, worker) = pool.split_once(':')?;
    let number = cpu.strip_prefix('u').unwrap_or(cpu);
    if number.is_empty() || !number.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let end = worker.find(['-', '+'])?;
    Some(&name[..name.len() - worker.len() + end])
}

#[cfg(test)]
mod tests;
