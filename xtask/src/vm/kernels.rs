//! Kernels out of Debian's packages, kept in a cache.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::matrix::{Kernel, SUITES};
use super::modules;
use crate::apt::{self, Apt, Installed, Mirrors};
use crate::host::say;

/// Modules that guests load when they start, where their kernel has them as modules: what loads need.
const MODULES: [&str; 1] = ["veth"];
/// Modules that guests have and don't load: tests do, while kprof runs.
const LATER: [&str; 3] = ["dummy", "nlmon", "ifb"];

/// A kernel that a guest can boot.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) kernel: Kernel,
    /// As `uname -r` says: `6.12.117+deb13-cloud-amd64`.
    pub(crate) release: String,
    /// The compressed kernel.
    pub(crate) vmlinuz: PathBuf,
    /// Uncompressed modules to load at the start, each after those it needs.
    pub(crate) modules: Vec<PathBuf>,
    /// Uncompressed modules to load later, in the same way.
    pub(crate) later: Vec<PathBuf>,
}

/// The cache of kernels, and the apt that fills it.
pub(crate) struct Store {
    folder: PathBuf,
    /// Opened when first needed.
    index: Option<(Apt, Vec<String>)>,
}

impl Store {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            index: None,
        }
    }

    /// The release of a kernel that an earlier run fetched, with all that guests have of it by now.
    pub(crate) fn cached(&self, kernel: &Kernel) -> Option<String> {
        let read = |name| fs::read_to_string(self.place(kernel).join(name)).ok();
        if read("wanted")? != wanted() {
            return None;
        }
        Some(read("release")?.trim().to_owned())
    }

    /// The newest release of a kernel that the mirror holds.
    pub(crate) fn offered(&mut self, kernel: &Kernel) -> anyhow::Result<Option<String>> {
        Ok(kernel.newest(&self.index()?.1))
    }

    /// A kernel out of the cache, else fetched; `None` where the mirror does not hold it.
    pub(crate) fn get(&mut self, kernel: &Kernel) -> anyhow::Result<Option<Image>> {
        if self.cached(kernel).is_none() {
            let Some(release) = self.offered(kernel)? else {
                return Ok(None);
            };
            self.fetch(kernel, &release)
                .with_context(|| format!("fetching kernel {release}"))?;
        }
        self.read(kernel).map(Some)
    }

    /// Takes a kernel out of the cache where the mirror holds another release.
    pub(crate) fn drop_old(&mut self, kernel: &Kernel) -> anyhow::Result<()> {
        let place = self.place(kernel);
        match (self.cached(kernel), self.offered(kernel)?) {
            (Some(old), Some(new)) if old != new => {
                fs::remove_dir_all(&place).with_context(|| format!("removing {}", place.display()))
            }
            _ => Ok(()),
        }
    }

    fn place(&self, kernel: &Kernel) -> PathBuf {
        self.folder.join(kernel.to_string())
    }

    fn read(&self, kernel: &Kernel) -> anyhow::Result<Image> {
        let place = self.place(kernel);
        let release = self.cached(kernel).context("the cache holds no release")?;
        Ok(Image {
            kernel: kernel.clone(),
            release,
            vmlinuz: place.join("vmlinuz"),
            modules: files(&place.join("modules"))?,
            later: files(&place.join("later"))?,
        })
    }

    /// An apt that knows the suites of the kernels.
    pub(crate) fn apt(&mut self) -> anyhow::Result<&Apt> {
        Ok(&self.index()?.0)
    }

    /// The package lists, read once a run.
    fn index(&mut self) -> anyhow::Result<&(Apt, Vec<String>)> {
        if self.index.is_none() {
            let mirrors = Mirrors::find()?;
            let apt = Apt::new(&self.folder.join("apt"), Installed::Nothing)?;
            say("reading the lists of kernel packages");
            apt.update(&mirrors, SUITES)?;
            let names = apt.names("linux-")?;
            self.index = Some((apt, names));
        }
        self.index.as_ref().context("the index was made just now")
    }

    /// Fetches a release and leaves in the cache what a guest needs of it.
    fn fetch(&mut self, kernel: &Kernel, release: &str) -> anyhow::Result<()> {
        let place = self.place(kernel);
        let unpacked = self.folder.join(format!("{kernel}.unpacked"));
        let (apt, names) = self.index()?;
        let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let mut packages = Vec::new();
        for name in packages_of(release, &names)? {
            say(format_args!("fetching {name}"));
            let file = apt.download(&name)?;
            let kept = unpacked.with_file_name(format!("{name}.deb"));
            fs::rename(&file, &kept).with_context(|| format!("keeping {}", file.display()))?;
            packages.push(kept);
        }
        apt::unpack(&packages, &unpacked)?;
        for package in packages {
            fs::remove_file(&package).with_context(|| format!("removing {}", package.display()))?;
        }
        let new = self.folder.join(format!("{kernel}.new"));
        if new.exists() {
            fs::remove_dir_all(&new).with_context(|| format!("removing {}", new.display()))?;
        }
        for folder in ["modules", "later"] {
            fs::create_dir_all(new.join(folder))
                .with_context(|| format!("creating {}", new.display()))?;
        }
        let image = [
            format!("boot/vmlinuz-{release}"),
            format!("usr/lib/modules/{release}/vmlinuz"),
        ]
        .map(|path| unpacked.join(path))
        .into_iter()
        .find(|path| path.is_file())
        .with_context(|| format!("the packages of {release} hold no kernel"))?;
        fs::copy(&image, new.join("vmlinuz"))
            .with_context(|| format!("copying {}", image.display()))?;
        let all = ["lib/modules", "usr/lib/modules"]
            .map(|path| unpacked.join(path).join(release))
            .into_iter()
            .find(|path| path.join("kernel").is_dir());
        if let Some(all) = all {
            modules::collect(&all, &MODULES, &new.join("modules"))?;
            modules::collect(&all, &LATER, &new.join("later"))?;
        } else {
            say(format_args!("the mirror holds no modules of {release}"));
        }
        for (name, text) in [("release", release), ("wanted", &wanted())] {
            let path = new.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        if place.exists() {
            fs::remove_dir_all(&place).with_context(|| format!("removing {}", place.display()))?;
        }
        fs::rename(&new, &place).with_context(|| format!("naming {}", place.display()))?;
        fs::remove_dir_all(&unpacked).with_context(|| format!("removing {}", unpacked.display()))
    }
}

