//! How many frames of a stack the kernel keeps.
//!
//! It walks a stack from the innermost frame outwards and stops at `kernel.perf_event_max_stack`
//! (`get_perf_callchain`, kernel/events/callchain.c): what is cut off is the outer end. A stack-trace map with
//! longer values is refused (`stack_map_alloc`, kernel/bpf/stackmap.c), and `bpf_get_stack` stops at the limit
//! as well. While such a map lives the setting can't be changed (`perf_event_max_stack_handler`).

use anyhow::{Result, bail};
use kprof_ebpf::MAX_FRAMES;

use super::{refusal, sysctl};

/// The setting.
pub(super) const LIMIT: &str = "kernel.perf_event_max_stack";

/// Frames that are kept of one stack, from 1 to [`MAX_FRAMES`]; a value of a stack-trace map has 8 bytes for each.
///
/// # Errors
/// If the kernel is set to keep none.
pub fn max_frames() -> Result<u32> {
    of_limit(sysctl::read(LIMIT))
}

/// Where the setting isn't shown, the kernel's own default is as good as any guess.
fn of_limit(limit: Option<i64>) -> Result<u32> {
    match limit {
        Some(limit) if limit < 1 => {
            let lack = refusal::no_stacks(limit);
            bail!("{}. {}", lack.cause, lack.mend)
        }
        Some(limit) => Ok(limit.min(MAX_FRAMES as i64) as u32),
        None => Ok(MAX_FRAMES as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_limit_holds() {
        assert_eq!(of_limit(Some(1)).unwrap(), 1);
        assert_eq!(of_limit(Some(50)).unwrap(), 50);
        assert_eq!(of_limit(Some(127)).unwrap(), 127);
        assert_eq!(of_limit(Some(640 * 1024)).unwrap(), 127);
        assert_eq!(of_limit(None).unwrap(), 127);
    }

    #[test]
    fn a_kernel_that_keeps_no_stack_is_refused_with_the_command_that_mends_it() {
        let error = of_limit(Some(0)).unwrap_err().to_string();
        assert!(
            error.contains("sysctl -w kernel.perf_event_max_stack=127"),
            "{error}"
        );
    }

    #[test]
    fn the_kernel_takes_a_map_of_this_size_and_none_larger() {
        let Some(limit) = sysctl::read(LIMIT) else {
            crate::skip::skip!("{LIMIT} is not shown here");
        };
        let make = |frames: u32| {
            crate::kernel::bpf_syscall::create_map(&crate::kernel::bpf_syscall::MapAttr {
                map_type: 7,
                key_size: 4,
                value_size: frames * 8,
                max_entries: 1,
            })
        };
        match make(max_frames().unwrap()) {
            Ok(_) => assert!(make(limit as u32 + 1).is_err()),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                crate::skip::skip!("no BPF maps here: {error}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}
