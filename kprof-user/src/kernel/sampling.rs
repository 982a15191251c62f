//! How often a sample is taken.

use anyhow::{Result, bail};

use super::sysctl;

/// The kernel's limit of samples a second and CPU. It lowers the limit by itself when its sampling
/// interrupts take too long (`kernel.perf_cpu_time_max_percent`).
pub const MAX_SAMPLE_RATE: &str = "kernel.perf_event_max_sample_rate";

/// That limit as it is now; `None` where it can't be read.
pub fn rate_limit() -> Option<u64> {
    u64::try_from(sysctl::read(MAX_SAMPLE_RATE)?).ok()
}

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
        self.check_against(rate_limit())
    }

    fn check_against(&self, limit: Option<u64>) -> Result<()> {
        match (*self, limit) {
            (Sampling::Frequency(0), _) => {
                bail!("a frequency of 0 takes no samples: give 1 or more, such as --freq 99")
            }
            (Sampling::Period(0), _) => {
                bail!("a period of 0 takes no samples: give 1 or more, such as --period 1000000")
            }
            // The kernel refuses periods with the top bit set.
            (Sampling::Period(n), _) if n > i64::MAX as u64 => {
                bail!("a period of {n} is past the kernel's limit of {}", i64::MAX)
            }
            (Sampling::Frequency(hz), Some(limit)) if hz > limit => bail!(
                "{hz} samples a second are over this kernel's limit of {limit}: give --freq {limit} or less, or \
                 raise the limit with: `sudo sysctl -w {MAX_SAMPLE_RATE}={hz}`"
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_named_with_the_command_that_raises_it() {
        let error = Sampling::Frequency(200_000)
            .check_against(Some(100_000))
            .unwrap_err()
            .to_string();
        assert!(error.contains("limit of 100000"), "{error}");
        assert!(
            error.contains("sudo sysctl -w kernel.perf_event_max_sample_rate=200000"),
            "{error}"
        );
    }

    #[test]
    fn what_takes_no_samples_is_refused() {
        assert!(Sampling::Frequency(0).check_against(None).is_err());
        assert!(Sampling::Period(0).check_against(None).is_err());
        assert!(Sampling::Period(u64::MAX).check_against(None).is_err());
    }

    #[test]
    fn the_rest_is_the_kernels_to_judge() {
        assert!(Sampling::Frequency(u64::MAX).check_against(None).is_ok());
        assert!(
            Sampling::Frequency(100_000)
                .check_against(Some(100_000))
                .is_ok()
        );
        assert!(Sampling::Period(1).check_against(Some(1)).is_ok());
    }
}
