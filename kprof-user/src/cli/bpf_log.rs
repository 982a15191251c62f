//! Prints the BPF programs' records on standard error, with the feature `bpf-log`.

use log::{LevelFilter, Log, Metadata, Record};

struct Stderr;

impl Log for Stderr {
    /// Records of the BPF crate, not those of the libraries that load it.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("kprof_bpf")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            eprintln!("kprof: BPF {}: {}", record.level(), record.args());
        }
    }

    fn flush(&self) {}
}

/// Takes records from now on.
pub(super) fn start() {
    // An error means that it was called before.
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
}
