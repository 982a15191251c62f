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
    /// Test programs that only some kernels run, this one among them.
    own: &'static [&'static str],
    /// More words for its command line.
    words: &'static str,
}

const fn entry(label: &'static str, cpus: u32, own: &'static [&'static str]) -> Entry {
    Entry {
        label,
        cpus,
        own,
        words: "",
    }
}

impl Entry {
    const fn words(self, words: &'static str) -> Entry {
        Entry { words, ..self }
    }
}

/// The matrix. A test program that no kernel names runs on all of them; the others take too long for that in emulation,
/// and run where kernels differ in what they test, at the ends of the matrix or where there is time. With `nohz_full`
/// the kernel refuses the usual way to wait for a grace period.
const MATRIX: [Entry; 11] = [
    entry(
        "5.10",
        2,
        &[
            "code_loaded_later",
            "container",
            "control_groups",
            "data_path",
            "machine_changes",
            "machine_rights",
            "stack_limit",
        ],
    ),
    entry("6.1", 1, &["faults", "outputs", "pid_namespace"]),
    entry("6.12", 4, &[]),
    entry("6.12-rt", 2, &["no_type_information"]),
    entry("6.12-generic", 2, &["code_loaded_later"]),
    entry("6.16", 2, &["container"]),
    entry("6.18", 8, &["machine_changes"]),
    entry("7.0", 2, &["stack_limit"]),
    entry("7.1", 2, &["no_type_information"]).words("nohz_full=1"),
    entry("7.2", 2, &["control_groups"]),
    entry("7.3", 2, &["machine_rights"]),
];

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

    /// The test programs that it runs, of all that there are. A kernel that is not in the matrix runs them all.
    pub(crate) fn suites(&self, all: &[String]) -> Vec<String> {
        let own = self.entry().map(|entry| entry.own);
        let runs = |name: &&String| {
            own.is_none_or(|own| own.contains(&name.as_str())) || is_for_all(name.as_str())
        };
        all.iter().filter(runs).cloned().collect()
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

/// Whether a test program runs on every kernel of the matrix.
fn is_for_all(suite: &str) -> bool {
    !MATRIX.iter().any(|entry| entry.own.contains(&suite))
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
    fn what_no_kernel_names_runs_on_all() {
        let all = ["data_path", "live", "new"].map(str::to_owned);
        let suites = |kernel: &str| kernel.parse::<Kernel>().unwrap().suites(&all);
        assert_eq!(suites("7.2"), ["live", "new"]);
        assert_eq!(suites("5.10"), all);
        assert_eq!(suites("6.17"), all);
    }

    #[test]
    fn the_matrix_names_test_programs_that_there_are() {
        let tests = crate::host::root().join("tests");
        let manifest = std::fs::read_to_string(tests.join("Cargo.toml")).unwrap();
        for suite in super::MATRIX.iter().flat_map(|entry| entry.own) {
            assert!(manifest.contains(&format!("name = \"{suite}\"")), "{suite}");
        }
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
