//! Offsets of kernel structures, from the running kernel's BTF.

use anyhow::Result;

/// Byte offsets within `task_struct`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskOffsets {
    /// Of `task_struct.flags` (`PF_KTHREAD` and the like).
    pub flags: u32,
    /// Of `task_struct.comm`, 16 bytes.
    pub comm: u32,
}

/// Reads the offsets from `/sys/kernel/btf/vmlinux`.
pub fn task_offsets() -> Result<TaskOffsets> {
    anyhow::bail!("not read yet")
}
