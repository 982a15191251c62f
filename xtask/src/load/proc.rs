//! What /proc says threads burned, so that a load can tell what it really caused.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time of a thread, from `/proc/PID/stat`: fields 14 (utime) and 15 (stime).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CpuTime {
    pub(super) user: Duration,
    pub(super) system: Duration,
}

impl CpuTime {
    pub(super) fn total(self) -> Duration {
        self.user + self.system
    }
}

/// The pid of the kernel thread `name`.
pub(super) fn kernel_thread(name: &str) -> Result<u32> {
    processes()?
        .into_iter()
        .find(|pid| comm(*pid).as_deref() == Some(name))
        .with_context(|| format!("find the kernel thread {name} in /proc (another pid namespace?)"))
}

/// CPU time of the thread with this pid.
pub(super) fn cpu_time(pid: u32) -> Result<CpuTime> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    parse_stat(&stat, ticks_per_second()).with_context(|| format!("parse {path}"))
}

/// CPU time of all threads whose name begins with `prefix` together, by pid.
pub(super) fn cpu_times(prefix: &str) -> Result<Vec<(u32, CpuTime)>> {
    Ok(processes()?
        .into_iter()
        .filter(|pid| comm(*pid).is_some_and(|comm| comm.starts_with(prefix)))
        // A thread that is gone by now burned nothing more.
        .filter_map(|pid| Some((pid, cpu_time(pid).ok()?)))
        .collect())
}

fn processes() -> Result<Vec<u32>> {
    Ok(fs::read_dir("/proc")
        .context("list /proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect())
}

fn comm(pid: u32) -> Option<String> {
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(comm.trim_end().to_owned())
}

fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second()
}

fn parse_stat(stat: &str, ticks_per_second: u64) -> Option<CpuTime> {
    // The name is in parentheses and may hold any character, so count from its last one.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut time = || {
        let ticks: u64 = fields.next()?.parse().ok()?;
        Some(Duration::from_nanos(
            ticks * (1_000_000_000 / ticks_per_second),
        ))
    };
    Some(CpuTime {
        user: time()?,
        system: time()?,
    })
}

/// `part` as a percentage of `whole`.
pub(super) fn percent(part: Duration, whole: Duration) -> f64 {
    100.0 * part.as_secs_f64() / whole.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse_stat;

    #[test]
    fn stat_is_read_past_odd_names() {
        let stat = "17 (a) b) S 2 0 0 0 -1 69238848 0 0 0 0 250 150 0 0 20 0 1 0 27";
        let time = parse_stat(stat, 100).unwrap();
        assert_eq!(time.user, Duration::from_millis(2500));
        assert_eq!(time.system, Duration::from_millis(1500));
        assert_eq!(parse_stat("17 (x) S 2", 100), None);
    }
}
