//! Gives a command a user and capabilities.
//!
//! `setpriv(1)` of util-linux does the same; machines as small as a guest don't have it.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A user and group who are nobody.
pub const NOBODY: u32 = 65_534;

/// `struct __user_cap_header_struct` of include/uapi/linux/capability.h.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `struct __user_cap_data_struct`: one half of each set.
#[repr(C)]
#[derive(Clone, Copy)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: two halves.
const VERSION_3: u32 = 0x2008_0522;

/// Runs the command as nobody with these capabilities alone, which the programs it starts have as well.
pub fn as_nobody_with(command: &mut Command, capabilities: &'static [libc::c_ulong]) {
    let become_nobody = move || {
        // SAFETY: the calls take integers, and an empty list of groups.
        unsafe {
            // So that giving up user 0 gives up no more than that.
            prctl(libc::PR_SET_KEEPCAPS, 1, 0)?;
            check(libc::setgroups(0, std::ptr::null()).into())?;
            check(libc::setresgid(NOBODY, NOBODY, NOBODY).into())?;
            check(libc::setresuid(NOBODY, NOBODY, NOBODY).into())?;
        }
        set_capabilities(capabilities)?;
        // A program without file capabilities gets the ambient ones alone (capabilities(7)).
        capabilities
            .iter()
            .try_for_each(|&one| prctl(libc::PR_CAP_AMBIENT, RAISE, one))
    };
    // SAFETY: only system calls are made between fork and exec, and nothing is allocated.
    unsafe { command.pre_exec(become_nobody) };
}

const RAISE: libc::c_ulong = libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong;

/// Runs the command with no capabilities but these, though as root: the others can't be had again.
pub fn with_capabilities_only(command: &mut Command, capabilities: &'static [libc::c_ulong]) {
    let drop_others = move || {
        for capability in 0..64 {
            if capabilities.contains(&capability) {
                continue;
            }
            match prctl(libc::PR_CAPBSET_DROP, capability, 0) {
                // Past the last one that the kernel knows.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
                other => other?,
            }
        }
        Ok(())
    };
    // SAFETY: only prctl(2) is called between fork and exec.
    unsafe { command.pre_exec(drop_others) };
}

/// Runs the command with a limit of locked memory, which BPF programs and maps count against before Linux 5.11.
pub fn limit_locked_memory(command: &mut Command, bytes: libc::rlim_t) {
    // SAFETY: only setrlimit(2) is called between fork and exec.
    unsafe { command.pre_exec(move || set_locked_memory(bytes)) };
}

/// Whether this kernel, at this level of `kernel.perf_event_paranoid`, leaves perf events to CAP_SYS_ADMIN, where
/// others are content with CAP_PERFMON. Debian's own patch does so at the levels over 2: seen on its kernels from 5.10
/// to 7.3.
pub fn perf_takes_admin(level: i64) -> bool {
    let version = std::fs::read_to_string("/proc/version").expect("the kernel's version");
    level > 2 && version.to_lowercase().contains("debian")
}

/// Lifts the limit of locked memory of this process, where it may.
pub fn lift_locked_memory() {
    // Not needed from Linux 5.11 on.
    let _ = set_locked_memory(libc::RLIM_INFINITY);
}

fn set_locked_memory(bytes: libc::rlim_t) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: the limit outlives the call, which only reads it.
    check(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) }.into())
}

/// Sets this thread's permitted, effective and inheritable sets to the same.
fn set_capabilities(capabilities: &[libc::c_ulong]) -> io::Result<()> {
    let all: u64 = capabilities.iter().map(|one| 1 << one).sum();
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let half = |bits: u64| Half {
        effective: bits as u32,
        permitted: bits as u32,
        inheritable: bits as u32,
    };
    let sets = [half(all), half(all >> 32)];
    // SAFETY: both are laid out as the kernel expects them and outlive the call, which only reads them.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) })
}

fn prctl(option: libc::c_int, first: libc::c_ulong, second: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the options used here take integers.
    check(unsafe { libc::prctl(option, first, second, 0, 0) }.into())
}

fn check(answer: libc::c_long) -> io::Result<()> {
    match answer {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
