//! This process's capabilities.

use anyhow::{Context, Result};

use super::text;

/// A capability that matters to kprof; the value is its bit number (`linux/capability.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    /// `CAP_SYS_ADMIN`, which stands in for `CAP_BPF` and `CAP_PERFMON`.
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

impl Capability {
    /// The name in the manual, such as `CAP_BPF`.
    pub const fn name(self) -> &'static str {
        match self {
            Capability::SysAdmin => "CAP_SYS_ADMIN",
            Capability::SysResource => "CAP_SYS_RESOURCE",
            Capability::Syslog => "CAP_SYSLOG",
            Capability::Perfmon => "CAP_PERFMON",
            Capability::Bpf => "CAP_BPF",
        }
    }
}

/// A set of capabilities, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set(pub u64);

impl Set {
    /// Whether the set holds exactly this capability.
    pub fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    /// Whether the kernel grants what `capability` stands for: `CAP_SYS_ADMIN` stands in for `CAP_BPF` and
    /// `CAP_PERFMON`. For reading symbol addresses nothing stands in for `CAP_SYSLOG`.
    pub fn grants(self, capability: Capability) -> bool {
        let admin = matches!(capability, Capability::Bpf | Capability::Perfmon);
        self.has(capability) || admin && self.has(Capability::SysAdmin)
    }
}

/// What this process may do now, and what it could ever get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// In force now.
    pub effective: Set,
    /// The most that this process, and any program it starts, can get; even `sudo` gives no more.
    pub bounding: Set,
    /// System calls are filtered, as containers do (`Seccomp: 2`).
    pub seccomp: bool,
}

/// Reads `/proc/self/status`.
pub fn current() -> Result<Capabilities> {
    const PATH: &str = "/proc/self/status";
    let text = text::read(PATH)
        .with_context(|| format!("cannot read {PATH} for this process's capabilities"))?;
    parse(&text).with_context(|| format!("cannot find this process's capabilities in {PATH}"))
}

/// What this process may do now.
pub fn effective() -> Result<Set> {
    Ok(current()?.effective)
}

pub(super) fn parse(status: &str) -> Option<Capabilities> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.strip_prefix(':').map(str::trim)
    };
    let set = |name| u64::from_str_radix(field(name)?, 16).ok().map(Set);
    Some(Capabilities {
        effective: set("CapEff")?,
        bounding: set("CapBnd")?,
        seccomp: field("Seccomp") == Some("2"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_from_status() {
        let status = "Name:\tx\nCapEff:\t000000c000000000\nCapBnd:\t000001fffeffffff\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        let found = parse(status).unwrap();
        assert!(found.effective.has(Capability::Bpf) && found.effective.has(Capability::Perfmon));
        assert!(!found.effective.has(Capability::Syslog));
        assert!(
            found.bounding.has(Capability::SysAdmin)
                && !found.bounding.has(Capability::SysResource)
        );
        assert!(found.seccomp);
        assert_eq!(parse("CapEff:\tzz\n"), None);
    }

    #[test]
    fn sys_admin_stands_in_for_bpf_and_perfmon() {
        let admin = Set(1 << 21);
        assert!(admin.grants(Capability::Bpf) && admin.grants(Capability::Perfmon));
        assert!(!admin.grants(Capability::Syslog) && !admin.grants(Capability::SysResource));
    }

    #[test]
    fn this_process_has_sets() {
        current().unwrap();
    }
}
