//! Windows kept raw until the capture ends, so that naming costs nothing while it runs.

use std::collections::HashMap;
use std::sync::Arc;

use kprof_ebpf::Key;

use crate::capture::{RawSample, RawWindow};
use crate::profile::Accounting;

/// The sum of raw windows.
#[derive(Debug, Default)]
pub(super) struct RawStore {
    counts: HashMap<(Key, Arc<[u64]>), u64>,
    accounting: Accounting,
    start_unix_ns: u64,
    duration_ns: u64,
    cpus: Vec<u32>,
    changed_cpus: Vec<u32>,
    max_frames: u32,
}

impl RawStore {
    /// Adds a window; `key.stack` is dropped, for it means another stack in each window.
    pub(super) fn add(&mut self, window: RawWindow) {
        let RawWindow {
            samples,
            accounting,
            start_unix_ns,
            duration_ns,
            cpus,
            changed_cpus,
            max_frames,
        } = window;
        for RawSample { key, stack, count } in samples {
            *self
                .counts
                .entry((Key { stack: 0, ..key }, stack))
                .or_default() += count;
        }
        self.accounting.merge(&accounting);
        if self.start_unix_ns == 0 {
            self.start_unix_ns = start_unix_ns;
        }
        self.duration_ns += duration_ns;
        for (all, new) in [
            (&mut self.cpus, cpus),
            (&mut self.changed_cpus, changed_cpus),
        ] {
            all.extend(new);
            all.sort_unstable();
            all.dedup();
        }
        self.max_frames = max_frames;
    }

    /// All windows as one.
    pub(super) fn take(&mut self) -> RawWindow {
        let RawStore {
            counts,
            accounting,
            start_unix_ns,
            duration_ns,
            cpus,
            changed_cpus,
            max_frames,
        } = std::mem::take(self);
        let samples = counts
            .into_iter()
            .map(|((key, stack), count)| RawSample { key, stack, count })
            .collect();
        RawWindow {
            samples,
            accounting,
            start_unix_ns,
            duration_ns,
            cpus,
            changed_cpus,
            max_frames,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_add_up_by_thread_and_stack() {
        let window = |id: u64, frames: &[u64], count| RawWindow {
            samples: vec![RawSample {
                key: Key {
                    stack: id,
                    tid: 7,
                    ..Key::default()
                },
                stack: frames.into(),
                count,
            }],
            accounting: Accounting {
                seen: count,
                counted: count,
                windows: 1,
                ..Accounting::default()
            },
            start_unix_ns: 5 + id,
            duration_ns: 10,
            cpus: vec![1, 0],
            changed_cpus: vec![id as u32 % 2],
            max_frames: 50,
        };
        let mut store = RawStore::default();
        store.add(window(1, &[1, 2], 3));
        store.add(window(2, &[1, 2], 4));
        store.add(window(3, &[1, 3], 5));
        let whole = store.take();
        let mut counts: Vec<_> = whole
            .samples
            .iter()
            .map(|s| (s.stack.to_vec(), s.count))
            .collect();
        counts.sort();
        assert_eq!(counts, [(vec![1, 2], 7), (vec![1, 3], 5)]);
        assert_eq!((whole.accounting.seen, whole.accounting.windows), (12, 3));
        assert_eq!(
            (whole.start_unix_ns, whole.duration_ns, whole.cpus),
            (6, 30, vec![0, 1])
        );
        assert_eq!(whole.changed_cpus, [0, 1]);
        assert_eq!(whole.max_frames, 50);
    }
}