/// What is kept of each kernel, so that a cache from before this list was changed is seen to lack something.
fn wanted() -> String {
    format!("{}; later {}", MODULES.join(" "), LATER.join(" "))
}

/// The files of a folder; their names begin with their place in the order.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    files.sort();
    Ok(files)
}

/// The packages that hold a release's kernel and modules, of those that there are.
///
/// Up to 6.18 all is in `linux-image`; later the kernel is in `linux-binary` and the modules in
/// `linux-modules`, which a mirror may lack.
fn packages_of(release: &str, names: &BTreeSet<&str>) -> anyhow::Result<Vec<String>> {
    let is = |start: &str, end: &str| {
        let name = format!("{start}-{release}{end}");
        names.contains(name.as_str()).then_some(name)
    };
    let kernel = is("linux-binary", "")
        .or_else(|| is("linux-image", ""))
        .or_else(|| is("linux-image", "-unsigned"));
    let Some(kernel) = kernel else {
        bail!("no package holds the kernel");
    };
    Ok([kernel]
        .into_iter()
        .chain(is("linux-modules", ""))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::packages_of;

    #[test]
    fn the_kernel_is_looked_for_where_it_is() {
        let packages = |names: &[&str]| packages_of("7.3-amd64", &names.iter().copied().collect());
        let image = "linux-image-7.3-amd64";
        let unsigned = "linux-image-7.3-amd64-unsigned";
        let (binary, modules) = ("linux-binary-7.3-amd64", "linux-modules-7.3-amd64");
        assert_eq!(
            packages(&[image, modules, binary]).unwrap(),
            [binary, modules]
        );
        assert_eq!(packages(&[image, unsigned]).unwrap(), [image]);
        assert_eq!(packages(&[unsigned]).unwrap(), [unsigned]);
        assert!(packages(&[modules]).is_err());
    }
}
