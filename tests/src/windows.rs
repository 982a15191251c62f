//! What `--stats-windows` writes, read back.

use std::path::Path;
use std::time::Duration;

/// The accounting of one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Start, by the clock that can be set, since 1970.
    pub start: Duration,
    /// Time covered.
    pub duration: Duration,
    /// Times the program ran.
    pub seen: u64,
    /// Samples in the result.
    pub counted: u64,
    /// Samples of other threads.
    pub filtered: u64,
    /// Samples lost, for whatever reason.
    pub lost: u64,
    /// Samples due by the events' own counts, where that is known.
    pub expected: Option<u64>,
}

/// Reads the windows of a capture; panics unless the accounting of each adds up, to the sample.
pub fn read(path: &Path) -> Vec<Window> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines()
        .enumerate()
        .map(|(n, line)| window(n, line))
        .collect()
}

fn window(n: usize, line: &str) -> Window {
    let json: serde_json::Value =
        serde_json::from_str(line).unwrap_or_else(|e| panic!("window {n}: {e}: {line}"));
    let number = |field: &str| {
        json[field]
            .as_u64()
            .unwrap_or_else(|| panic!("window {n}: no {field} in {line}"))
    };
    let lost = json["lost"].as_object().expect("losses by reason");
    let window = Window {
        start: Duration::from_nanos(number("start_unix_ns")),
        duration: Duration::from_nanos(number("duration_ns")),
        seen: number("seen"),
        counted: number("counted"),
        filtered: number("filtered"),
        lost: lost.values().filter_map(serde_json::Value::as_u64).sum(),
        expected: json["expected"].as_u64(),
    };
    assert_eq!(
        window.seen,
        window.counted + window.filtered + window.lost,
        "window {n} does not add up: {line}"
    );
    assert_eq!(
        number("sum_of_counts"),
        window.counted,
        "window {n}: {line}"
    );
    window
}

/// Panics unless all windows are without a loss, and no more was seen than was due. Samples are counted before it is
/// read what was due, so that up to any window no more can have been seen; `slack` is for clocks that differ.
#[track_caller]
pub fn assert_nothing_lost(windows: &[Window], slack: u64) {
    let (mut seen, mut due) = (0, 0);
    for (n, window) in windows.iter().enumerate() {
        assert_eq!(window.lost, 0, "window {n}: {window:?}");
        seen += window.seen;
        due += window.expected.unwrap_or(window.seen);
        assert!(
            seen <= due + slack,
            "{seen} seen, {due} due up to window {n}: {windows:#?}"
        );
    }
}
