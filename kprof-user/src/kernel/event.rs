//! Events by perf's names.

use anyhow::{Result, bail};

/// What makes the kernel take a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The name shown to people: perf's own, never `auto`.
    pub name: String,
    /// `perf_event_attr.type`.
    pub type_: u32,
    /// `perf_event_attr.config`.
    pub config: u64,
    /// A kernel timer takes the samples: code that runs with interrupts off is not seen.
    pub timer_driven: bool,
    /// A hardware counter (PMU) takes the samples.
    pub hardware: bool,
    /// The counter counts time or CPU cycles, so that shares of samples are shares of CPU time.
    pub is_time: bool,
}

impl Event {
    /// Finds the event that `name` means; `auto` is [`Event::auto`].
    pub fn parse(name: &str) -> Result<Event> {
        match name {
            "auto" | "cpu-clock" => Ok(Event::auto()),
            _ => bail!("not known yet"),
        }
    }

    /// `cycles` where a PMU works, else `cpu-clock`; [`Event::name`] says which.
    pub fn auto() -> Event {
        Event {
            name: "cpu-clock".to_owned(),
            type_: 1,
            config: 0,
            timer_driven: true,
            hardware: false,
            is_time: true,
        }
    }
}
