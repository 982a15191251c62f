//! [`Meta`] as pprof comments, and back: a line for people, which pprof prints above its lists, and one
//! for kprof.

use anyhow::{Context as _, Result};

use super::super::caption;
use crate::profile::Meta;

/// What the comment for kprof starts with. JSON follows.
const MARK: &str = "kprof-meta ";

/// The comments of a profile.
pub(super) fn write(meta: &Meta) -> Result<Vec<String>> {
    let json = serde_json::to_string(meta).context("writing the pprof profile's comments")?;
    Ok(vec![
        format!("{}, {}", caption::title(meta), caption::how(meta)),
        format!("{MARK}{json}"),
    ])
}

/// What a comment says; `None` if it is not [`MARK`]ed, as those of other tools are not. Fields that it
/// lacks take their defaults.
pub(super) fn read(comment: &str) -> Result<Option<Meta>> {
    let Some(json) = comment.strip_prefix(MARK) else {
        return Ok(None);
    };
    let meta =
        serde_json::from_str(json).context("reading kprof's comment in the pprof profile")?;
    Ok(Some(meta))
}
