//! The targets: one file for what belongs together.

use std::borrow::Cow;

use crate::Target;

mod btf;
mod comm;
mod elf;
mod kallsyms;
mod pprof;
mod proc;
mod profiles;
mod values;

/// All targets, most important first.
pub const TARGETS: &[Target] = &[
    kallsyms::KALLSYMS,
    btf::BTF,
    profiles::PPROF,
    profiles::FOLDED,
    profiles::FORMATS,
    elf::ELF,
    elf::NOTES,
    comm::COMM,
    proc::STAT,
    proc::STATUS,
    proc::MOUNTS,
    proc::MODULES,
    values::CPU_LIST,
    values::DURATION,
    proc::SMALL,
    values::NEAREST,
    values::EVENT,
    values::ARGS,
];

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// As kprof takes files that may hold any bytes.
fn text(data: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(data)
}

/// What is before the first NUL, and what is behind it.
fn split(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|&byte| byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}
