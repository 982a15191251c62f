//! What a refusal by the kernel means, and the command that mends it.

use std::io;

/// What kprof was doing when the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `perf_event_open`.
    OpenPerfEvent,
    /// `bpf(BPF_PROG_LOAD)`.
    LoadProgram,
    /// `bpf(BPF_MAP_CREATE)`.
    CreateMap,
    /// Attaching the program to a perf event.
    AttachProgram,
    /// Reading symbol addresses from `/proc/kallsyms`.
    ReadSymbols,
}

/// The cause of a refusal and its mend, for an error's context.
pub fn explain(error: &io::Error, action: Action) -> String {
    format!("{action:?} was refused: {error}")
}
