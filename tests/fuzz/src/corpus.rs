//! The committed inputs: `corpus/TARGET/NAME`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// An input, and where it is.
pub type Input = (PathBuf, Vec<u8>);

/// The folder of all inputs, where this was built.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// A target's inputs, sorted by name.
///
/// # Errors
/// If it has no folder, or a file of it can't be read.
pub fn inputs(target: &str) -> io::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for entry in fs::read_dir(folder().join(target))? {
        let path = entry?.path();
        let data = fs::read(&path)?;
        inputs.push((path, data));
    }
    inputs.sort();
    Ok(inputs)
}

/// The names of the folders in the corpus, sorted.
///
/// # Errors
/// If there is none.
pub fn names() -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
