//! Temporary files of the loads, and how those of a killed load go away.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The workspace's `target` directory: on a disk, and ignored by git.
pub(super) fn default_dir() -> Result<PathBuf> {
    let dir = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
    };
    std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    dir.canonicalize()
        .with_context(|| format!("resolve {}", dir.display()))
}
