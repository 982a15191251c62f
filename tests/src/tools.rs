//! Other people's programs that read what kprof writes, where a machine has them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::Skip;

/// The Go toolchain on the search path or where Debian puts it.
pub fn go() -> Result<PathBuf, Skip> {
    let versions = std::fs::read_dir("/usr/lib").into_iter().flatten();
    let debian = versions
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("go-"))
        .map(|entry| entry.path().join("bin"));
    found(
        "go",
        "go tool pprof",
        debian.chain(["/usr/local/go/bin".into()]),
    )
}

/// Chromium on the search path.
pub fn chromium() -> Result<PathBuf, Skip> {
    found("chromium", "chromium", [])
}

fn found(name: &str, what: &str, more: impl IntoIterator<Item = PathBuf>) -> Result<PathBuf, Skip> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places: Vec<PathBuf> = std::env::split_paths(&path).chain(more).collect();
    let mut files = places.iter().map(|folder| folder.join(name));
    files
        .find(|file| file.is_file())
        .ok_or_else(|| Skip::because(format_args!("{what} is not installed")))
}

/// What `go tool pprof` prints of a file, in one of its views (`-top`); panics if it refuses the file.
pub fn pprof(go: &Path, view: &str, file: &Path) -> String {
    let output = Command::new(go)
        .args(["tool", "pprof", view])
        .arg(file)
        .output()
        .expect("run go tool pprof");
    text(&output)
}

/// The document that Chromium makes of a page in a window of a width, after its scripts ran.
pub fn dom(chromium: &Path, page: &Path, width: u32) -> String {
    let user = tempfile::tempdir().expect("a folder for Chromium");
    let output = Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--dump-dom",
        ])
        .arg(format!("--window-size={width},700"))
        .arg(format!("--user-data-dir={}", user.path().display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("run Chromium");
    text(&output)
}

fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        crate::stderr(output)
    );
    crate::stdout(output)
}
