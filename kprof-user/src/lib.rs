//! kprof samples kernel stacks with eBPF, counts them in the kernel, names their frames and says what it saw.
//!
//! Data flows one way: sample -> window of raw stacks -> symbolized profile -> sink.

pub mod capture;
pub mod cli;
pub mod format;
pub mod kernel;
pub mod profile;
#[cfg(test)]
mod skip;
pub mod symbolize;
