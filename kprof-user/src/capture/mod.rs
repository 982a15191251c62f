//! Everything that touches BPF: load, attach, filter, flip, drain, account.
//!
//! A [`Request`] starts a [`Capture`]; each [`Capture::drain`] hands out what was counted since the one
//! before as a [`RawWindow`]. Between drains, [`Capture::collect`] moves counts out of the kernel before
//! its maps fill up, at least every [`Capture::period`].

mod account;
#[cfg(feature = "bpf-log")]
mod bpf_log;
mod cost;
mod count_tables;
mod cpu_state;
mod epoch;
mod events;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
mod grace;
mod load;
pub mod own;
mod request;
mod running;
mod shared;
mod sizing;
mod stacks;
mod sys;

pub use request::{Filters, RawSample, RawWindow, Request};
pub use running::Capture;
pub use sizing::MAX_STACKS;
