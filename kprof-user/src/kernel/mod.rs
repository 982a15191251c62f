//! Facts about the running kernel, each found by asking it: events, CPUs, struct offsets, threads,
//! cgroups, capabilities and settings, and what a refusal means.
//!
//! Nothing here samples and nothing here prints. [`refusal`] holds the wording of every lack, so that
//! `kprof doctor` and an error at run time say the same.

pub mod bpf_syscall;
pub mod btf;
pub mod caps;
pub mod cgroup;
pub mod comm;
pub mod cpus;
pub mod event;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzz;
pub mod health;
pub mod memlock;
pub(crate) mod nearest;
pub mod perf_syscall;
pub mod pid_ns;
pub mod refusal;
pub mod sampling;
pub mod stack_depth;
pub mod sysctl;
pub mod targets;
pub mod text;
pub mod threads;
pub mod tracefs;
