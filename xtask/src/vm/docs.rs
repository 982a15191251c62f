//! The parts of docs/kernels.md that are made by a run.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::offers;
use super::report::{self, Row};

/// Replaces both generated parts of the page.
pub(crate) fn write(page: &Path, rows: &[Row]) -> anyhow::Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
    let kernels: Vec<_> = rows
        .iter()
        .map(|row| (row.kernel.clone(), row.offers.clone()))
        .collect();
    let text = replace(&text, "tests", &report::markdown(rows))?;
    let text = replace(&text, "offers", &offers::table(&kernels))?;
    fs::write(page, text).with_context(|| format!("writing {}", page.display()))
}

/// Puts `new` between the markers of a part.
fn replace(text: &str, part: &str, new: &str) -> anyhow::Result<String> {
    let begin = format!("<!-- {part}: made by `cargo xtask vm --docs` -->\n");
    let end = format!("<!-- end of {part} -->\n");
    let (Some(from), Some(to)) = (text.find(&begin), text.find(&end)) else {
        bail!("the page has no markers for the part `{part}`");
    };
    let from = from + begin.len();
    if to < from {
        bail!("the markers of the part `{part}` are in the wrong order");
    }
    Ok(format!("{}{new}{}", &text[..from], &text[to..]))
}

#[cfg(test)]
mod tests {
    use super::replace;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let page = "a\n<!-- x: made by `cargo xtask vm --docs` -->\nold\n<!-- end of x -->\nb\n";
        let new = replace(page, "x", "one\ntwo\n").unwrap();
        assert_eq!(new, page.replace("old\n", "one\ntwo\n"));
        assert_eq!(replace(&new, "x", "old\n").unwrap(), page);
        assert!(replace(page, "y", "").is_err());
        assert!(replace("<!-- end of x -->\n", "x", "").is_err());
    }
}
