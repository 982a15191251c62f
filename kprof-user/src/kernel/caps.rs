//! This process's effective capabilities.

use anyhow::Result;

/// A capability that matters to kprof; the value is its bit number (`linux/capability.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    /// `CAP_SYS_ADMIN`.
    SysAdmin = 21,
    /// `CAP_SYS_RESOURCE`.
    SysResource = 24,
    /// `CAP_SYSLOG`.
    Syslog = 34,
    /// `CAP_PERFMON`, from Linux 5.8.
    Perfmon = 38,
    /// `CAP_BPF`, from Linux 5.8.
    Bpf = 39,
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set(pub u64);

impl Set {
    /// Whether the set holds `capability`.
    pub fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }
}

/// What this process may do now.
pub fn effective() -> Result<Set> {
    Ok(Set(0))
}
