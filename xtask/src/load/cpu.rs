//! CPUs: which ones a load may use, pinning to one, and masks as sysfs wants them.

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPUs this process may run on, in order.
pub(super) fn allowed() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("read this process's CPU affinity")?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect())
}

/// Two CPUs for the two ends of a load that needs its halves apart.
pub(super) fn pair() -> Result<(usize, usize)> {
    match allowed()?.as_slice() {
        [first, second, ..] => Ok((*first, *second)),
        cpus => bail!(
            "this load needs two CPUs and may use only {cpus:?}: widen the affinity (taskset, cpuset)"
        ),
    }
}

/// Pins the calling thread to `cpu`.
pub(super) fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("pin a thread to CPU {cpu}"))
}

/// The mask of one CPU in the form `rps_cpus` takes: 32-bit groups in hexadecimal, highest first.
pub(super) fn mask(cpu: usize) -> String {
    let mut mask = format!("{:x}", 1u32 << (cpu % 32));
    for _ in 0..cpu / 32 {
        mask.push_str(",00000000");
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn masks_are_groups_of_32() {
        assert_eq!(mask(0), "1");
        assert_eq!(mask(5), "20");
        assert_eq!(mask(31), "80000000");
        assert_eq!(mask(32), "1,00000000");
        assert_eq!(mask(70), "40,00000000,00000000");
    }
}
