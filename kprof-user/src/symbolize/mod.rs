//! From addresses to frames, and from raw windows to profiles.
//!
//! [`Symbolizer::add_window`] looks each distinct address up once for the whole run: in the kernel's
//! own symbols, which never change, or in those of modules and BPF programs, which are read again when
//! the kernel's lists of them differ from the last look. With `--lines`, a vmlinux with debug
//! information adds source lines and inlined functions.
//!
//! ```text
//! kallsyms (lines) -> table (sorted, one arena) -> index (core, loaded) -> addresses (cache) -> add_window
//!                    gone, loaded, bpf (what went, what changed, ends) ^      ^ lines (DWARF)
//! ```

mod addresses;
mod bpf;
mod elf;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
mod gone;
mod index;
mod kallsyms;
mod lines;
mod loaded;
mod names;
mod table;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use kprof_ebpf::flags;

use crate::capture::RawWindow;
use crate::profile::{Context, Frame, Marker, Profile, Sample, StackId, classify_markers};
use addresses::Addresses;

/// What to find out about an address besides its function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Source lines and inlined functions.
    pub lines: bool,
    /// The vmlinux to take them from; looked for in the usual places if not given.
    pub vmlinux: Option<PathBuf>,
}

/// Names the frames of raw stacks. Not `Send`: it belongs to the thread that made it.
#[derive(Debug)]
pub struct Symbolizer {
    addresses: Addresses,
}

impl Symbolizer {
    /// Checks that the options can be met. The symbols themselves are read when the first address is
    /// looked up, so that a capture starts without waiting for them.
    ///
    /// # Errors
    /// If `lines` is asked for and no vmlinux with debug information of the running kernel is there.
    pub fn new(options: Options) -> Result<Symbolizer> {
        Ok(Symbolizer {
            addresses: Addresses::new(options)?,
        })
    }

    /// Takes down which modules and BPF programs are loaded. To be called when sampling begins and now and then, until the
    /// first window is added: what went meanwhile is then known to have been there, and its place gets no name of what
    /// came after it. After that the windows themselves are enough.
    pub fn look(&mut self) {
        self.addresses.look();
    }

    /// Adds a window's samples to a profile: threads, frames, stacks (outermost frame first), contexts
    /// and counts. The profile's metadata is left to the caller.
    ///
    /// # Errors
    /// None at present: an address that can't be named is a frame that says why.
    pub fn add_window(&mut self, window: &RawWindow, profile: &mut Profile) -> Result<()> {
        // Threads that were seen in the same place share the stack.
        let mut stacks: HashMap<*const u64, Stack> = HashMap::new();
        let mut renaming = Vec::new();
        for sample in &window.samples {
            let user = sample.key.flags & flags::USER != 0;
            let stack = if user || sample.stack.is_empty() {
                Stack {
                    id: profile.intern_stack(&[]),
                    task: Context::Task,
                    idle: Context::Idle,
                    renaming: false,
                }
            } else {
                let shared = Arc::as_ptr(&sample.stack).cast::<u64>();
                *stacks
                    .entry(shared)
                    .or_insert_with(|| self.stack(&sample.stack, window.max_frames, profile))
            };
            let context = match (user, sample.key.tid) {
                (true, _) => Context::User,
                (false, 0) => stack.idle,
                (false, _) => stack.task,
            };
            if stack.renaming && sample.key.tid != 0 {
                renaming.push((sample, stack.id, context));
                continue;
            }
            let thread = profile.intern_thread(names::thread(&sample.key));
            let stack = stack.id;
            profile.add(
                Sample {
                    thread,
                    stack,
                    context,
                },
                sample.count,
            );
        }
        // The names of all others are known now.
        for (sample, stack, context) in renaming {
            let thread = names::renaming_thread(&sample.key, profile);
            let thread = profile.intern_thread(thread);
            profile.add(
                Sample {
                    thread,
                    stack,
                    context,
                },
                sample.count,
            );
        }
        self.addresses.end_window();
        Ok(())
    }

    /// The frames at one exact address, innermost first: the function, and before it those that were
    /// inlined there.
    pub fn resolve(&mut self, address: u64) -> Vec<Frame> {
        let found = self.addresses.look_up(address);
        let frames = self.addresses.frames(found);
        self.addresses.end_window();
        frames
    }

    fn stack(&mut self, stack: &[u64], max_frames: u32, profile: &mut Profile) -> Stack {
        let mut frames = Vec::with_capacity(stack.len());
        let mut markers = Vec::new();
        // The innermost address is where the CPU was. All others are where a call returns to, which
        // may be behind the end of a function that calls one that never returns, so the call itself is
        // looked up; but what an interrupt or exception interrupted is no call.
        let mut exact = true;
        for &address in stack {
            let at = if exact {
                address
            } else {
                address.saturating_sub(1)
            };
            let found = self.addresses.look_up(at);
            exact = self
                .addresses
                .push(found, profile, &mut frames, &mut markers);
        }
        let cut = max_frames > 0 && stack.len() >= max_frames as usize;
        if cut {
            frames.push(profile.intern_frame(Frame::Limit { frames: max_frames }));
        }
        frames.reverse();
        let idle = match classify_markers(markers.iter().copied(), true) {
            // What is missing may be an interrupt, which must not pass for idle.
            Context::Idle if cut && !markers.contains(&Marker::IdleLoop) => Context::Task,
            found => found,
        };
        let id = profile.intern_stack(&frames);
        Stack {
            id,
            renaming: names::is_renaming(id, profile),
            task: classify_markers(markers.iter().copied(), false),
            idle,
        }
    }
}

/// A stack of a profile, and its context on a thread and on an idle task.
#[derive(Clone, Copy)]
struct Stack {
    id: StackId,
    task: Context,
    idle: Context,
    /// It goes through the change of the thread's name.
    renaming: bool,
}

#[cfg(test)]
mod bpf_tests;
#[cfg(test)]
mod tests;
