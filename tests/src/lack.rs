//! Takes from a command what kprof needs.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Numbers of include/uapi/linux/capability.h.
pub mod capability {
    /// `CAP_SYS_ADMIN`, which stands in for the other two.
    pub const SYS_ADMIN: libc::c_ulong = 21;
    /// `CAP_SYSLOG`, which symbol addresses take.
    pub const SYSLOG: libc::c_ulong = 34;
    /// `CAP_PERFMON`.
    pub const PERFMON: libc::c_ulong = 38;
    /// `CAP_BPF`.
    pub const BPF: libc::c_ulong = 39;
}

/// Runs the command without these capabilities, though as root.
pub fn without_capabilities(command: &mut Command, capabilities: &'static [libc::c_ulong]) {
    let drop_all = move || {
        for &capability in capabilities {
            // SAFETY: the call takes integers. What is not in the bounding set is not gained by exec.
            if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: only prctl(2) is called between fork and exec.
    unsafe { command.pre_exec(drop_all) };
}

/// Runs the command as a user who is nobody.
pub fn as_nobody(command: &mut Command) {
    command.uid(65_534).gid(65_534);
}

/// Has a system call filter refuse these calls with EPERM, as containers do.
pub fn without_calls(command: &mut Command, calls: [libc::c_long; 2]) {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let answer = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let refuse = move || {
        let mut steps = [
            // `seccomp_data.nr`, the number of the call.
            step(load, 0, 0, 0),
            step(equal, 2, 0, calls[0] as u32),
            step(equal, 1, 0, calls[1] as u32),
            step(answer, 0, 0, libc::SECCOMP_RET_ALLOW),
            step(answer, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        ];
        let program = libc::sock_fprog {
            len: steps.len() as u16,
            filter: steps.as_mut_ptr(),
        };
        // SAFETY: the program and its steps outlive the calls, which copy them.
        let answer = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            )
        };
        match answer {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: only prctl(2) is called between fork and exec, and nothing is allocated.
    unsafe { command.pre_exec(refuse) };
}
