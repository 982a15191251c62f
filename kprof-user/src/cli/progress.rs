//! The progress line of a person who waits: samples, losses, time left.

use std::io::Write;
use std::time::{Duration, Instant};

use super::values::{thousands, time_words};
use crate::profile::Accounting;

/// One line on standard error, written over again.
#[derive(Debug)]
pub(super) struct Progress {
    on: bool,
    started: Instant,
    duration: Option<Duration>,
    shown: Option<Instant>,
}

impl Progress {
    pub(super) fn new(on: bool, started: Instant, duration: Option<Duration>) -> Progress {
        Progress {
            on,
            started,
            duration,
            shown: None,
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// Shows the line, at most five times a second.
    pub(super) fn show(&mut self, accounting: &Accounting) {
        if !self.on
            || self
                .shown
                .is_some_and(|at| at.elapsed() < Duration::from_millis(190))
        {
            return;
        }
        self.shown = Some(Instant::now());
        // A terminal that went away is no reason to stop.
        let line = line(accounting, self.started.elapsed(), self.duration);
        let _ = write!(std::io::stderr(), "\r\x1b[K{}", fitted(&line, columns()));
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// As much of a line as the terminal has room for: one that wraps can't be written over.
fn fitted(line: &str, columns: usize) -> String {
    line.chars().take(columns.saturating_sub(1)).collect()
}

/// Columns of the terminal at standard error; 80 if it doesn't say.
fn columns() -> usize {
    // SAFETY: all zeros is a valid `winsize`.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: `size` has room for what TIOCGWINSZ (ioctl_tty(2)) writes.
    let told = unsafe { libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, &mut size) };
    match (told, size.ws_col) {
        (0, columns @ 1..) => columns.into(),
        _ => 80,
    }
}

fn line(accounting: &Accounting, elapsed: Duration, duration: Option<Duration>) -> String {
    let whole = |time: Duration| time_words(Duration::from_secs(time.as_secs()));
    let time = match duration {
        Some(duration) => {
            let left = duration.saturating_sub(elapsed).as_millis().div_ceil(1000) as u64;
            format!("{} left", time_words(Duration::from_secs(left.max(1))))
        }
        None => format!(
            "{} so far, Ctrl-C ends",
            whole(elapsed.max(Duration::from_secs(1)))
        ),
    };
    format!(
        "kprof: {} samples matched of {}, {} lost, {time}",
        thousands(accounting.counted),
        thousands(accounting.seen),
        thousands(accounting.lost_total()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_fits_the_terminal() {
        let long = Accounting {
            seen: 123_456_789,
            counted: 12_345_678,
            ..Accounting::default()
        };
        let line = line(&long, Duration::from_secs(7_000), None);
        assert!(line.len() > 80, "{line}");
        assert_eq!(fitted(&line, 80), line[..79]);
        assert_eq!(fitted(&line, 200), line);
        assert_eq!(fitted(&line, 0), "");
    }

    #[test]
    fn the_line_says_samples_losses_and_time() {
        let accounting = Accounting {
            seen: 12_345,
            counted: 1_200,
            ..Accounting::default()
        };
        assert_eq!(
            line(
                &accounting,
                Duration::from_millis(2_100),
                Some(Duration::from_secs(10))
            ),
            "kprof: 1,200 samples matched of 12,345, 0 lost, 8 s left"
        );
        assert_eq!(
            line(&accounting, Duration::from_millis(130_100), None),
            "kprof: 1,200 samples matched of 12,345, 0 lost, 2 min 10 s so far, Ctrl-C ends"
        );
    }
}
