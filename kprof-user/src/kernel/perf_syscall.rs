//! `perf_event_open(2)`, which libc doesn't bind.
