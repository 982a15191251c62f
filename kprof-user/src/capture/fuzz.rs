//! What is read here, open to tests/fuzz.

use super::own;

/// The largest resident size in bytes, from the text of `/proc/PID/status`.
pub fn peak_rss(status: &str) -> Option<u64> {
    own::peak_in(status)
}
