//! (being built)
use std::io::Write;

use anyhow::{Result, bail};

use crate::profile::{Profile, Show};

/// Writes the profile.
pub fn write(_profile: &Profile, _show: &Show, _out: &mut dyn Write) -> Result<()> {
    bail!("this format is not built yet")
}
