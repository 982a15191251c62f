//! The library source from Debian's package `rust-src`, unpacked under the target folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::{Rustc, say_fetched, source};
use crate::apt::{self, Apt, Installed, Mirrors};
use crate::host::say;

/// Suites that are looked through, in this order, after those the machine itself uses.
const SUITES: [&str; 3] = ["trixie", "trixie-backports", "sid"];

/// The source that an earlier run unpacked, if it is there and whole.
pub(crate) fn unpacked(rustc: &Rustc, folder: &Path) -> Option<PathBuf> {
    let source = folder
        .join("usr/src")
        .join(format!("rustc-{}", rustc.release));
    source::is_source(&source).then_some(source)
}

/// Fetches and unpacks the package of the compiler's own version.
pub(crate) fn fetch(rustc: &Rustc, folder: &Path, unpack: &Path) -> anyhow::Result<PathBuf> {
    let mirrors = Mirrors::find()?;
    say(format_args!(
        "looking for Debian's package rust-src {}",
        rustc.release
    ));
    let apt = Apt::new(&folder.join("apt"), Installed::Nothing)?;
    let own = mirrors.suites.iter().map(String::as_str);
    let others = SUITES
        .into_iter()
        .filter(|suite| !mirrors.suites.contains(*suite));
    // One suite after the other: the lists of all take longer than the package.
    for suite in own.chain(others) {
        apt.update(&mirrors, [suite])?;
        let Some(version) = of_release(&apt.madison("rust-src")?, &rustc.release) else {
            say(format_args!(
                "suite {suite} has no rust-src {}",
                rustc.release
            ));
            continue;
        };
        say(format_args!(
            "fetching rust-src {version} from {suite} (about 45 MB)"
        ));
        let package = apt.download(&format!("rust-src={version}"))?;
        say_fetched(&format!("rust-src {version}"), &package)?;
        apt::unpack(std::slice::from_ref(&package), unpack)?;
        fs::remove_file(&package).with_context(|| format!("removing {}", package.display()))?;
        return unpacked(rustc, unpack).context("the package rust-src holds no library source");
    }
    bail!("no Debian suite tried has rust-src {}", rustc.release)
}

/// The version in a table of `apt-cache madison` whose upstream part is `release`.
fn of_release(table: &str, release: &str) -> Option<String> {
    table
        .lines()
        .filter_map(|line| line.split('|').nth(1).map(str::trim))
        .find(|version| version.split(['+', '-', '~']).next() == Some(release))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::of_release;

    #[test]
    fn the_compilers_version_is_picked() {
        let table = " rust-src | 1.95.0+dfsg1-2~bpo13+1 | uri trixie-backports/main amd64\n \
                     rust-src | 1.85.0+dfsg3-1 | uri trixie/main amd64\n";
        assert_eq!(
            of_release(table, "1.95.0").as_deref(),
            Some("1.95.0+dfsg1-2~bpo13+1")
        );
        assert_eq!(
            of_release(table, "1.85.0").as_deref(),
            Some("1.85.0+dfsg3-1")
        );
        assert_eq!(of_release(table, "1.95.1"), None);
        assert_eq!(of_release("", "1.95.0"), None);
    }
}
