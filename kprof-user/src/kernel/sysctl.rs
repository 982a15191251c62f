//! Kernel settings under `/proc/sys`.

/// Reads a numeric setting such as `kernel.perf_event_paranoid`; `None` where the kernel has none of
/// that name, or it can't be read.
pub fn read(name: &str) -> Option<i64> {
    read_text(name)?.parse().ok()
}

/// Reads a setting as text, without its line end.
pub fn read_text(name: &str) -> Option<String> {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}
