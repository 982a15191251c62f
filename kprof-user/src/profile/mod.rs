//! The pure model of what was sampled: frames, stacks, threads and their counts.
//!
//! Live captures, pprof files and folded files all become a [`Profile`], and every output is made from
//! one. Nothing here does I/O or knows BPF.

mod context;
mod filter;
mod frame;
mod meta;
mod model;

pub use context::{Context, Marker, classify, classify_markers, marker};
pub use filter::Show;
pub use frame::{Frame, SourceLine, UnknownReason};
pub use meta::{Accounting, Meta, Unit};
pub(crate) use model::MAX_TOTAL;
pub use model::{FrameId, Profile, Sample, StackId, Thread, ThreadId};
