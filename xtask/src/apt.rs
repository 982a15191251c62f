//! apt with a configuration of its own, for packages that are unpacked and never installed.
//!
//! The machine's mirrors and keyring, but private lists, state and sources: nothing of the system is
//! written, and root is not needed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::host::{self, say};

/// The machine's own mirrors of the Debian archive, and the suites it uses of them.
#[derive(Debug)]
pub(crate) struct Mirrors {
    pub(crate) addresses: BTreeSet<String>,
    pub(crate) suites: BTreeSet<String>,
}

impl Mirrors {
    /// Asks apt. Fails where there is no apt, or none that has a mirror.
    pub(crate) fn find() -> anyhow::Result<Self> {
        for program in ["apt-get", "apt-cache", "dpkg-deb"] {
            if host::find_program(program).is_none() {
                bail!("there is no {program}, which fetches packages of Debian");
            }
        }
        let mut found = Self {
            addresses: BTreeSet::new(),
            suites: BTreeSet::new(),
        };
        let text = host::output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(LABEL)|$(RELEASE)|$(REPO_URI)",
            "Created-By: Packages",
        ]))?;
        for line in text.lines() {
            // The archive's own label; security updates are another one and hold few packages.
            if let [label, suite, uri] = line.splitn(3, '|').collect::<Vec<_>>()[..]
                && label == "Debian"
            {
                found.addresses.insert(uri.to_owned());
                found.suites.insert(suite.to_owned());
            }
        }
        if found.addresses.is_empty() {
            // Lists that were never updated have no label: take every mirror.
            let text = host::output(Command::new("apt-get").args([
                "indextargets",
                "--format",
                "$(RELEASE)|$(REPO_URI)",
            ]))?;
            for (suite, uri) in text.lines().filter_map(|line| line.split_once('|')) {
                found.addresses.insert(uri.to_owned());
                found.suites.insert(suite.to_owned());
            }
        }
        if found.addresses.is_empty() {
            bail!("apt has no mirror configured");
        }
        Ok(found)
    }
}

/// What apt takes for installed, when it works out what a package needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Installed {
    /// Nothing: packages are only looked up and downloaded one by one.
    Nothing,
    /// What is installed on this machine.
    Here,
}

/// apt with a private configuration in a folder.
pub(crate) struct Apt {
    folder: PathBuf,
    installed: Installed,
}

impl Apt {
    /// Makes the folder ready. Its lists are empty, or those of an earlier [`Apt::update`].
    pub(crate) fn new(folder: &Path, installed: Installed) -> anyhow::Result<Self> {
        for name in ["state/lists/partial", "cache/archives/partial"] {
            let path = folder.join(name);
            fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            installed,
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let folder = self.folder.display();
        let status = match self.installed {
            Installed::Nothing => "/dev/null",
            Installed::Here => "/var/lib/dpkg/status",
        };
        for option in [
            format!("Dir::State={folder}/state"),
            format!("Dir::Cache={folder}/cache"),
            format!("Dir::Etc::SourceList={folder}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            format!("Dir::State::status={status}"),
            "APT::Sandbox::User=".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::Retries=1".to_owned(),
            "Acquire::http::Timeout=20".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command.current_dir(&self.folder);
        command
    }

    /// Reads the lists of these suites from all mirrors. A mirror without a suite is no failure.
    pub(crate) fn update<'a>(
        &self,
        mirrors: &Mirrors,
        suites: impl IntoIterator<Item = &'a str>,
    ) -> anyhow::Result<()> {
        let mut sources = String::new();
        for suite in suites {
            for mirror in &mirrors.addresses {
                sources += &format!("deb {mirror} {suite} main\n");
            }
        }
        let list = self.folder.join("sources.list");
        fs::write(&list, &sources).with_context(|| format!("writing {}", list.display()))?;
        if let Err(error) = host::output(self.command("apt-get").args(["-q", "update"])) {
            let error = format!("{error:#}");
            say(format_args!(
                "not every list was had: {}",
                error.lines().next().unwrap_or_default()
            ));
        }
        Ok(())
    }

    /// The table that `apt-cache madison` prints: package, version and suite of each one there is.
    pub(crate) fn madison(&self, package: &str) -> anyhow::Result<String> {
        host::output(self.command("apt-cache").args(["madison", package]))
    }

    /// Names of all packages that begin with `start`.
    pub(crate) fn names(&self, start: &str) -> anyhow::Result<Vec<String>> {
        let text = host::output(self.command("apt-cache").args(["pkgnames", start]))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Downloads one package (`NAME` or `NAME=VERSION`) and gives its file.
    pub(crate) fn download(&self, package: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join("download");
        fresh(&folder)?;
        host::run(
            self.command("apt-get")
                .args(["-q", "download", package])
                .current_dir(&folder),
        )?;
        debs(&folder)?
            .pop()
            .with_context(|| format!("apt-get downloaded no {package}"))
    }

    /// Downloads these packages and all they need that is not there, and gives the files. Takes what `suite` has before
    /// what others have.
    pub(crate) fn download_with_needs(
        &self,
        packages: &[&str],
        suite: Option<&str>,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let folder = self.folder.join("cache/archives");
        fresh(&folder.join("partial"))?;
        let words = "-q -y --download-only --no-install-recommends -o Debug::NoLocking=1 install";
        host::run(
            self.command("apt-get")
                .args(words.split(' '))
                .args(suite.iter().flat_map(|suite| ["-t", suite]))
                .args(packages),
        )?;
        debs(&folder)
    }
}

/// Makes an empty folder.
fn fresh(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))
}

fn debs(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    Ok(entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect())
}

/// Unpacks packages into one folder, which is there whole or not at all; what was there before goes.
pub(crate) fn unpack(packages: &[PathBuf], folder: &Path) -> anyhow::Result<()> {
    let mut partial = folder.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    fresh(&partial)?;
    for package in packages {
        host::run(
            Command::new("dpkg-deb")
                .arg("-x")
                .arg(package)
                .arg(&partial),
        )?;
    }
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::rename(&partial, folder).with_context(|| format!("naming {}", folder.display()))
}
