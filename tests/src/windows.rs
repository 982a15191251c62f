//! What `--stats-windows` writes, read back.

use std::path::Path;

use crate::audit::Account;

/// Reads the windows of a capture; panics unless the accounting of each adds up, to the sample.
pub fn read(path: &Path) -> Vec<Account> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let window = |(n, line): (usize, &str)| {
        let json = serde_json::from_str(line).unwrap_or_else(|e| panic!("window {n}: {e}: {line}"));
        let window = Account::of(&json);
        window.adds_up(&format!("window {n}"));
        window
    };
    text.lines().enumerate().map(window).collect()
}

/// Panics unless all windows are without a loss, and no more was seen than was due. Samples are counted before it is
/// read what was due, so that up to any window no more can have been seen; `slack` is for clocks that differ.
#[track_caller]
pub fn assert_nothing_lost(windows: &[Account], slack: u64) {
    let (mut seen, mut due) = (0, 0);
    for (n, window) in windows.iter().enumerate() {
        assert!(window.lost.is_empty(), "window {n}: {window:?}");
        seen += window.seen;
        due += window.expected.unwrap_or(window.seen);
        assert!(
            seen <= due + slack,
            "{seen} seen, {due} due up to window {n}: {windows:#?}"
        );
    }
}
