//! (being built)
use std::io::Write;

use anyhow::{Result, bail};

use crate::profile::{Profile, Show};

/// Writes the report.
pub fn write(
    _profile: &Profile,
    _show: &Show,
    _explanation: Option<&str>,
    _out: &mut dyn Write,
) -> Result<()> {
    bail!("this format is not built yet")
}
