//! The tables of a profile.

use std::collections::HashMap;
use std::hash::Hash;

use super::{Context, Frame, Meta};

/// Index of a frame in its [`Profile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameId(pub u32);

/// Index of a stack in its [`Profile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StackId(pub u32);

/// Index of a thread in its [`Profile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadId(pub u32);

/// A thread under one of its names: a thread that changes its name is two of these.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thread {
    /// Process id.
    pub tgid: u32,
    /// Thread id. 0 is an idle task (`swapper/N`).
    pub tid: u32,
    /// Name at the moment of the sample, at most 15 bytes; other than UTF-8 replaced.
    pub comm: String,
    /// `PF_KTHREAD` was set.
    pub kthread: bool,
    /// The ids are the initial pid namespace's, because the thread is outside of the one whose ids are
    /// shown, in which others may have the same.
    pub host_ids: bool,
}

/// What a count is filed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sample {
    /// The thread that was running.
    pub thread: ThreadId,
    /// Its kernel stack, empty for user mode.
    pub stack: StackId,
    /// What the CPU was doing for it.
    pub context: Context,
}

/// A table in which equal items have one index.
#[derive(Clone, Debug)]
struct Table<T> {
    items: Vec<T>,
    index: HashMap<T, u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table {
            items: Vec::new(),
            index: HashMap::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Table<T> {
    fn intern(&mut self, item: T) -> u32 {
        if let Some(&id) = self.index.get(&item) {
            return id;
        }
        // A profile with 2^32 distinct frames would not fit into memory.
        let id = self.items.len() as u32;
        self.items.push(item.clone());
        self.index.insert(item, id);
        id
    }
}

/// Counts of stacks by thread and context, and the tables they point into.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// What was sampled, and how well.
    pub meta: Meta,
    frames: Table<Frame>,
    stacks: Table<Box<[FrameId]>>,
    threads: Table<Thread>,
    samples: HashMap<Sample, u64>,
}

/// The largest sum of counts that is read from a file: pprof's numbers are signed, and sums of parts never overflow.
pub(crate) const MAX_TOTAL: u64 = i64::MAX as u64;

impl Profile {
    /// An empty profile.
    pub fn new(meta: Meta) -> Profile {
        Profile {
            meta,
            ..Profile::default()
        }
    }

    /// The index of a frame, adding it if it is new.
    pub fn intern_frame(&mut self, frame: Frame) -> FrameId {
        FrameId(self.frames.intern(frame))
    }

    /// The index of a stack (outermost frame first), adding it if it is new.
    pub fn intern_stack(&mut self, frames: &[FrameId]) -> StackId {
        StackId(self.stacks.intern(frames.into()))
    }

    /// The index of a thread, adding it if it is new.
    pub fn intern_thread(&mut self, thread: Thread) -> ThreadId {
        ThreadId(self.threads.intern(thread))
    }

    /// Adds `count` (in the profile's unit) to a sample.
    pub fn add(&mut self, sample: Sample, count: u64) {
        if count > 0 {
            let sum = self.samples.entry(sample).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    /// Whether a thread is in the profile, under this very name.
    pub fn has_thread(&self, thread: &Thread) -> bool {
        self.threads.index.contains_key(thread)
    }

    /// The frame behind an index of this profile.
    pub fn frame(&self, id: FrameId) -> &Frame {
        &self.frames.items[id.0 as usize]
    }

    /// All frames, each once.
    pub fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.frames.items.iter()
    }

    /// The frames of a stack, outermost first.
    pub fn stack(&self, id: StackId) -> &[FrameId] {
        &self.stacks.items[id.0 as usize]
    }

    /// The thread behind an index of this profile.
    pub fn thread(&self, id: ThreadId) -> &Thread {
        &self.threads.items[id.0 as usize]
    }

    /// How many distinct frames, stacks and threads there are.
    pub fn sizes(&self) -> (usize, usize, usize) {
        (
            self.frames.items.len(),
            self.stacks.items.len(),
            self.threads.items.len(),
        )
    }

    /// How many distinct stacks have at least one frame.
    pub fn distinct_stacks(&self) -> u64 {
        self.stacks
            .items
            .iter()
            .filter(|stack| !stack.is_empty())
            .count() as u64
    }

    /// All samples with their counts, in no order.
    pub fn samples(&self) -> impl Iterator<Item = (Sample, u64)> + '_ {
        self.samples.iter().map(|(sample, count)| (*sample, *count))
    }

    /// Sum of all counts.
    pub fn total(&self) -> u64 {
        self.samples.values().sum()
    }

    /// Sum of the counts in one context.
    pub fn total_in(&self, context: Context) -> u64 {
        self.samples()
            .filter(|(s, _)| s.context == context)
            .map(|(_, n)| n)
            .sum()
    }

    /// Adds all of another profile's counts. The metadata stays this profile's, but for its times and
    /// accounting, which [`Meta::merge`] adds up.
    pub fn merge(&mut self, other: &Profile) {
        self.meta.merge(&other.meta);
        for (sample, count) in other.samples() {
            let frames: Vec<FrameId> = other
                .stack(sample.stack)
                .iter()
                .map(|&id| self.intern_frame(other.frame(id).clone()))
                .collect();
            let stack = self.intern_stack(&frames);
            let thread = self.intern_thread(other.thread(sample.thread).clone());
            self.add(
                Sample {
                    thread,
                    stack,
                    context: sample.context,
                },
                count,
            );
        }
    }
}
