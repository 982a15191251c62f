//! What a refusal by the kernel means, what it costs and the command that mends it.
//!
//! The words are kept in one place (`lacks` and `rights`), so that `kprof doctor` and an error at run time say the
//! same. [`explain`] picks them by the error's number and by what can be seen of the cause.

mod lacks;
mod rights;
pub(super) mod situation;

use std::io;

use kprof_ebpf::MAX_FRAMES;
pub use lacks::*;
pub use rights::*;
pub use situation::Situation;

use super::caps::Capability;

/// Something this machine or process lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// What is lacking, in half a sentence: "this process lacks CAP_BPF".
    pub cause: String,
    /// What that costs, in half a sentence: "function names are addresses".
    pub cost: String,
    /// What to do, with the exact command where there is one. A whole sentence.
    pub mend: String,
}

/// What kprof was doing when the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `perf_event_open`.
    OpenPerfEvent,
    /// `bpf(BPF_PROG_LOAD)`.
    LoadProgram,
    /// `bpf(BPF_MAP_CREATE)`.
    CreateMap,
    /// Attaching the program to a perf event.
    AttachProgram,
    /// Reading symbol addresses from `/proc/kallsyms`.
    ReadSymbols,
}

/// The cause of a refusal and its mend, to stand behind "cannot do this: ".
pub fn explain(error: &io::Error, action: Action) -> String {
    let Lack { cause, mend, .. } = match error.raw_os_error() {
        // Looking takes memory of the kernel, and at a control group's limit it ends the process that asks for some.
        Some(libc::ENOMEM) => no_memory(error),
        _ => lack(error, action, &Situation::now()),
    };
    format!("{cause}. {mend}")
}

/// What a refusal means in this situation.
pub fn lack(error: &io::Error, action: Action, now: &Situation) -> Lack {
    match (action, error.raw_os_error().unwrap_or(0)) {
        (_, libc::EPERM) | (Action::OpenPerfEvent | Action::ReadSymbols, libc::EACCES) => {
            denied(error, action, now)
        }
        (Action::OpenPerfEvent, libc::ENOENT | libc::EOPNOTSUPP) => no_such_counter(),
        (Action::OpenPerfEvent, libc::ENODEV | libc::ENXIO) => cpu_offline(),
        (Action::OpenPerfEvent, libc::EBUSY) => counter_taken(),
        (Action::OpenPerfEvent, libc::EINVAL | libc::EOVERFLOW) => rate_refused(now),
        (Action::OpenPerfEvent, libc::ENOSYS) if !now.seccomp() => no_perf_events(),
        (_, libc::EMFILE | libc::ENFILE) => too_many_files(),
        (_, libc::ENOSYS) if now.seccomp() => seccomp(),
        (_, libc::ENOSYS) => no_bpf(),
        (Action::LoadProgram, libc::EINVAL | libc::EACCES | libc::E2BIG) => verifier(error),
        (Action::CreateMap, libc::ENOMEM | libc::E2BIG) => no_memory(error),
        (Action::CreateMap, libc::EINVAL) => match now.max_stack {
            Some(limit) if limit < 1 => no_stacks(limit),
            // Kprof asks for no more than this. So it was lowered just now.
            Some(limit) if limit < MAX_FRAMES as i64 => short_stacks(limit),
            _ => no_map_type(),
        },
        (_, libc::ENOMEM) => no_memory(error),
        (Action::AttachProgram, libc::EINVAL | libc::EOPNOTSUPP) => no_attach(),
        _ => unknown(error),
    }
}

/// The kernel said no for lack of permission: find out which.
fn denied(error: &io::Error, action: Action, now: &Situation) -> Lack {
    let wanted: &[Capability] = match action {
        Action::OpenPerfEvent => &[Capability::Perfmon],
        Action::LoadProgram | Action::CreateMap | Action::AttachProgram => {
            &[Capability::Bpf, Capability::Perfmon]
        }
        Action::ReadSymbols => return hidden_symbols(now),
    };
    if !now.lacking(wanted).is_empty() {
        return permission(now, wanted);
    }
    if now.seccomp() {
        return seccomp();
    }
    if now.lockdown.as_deref() == Some("confidentiality") {
        return lockdown();
    }
    if action == Action::CreateMap && now.locked_memory_limited {
        return locked_memory();
    }
    let admin = now.lacking(&[Capability::SysAdmin]).is_empty();
    if let (Action::OpenPerfEvent, Some(level @ 3..), false) = (action, now.paranoid, admin) {
        return paranoid(level);
    }
    security_module(error)
}

#[cfg(test)]
mod tests;
