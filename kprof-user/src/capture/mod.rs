//! Everything that touches BPF: load, attach, filter, flip, drain, account.
//!
//! A [`Request`] starts a [`Capture`]; each [`Capture::drain`] hands out what was counted since the one
//! before as a [`RawWindow`].

mod request;

pub use request::{Filters, RawSample, RawWindow, Request};

/// A running capture. Dropping it stops it.
#[derive(Debug)]
pub struct Capture {
    _private: (),
}

impl Capture {
    /// Loads the programs and starts sampling.
    pub fn start(_request: &Request) -> anyhow::Result<Capture> {
        anyhow::bail!("capturing is not built yet")
    }

    /// Hands out what was counted since the last call. Sampling goes on meanwhile.
    pub fn drain(&mut self) -> anyhow::Result<RawWindow> {
        anyhow::bail!("capturing is not built yet")
    }

    /// Stops sampling and hands out the rest.
    pub fn finish(self) -> anyhow::Result<RawWindow> {
        anyhow::bail!("capturing is not built yet")
    }

    /// How long after the start of this process the first sample could be taken, nanoseconds.
    pub fn first_sample_ns(&self) -> Option<u64> {
        None
    }
}
