//! The kernel's files as text.

use std::io;
use std::path::Path;

/// Reads a file. Names of threads and paths in it may hold any bytes: what is not UTF-8 is replaced, so that
/// one odd name does not hide all the rest.
pub fn read(path: impl AsRef<Path>) -> io::Result<String> {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
