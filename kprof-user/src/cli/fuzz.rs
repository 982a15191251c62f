//! What is read here, open to tests/fuzz.

use std::time::Duration;

use super::{machine, values};

/// The value of `--duration`.
pub fn duration(text: &str) -> Result<Duration, String> {
    values::duration(text)
}

/// A time as messages have it.
pub fn time_words(time: Duration) -> String {
    values::time_words(time)
}

/// The state of a task, from the text of `/proc/PID/stat`.
pub fn state(stat: &str) -> Option<char> {
    machine::state(stat)
}
