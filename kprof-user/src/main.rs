//! The `kprof` program.

fn main() {}
