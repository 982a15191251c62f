//! What an output shows of a profile, in an order that depends on nothing but the profile's content.

use crate::profile::{Context, FrameId, Profile, Show, Thread};

/// The label of a sample in user mode.
pub(super) const USER: &str = "[user]";

/// The label of a sample in the kernel whose stack has no frames.
pub(super) const NO_STACK: &str = "[no stack]";

/// Stands behind a thread id that is the host's; see [`Thread::host_ids`].
pub(super) const HOST: &str = "@host";

/// One sample with its count.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    pub(super) thread: &'a Thread,
    /// Outermost first. Empty in user mode.
    pub(super) frames: &'a [FrameId],
    pub(super) context: Context,
    pub(super) count: u64,
}

/// The samples that `Show` lets through, sorted, with the labels of all frames.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) profile: &'a Profile,
    /// Sorted by thread, then by the labels of the stack.
    pub(super) rows: Vec<Row<'a>>,
    /// Sum of the rows' counts.
    pub(super) total: u64,
    labels: Vec<String>,
    threads: bool,
}

impl<'a> View<'a> {
    pub(super) fn new(profile: &'a Profile, show: &Show) -> View<'a> {
        let (frames, _, _) = profile.sizes();
        let labels: Vec<String> = (0..frames as u32)
            .map(|id| profile.frame(FrameId(id)).label(show.addresses).to_string())
            .collect();
        let rank = ranks(&labels);
        let ranks_of = |frames: &'a [FrameId]| frames.iter().map(|id| rank[id.0 as usize]);
        let mut rows: Vec<Row<'a>> = profile
            .samples()
            .filter(|(sample, _)| show.context(sample.context))
            .map(|(sample, count)| Row {
                thread: profile.thread(sample.thread),
                frames: match sample.context {
                    Context::User => &[],
                    _ => profile.stack(sample.stack),
                },
                context: sample.context,
                count,
            })
            .collect();
        rows.sort_unstable_by(|a, b| {
            let names = a.thread.comm.cmp(&b.thread.comm);
            names
                .then_with(|| a.thread.cmp(b.thread))
                .then_with(|| ranks_of(a.frames).cmp(ranks_of(b.frames)))
                .then(a.context.cmp(&b.context))
        });
        rows.dedup_by(|next, row| {
            let same = next.thread == row.thread
                && next.context == row.context
                && ranks_of(next.frames).eq(ranks_of(row.frames));
            if same {
                row.count += next.count;
            }
            same
        });
        let total = rows.iter().map(|row| row.count).sum();
        View {
            profile,
            rows,
            total,
            labels,
            threads: show.threads,
        }
    }

    /// The text of a frame.
    pub(super) fn label(&self, id: FrameId) -> &str {
        &self.labels[id.0 as usize]
    }

    /// The texts of a row's frames, outermost first, never none: user mode and empty stacks have a
    /// label of their own.
    pub(super) fn labels(&self, row: &Row<'a>) -> impl Iterator<Item = &str> {
        let stand_in = match (row.context, row.frames.is_empty()) {
            (Context::User, _) => Some(USER),
            (_, true) => Some(NO_STACK),
            (_, false) => None,
        };
        stand_in
            .into_iter()
            .chain(row.frames.iter().map(|&id| self.label(id)))
    }

    /// The text of a thread: its name, with its id where asked for.
    pub(super) fn thread(&self, thread: &Thread) -> String {
        match self.threads {
            true => {
                let whose = if thread.host_ids { HOST } else { "" };
                format!("{}-{}{whose}", thread.comm, thread.tid)
            }
            false => thread.comm.clone(),
        }
    }
}

/// The place of each label in sorted order; equal labels share one.
fn ranks(labels: &[String]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..labels.len() as u32).collect();
    order.sort_unstable_by_key(|&id| &labels[id as usize]);
    let mut ranks = vec![0; labels.len()];
    let mut rank = 0;
    for (place, &id) in order.iter().enumerate() {
        if place > 0 && labels[id as usize] != labels[order[place - 1] as usize] {
            rank += 1;
        }
        ranks[id as usize] = rank;
    }
    ranks
}
