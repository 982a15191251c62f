//! The kernels that kprof is tested on, and how Debian calls them.

use std::fmt;
use std::str::FromStr;

/// Suites that are looked through; between them they hold every series of the matrix.
pub(crate) const SUITES: [&str; 5] = [
    "bullseye",
    "bookworm",
    "trixie",
    "bookworm-backports",
    "trixie-backports",
];

/// A kernel of the matrix, and the machine that it is tested on.
#[derive(Clone, Copy, Debug)]
struct Entry {
    label: &'static str,
    cpus: u32,
    /// Whether it runs the [`LONG`] suites too.
    long: bool,
    /// More words for its command line.
    words: &'static str,
}

const fn entry(label: &'static str, cpus: u32) -> Entry {
    Entry {
        label,
        cpus,
        long: false,
        words: "",
    }
}

impl Entry {
    const fn long(self) -> Entry {
        Entry { long: true, ..self }
    }

    const fn words(self, words: &'static str) -> Entry {
        Entry { words, ..self }
    }
}

/// The matrix. The oldest kernel, the newest, the one with PREEMPT_RT, and those with the fewest and the most CPUs run
/// all suites. With `nohz_full` the kernel refuses the usual way to wait for a grace period.
const MATRIX: [Entry; 11] = [
    entry("5.10", 2).long(),
    entry("6.1", 1).long(),
    entry("6.12", 4),
    entry("6.12-rt", 2).long(),
    entry("6.12-generic", 2),
    entry("6.16", 2),
    entry("6.18", 8).long(),
    entry("7.0", 2),
    entry("7.1", 2).words("nohz_full=1"),
    entry("7.2", 2),
    entry("7.3", 4).long(),
];

/// Suites that take minutes in a guest.
const LONG: [&str; 2] = ["data_path", "machine_rights"];

/// CPUs of a guest whose kernel is not in the matrix.
const CPUS: u32 = 2;

/// The configuration that Debian built a kernel with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Flavour {
    /// For virtual machines: small, few modules.
    Cloud,
    /// With PREEMPT_RT.
    Rt,
    /// For any machine.
    Generic,
}

impl Flavour {
    /// How its packages' names end, after the version.
    fn ending(self) -> &'static str {
        match self {
            Flavour::Cloud => "-cloud-amd64",
            Flavour::Rt => "-rt-amd64",
            Flavour::Generic => "-amd64",
        }
    }
}

/// A kernel as people ask for it: `6.12`, `6.12-rt`, `6.12-generic`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Kernel {
    /// Major and minor number.
    pub(crate) series: (u64, u64),
    pub(crate) flavour: Flavour,
}

impl Kernel {
    /// All of the matrix.
    pub(crate) fn matrix() -> Vec<Kernel> {
        let parse = |entry: &Entry| entry.label.parse().expect("the matrix's own label");
        MATRIX.iter().map(parse).collect()
    }

    /// CPUs of its guest.
    pub(crate) fn cpus(&self) -> u32 {
        self.entry().map_or(CPUS, |entry| entry.cpus)
    }

    /// Words for its command line.
    pub(crate) fn words(&self) -> &'static str {
        self.entry().map_or("", |entry| entry.words)
    }

    /// The test programs that it runs, of all that there are. One that is not in the matrix runs them all.
    pub(crate) fn suites(&self, all: &[String]) -> Vec<String> {
        let long = self.entry().is_none_or(|entry| entry.long);
        all.iter()
            .filter(|name| long || !LONG.contains(&name.as_str()))
            .cloned()
            .collect()
    }

    fn entry(&self) -> Option<Entry> {
        let label = self.to_string();
        MATRIX.into_iter().find(|entry| entry.label == label)
    }

    /// The newest release of this kernel among package names, as in `6.12.117+deb13-cloud-amd64`.
    pub(crate) fn newest(&self, packages: &[String]) -> Option<String> {
        packages
            .iter()
            .filter_map(|name| name.strip_prefix("linux-image-"))
            .map(|name| name.strip_suffix("-unsigned").unwrap_or(name))
            .filter(|release| self.is(release))
            .max_by_key(|release| numbers(release))
            .map(str::to_owned)
    }

    /// Whether a release is of this kernel.
    fn is(&self, release: &str) -> bool {
        let Some(version) = release.strip_suffix(self.flavour.ending()) else {
            return false;
        };
        // `-cloud-amd64` ends with `-amd64` as well.
        let flavoured = version.ends_with("-cloud") || version.ends_with("-rt");
        let numbers = numbers(version);
        !flavoured && numbers.len() > 2 && (numbers[0], numbers[1]) == self.series
    }
}

/// All numbers in a text, in order.
fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flavour = match self.flavour {
            Flavour::Cloud => "",
            Flavour::Rt => "-rt",
            Flavour::Generic => "-generic",
        };
        let (major, minor) = self.series;
        f.pad(&format!("{major}.{minor}{flavour}"))
    }
}

impl FromStr for Kernel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (series, flavour) = match text.split_once('-') {
            None => (text, Flavour::Cloud),
            Some((series, "rt")) => (series, Flavour::Rt),
            Some((series, "generic")) => (series, Flavour::Generic),
            Some((_, other)) => {
                return Err(format!(
                    "no flavour {other}: give 6.12, 6.12-rt or 6.12-generic"
                ));
            }
        };
        let number = |text: &str| text.parse().ok();
        let series = series
            .split_once('.')
            .and_then(|(major, minor)| Some((number(major)?, number(minor)?)))
            .ok_or("give a series, such as 6.12, 6.12-rt or 6.12-generic")?;
        Ok(Kernel { series, flavour })
    }
}

#[cfg(test)]
mod tests {
    use super::{Flavour, Kernel};

    fn newest(kernel: &str, packages: &[&str]) -> Option<String> {
        let packages: Vec<String> = packages.iter().map(|&name| name.to_owned()).collect();
        kernel.parse::<Kernel>().unwrap().newest(&packages)
    }

    #[test]
    fn versions_compare_as_numbers_and_flavours_stay_apart() {
        let packages = [
            "linux-image-6.12.95+deb12-cloud-amd64",
            "linux-image-6.12.117+deb13-cloud-amd64-unsigned",
            "linux-image-6.12.118+deb13-rt-amd64",
            "linux-image-6.12.94+deb12-amd64",
            "linux-image-6.12-cloud-amd64",
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-image-cloud-amd64",
        ];
        let found = |kernel| newest(kernel, &packages);
        assert_eq!(found("6.12").as_deref(), Some("6.12.117+deb13-cloud-amd64"));
        assert_eq!(found("6.12-rt").as_deref(), Some("6.12.118+deb13-rt-amd64"));
        assert_eq!(
            found("6.12-generic").as_deref(),
            Some("6.12.94+deb12-amd64")
        );
        assert_eq!(found("6.1").as_deref(), Some("6.1.0-50-cloud-amd64"));
        assert_eq!(found("6.11"), None);
        assert_eq!(found("7.12"), None);
    }

    #[test]
    fn labels_are_read_and_written() {
        for label in ["5.10", "6.12-rt", "6.12-generic"] {
            assert_eq!(label.parse::<Kernel>().unwrap().to_string(), label);
        }
        assert_eq!("6.12".parse::<Kernel>().unwrap().flavour, Flavour::Cloud);
        for bad in ["", "6", "6.12-", "6.12-debug", "six.one", "6.12.1"] {
            assert!(bad.parse::<Kernel>().is_err(), "{bad}");
        }
    }
}
