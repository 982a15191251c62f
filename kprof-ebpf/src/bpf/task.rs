//! The current task's flags and name.

use aya_ebpf::bindings::bpf_pidns_info;
use aya_ebpf::cty::c_void;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::{
    bpf_get_current_comm, bpf_get_current_task, bpf_get_current_task_btf,
    bpf_get_ns_current_pid_tgid, bpf_probe_read_kernel,
};
use kprof_ebpf::flags;

use super::settings::setting;

/// `PF_KTHREAD` of include/linux/sched.h.
pub(crate) const PF_KTHREAD: u32 = 0x0020_0000;

/// The task that was running.
#[derive(Clone, Copy)]
pub(crate) struct Task(*const u8);

impl Task {
    /// Linux 5.11 has a typed pointer whose fields are plain loads; before, fields must be copied.
    #[inline(always)]
    pub(crate) fn current() -> Task {
        if setting!(has_btf) == 0 {
            Task(core::ptr::null())
        } else if setting!(has_task_btf) == 1 {
            // SAFETY: the helper takes nothing and always answers with the current task.
            Task(unsafe { bpf_get_current_task_btf() }.cast_const().cast())
        } else {
            // SAFETY: as above.
            Task(unsafe { bpf_get_current_task() } as *const u8)
        }
    }

    /// `task_struct.flags`; 0 where the offset is not known.
    #[inline(always)]
    pub(crate) fn flags(self) -> u32 {
        if setting!(has_btf) == 0 {
            return 0;
        }
        let field = self.0.wrapping_add(setting!(task_flags_offset) as usize);
        if setting!(has_task_btf) == 1 {
            // SAFETY: the verifier checks the load against the kernel's own type of the task.
            return unsafe { field.cast::<u32>().read_volatile() };
        }
        let mut flags = 0u32;
        // SAFETY: the destination is 4 bytes; the helper checks the source.
        unsafe { bpf_probe_read_kernel((&raw mut flags).cast(), 4, field.cast::<c_void>()) };
        flags
    }

    /// `task_struct.comm`, padded with NUL.
    #[inline(always)]
    pub(crate) fn comm(self) -> [u64; 2] {
        if setting!(has_task_btf) == 1 && setting!(task_comm_offset) != 0 {
            let field = self
                .0
                .wrapping_add(setting!(task_comm_offset) as usize)
                .cast::<u64>();
            // SAFETY: the verifier checks both loads against the kernel's own type of the task.
            let [first, second] =
                unsafe { [field.read_volatile(), field.wrapping_add(1).read_volatile()] };
            // Behind the NUL there may be the rest of a longer, earlier name.
            let zeros = zero_bytes(first);
            if zeros != 0 {
                return [first & below(zeros), 0];
            }
            return [first, second & below(zero_bytes(second))];
        }
        let mut comm = [0u64; 2];
        // SAFETY: the destination is 16 bytes.
        unsafe { bpf_get_current_comm((&raw mut comm).cast(), 16) };
        comm
    }
}

/// The current task's process and thread id, and `flags::HOST_IDS` where they are not of the pid
/// namespace in the configuration.
#[inline(always)]
pub(crate) fn ids() -> (u32, u32, u32) {
    let ino = setting!(pid_ns_ino);
    if ino == 0 {
        let (tgid, tid) = host_ids();
        return (tgid, tid, 0);
    }
    let mut ids = bpf_pidns_info { pid: 0, tgid: 0 };
    let (dev, size) = (
        setting!(pid_ns_dev).into(),
        size_of::<bpf_pidns_info>() as u32,
    );
    // SAFETY: the destination is as long as said. It fails for tasks of other namespaces, also of those
    // below this one (`bpf_get_ns_current_pid_tgid`, kernel/bpf/helpers.c, Linux 5.7).
    let failed = unsafe { bpf_get_ns_current_pid_tgid(dev, ino, &raw mut ids, size) };
    if failed == 0 {
        return (ids.tgid, ids.pid, 0);
    }
    let (tgid, tid) = host_ids();
    // Idle tasks have the same id, 0, in all namespaces.
    (tgid, tid, if tid == 0 { 0 } else { flags::HOST_IDS })
}

#[inline(always)]
fn host_ids() -> (u32, u32) {
    let both = bpf_get_current_pid_tgid();
    ((both >> 32) as u32, both as u32)
}

/// Sets the top bit of each zero byte, and maybe of bytes above the lowest of them.
#[inline(always)]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080
}

/// All bits of the bytes below the lowest zero byte; all bits where there is none.
#[inline(always)]
fn below(zeros: u64) -> u64 {
    ((zeros & zeros.wrapping_neg()) >> 7).wrapping_sub(1)
}
