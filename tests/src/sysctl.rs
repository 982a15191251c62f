//! Settings of the kernel, changed for a test.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::Skip;

/// How long the kernel may refuse to have a setting put back: maps of a capture that just ended are freed a moment
/// later.
const LIMIT: Duration = Duration::from_secs(5);

/// A setting that was changed; put back when dropped.
#[derive(Debug)]
pub struct Changed {
    path: PathBuf,
    before: String,
}

impl Changed {
    /// Sets `kernel.name` and the like. The test is skipped where there is no such setting, or it can't be changed.
    pub fn to(name: &str, value: i64) -> Result<Changed, Skip> {
        let path = PathBuf::from(format!("/proc/sys/{}", name.replace('.', "/")));
        let refused = |error| Skip::because(format_args!("{name}={value}: {error}"));
        let before = std::fs::read_to_string(&path).map_err(refused)?;
        let changed = Changed { path, before };
        std::fs::write(&changed.path, value.to_string()).map_err(refused)?;
        Ok(changed)
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        let end = Instant::now() + LIMIT;
        while let Err(error) = std::fs::write(&self.path, &self.before) {
            if Instant::now() > end {
                eprintln!(
                    "{} could not be set back to {}: {error}",
                    self.path.display(),
                    self.before
                );
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
