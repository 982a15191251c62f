//! The library source from Debian's package `rust-src`, unpacked under the target folder.
//!
//! apt runs with a configuration of its own: the machine's mirror and keyring, but private lists,
//! state and sources. Nothing is installed and nothing of the system is written.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, bail};

use super::{Rustc, say_fetched, source};
use crate::host::{self, say};

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
    for program in ["apt-get", "apt-cache", "dpkg-deb"] {
        if host::find_program(program).is_none() {
            bail!("there is no {program} to fetch Debian's rust-src with");
        }
    }
    say(format_args!(
        "looking for Debian's package rust-src {}",
        rustc.release
    ));
    let apt = Apt::new(&folder.join("apt"))?;
    let (mirrors, own) = mirrors()?;
    let others = SUITES
        .iter()
        .map(|suite| (*suite).to_owned())
        .filter(|s| !own.contains(s));
    for suite in own.iter().cloned().chain(others) {
        let Some(version) = apt.version(&mirrors, &suite, &rustc.release) else {
            continue;
        };
        say(format_args!(
            "fetching rust-src {version} from {suite} (about 45 MB)"
        ));
        let package = apt.download(&version)?;
        say_fetched(&format!("rust-src {version}"), &package)?;
        // Unpacked beside and then renamed, so that a half-unpacked one is never taken.
        let partial = unpack.with_extension("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)
                .with_context(|| format!("removing {}", partial.display()))?;
        }
        host::run(
            Command::new("dpkg-deb")
                .arg("-x")
                .arg(&package)
                .arg(&partial),
        )?;
        if unpack.exists() {
            fs::remove_dir_all(unpack).with_context(|| format!("removing {}", unpack.display()))?;
        }
        fs::rename(&partial, unpack).with_context(|| format!("naming {}", unpack.display()))?;
        fs::remove_file(&package).with_context(|| format!("removing {}", package.display()))?;
        return unpacked(rustc, unpack).context("the package rust-src holds no library source");
    }
    bail!("no Debian suite tried has rust-src {}", rustc.release)
}

/// The machine's own mirrors of the Debian archive, and the suites it uses of them.
fn mirrors() -> anyhow::Result<(BTreeSet<String>, BTreeSet<String>)> {
    let text = host::output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(LABEL)|$(RELEASE)|$(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    let mut found = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        // The archive's own label; security updates are another one and hold no new compilers.
        if let [label, suite, uri] = line.splitn(3, '|').collect::<Vec<_>>()[..]
            && label == "Debian"
        {
            found.0.insert(uri.to_owned());
            found.1.insert(suite.to_owned());
        }
    }
    if found.0.is_empty() {
        // Lists that were never updated have no label: take every mirror.
        let text = host::output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(REPO_URI)",
        ]))?;
        found.0.extend(text.lines().map(str::to_owned));
    }
    if found.0.is_empty() {
        bail!("apt has no mirror configured");
    }
    Ok(found)
}

/// apt with a private configuration.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        for name in ["state/lists/partial", "cache/archives/partial", "download"] {
            let path = folder.join(name);
            fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        }
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let folder = self.folder.display();
        for option in [
            format!("Dir::State={folder}/state"),
            format!("Dir::Cache={folder}/cache"),
            format!("Dir::Etc::SourceList={folder}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            "Dir::State::status=/dev/null".to_owned(),
            "APT::Sandbox::User=".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=1".to_owned(),
            "Acquire::http::Timeout=20".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command.current_dir(self.folder.join("download"));
        command
    }

    /// The package's version in `suite` that is of this release of the compiler.
    fn version(&self, mirrors: &BTreeSet<String>, suite: &str, release: &str) -> Option<String> {
        let sources: String = mirrors
            .iter()
            .map(|mirror| format!("deb {mirror} {suite} main\n"))
            .collect();
        fs::write(self.folder.join("sources.list"), sources).ok()?;
        // A mirror without the suite is no failure: the next one may have it.
        let update = host::output(self.command("apt-get").args(["-q", "update"]));
        if let Err(error) = update {
            say(format_args!(
                "suite {suite}: {}",
                first_line(&format!("{error:#}"))
            ));
        }
        let table = host::output(self.command("apt-cache").args(["madison", "rust-src"])).ok()?;
        let found = of_release(&table, release);
        if found.is_none() {
            say(format_args!("suite {suite} has no rust-src {release}"));
        }
        found
    }

    fn download(&self, version: &str) -> anyhow::Result<PathBuf> {
        host::run(
            self.command("apt-get")
                .args(["-q", "download"])
                .arg(format!("rust-src={version}")),
        )?;
        let folder = self.folder.join("download");
        fs::read_dir(&folder)
            .with_context(|| format!("reading {}", folder.display()))?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .context("apt-get downloaded no package")
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text)
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
