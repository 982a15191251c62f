//! The outputs: one file per format, each a function from a [`Profile`] to bytes.
//!
//! Every format draws from the same view: samples in a fixed order, hidden contexts left out,
//! frames turned into labels. The same profile therefore gives the same bytes, and the formats agree
//! with each other. `docs/formats.md` says what each holds and what in it is exact.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};

use crate::profile::{Profile, Show};

mod caption;
pub mod firefox;
pub mod folded;
pub(crate) mod losses;
pub mod pprof;
pub mod stats;
pub mod svg;
pub mod text;

pub(crate) use caption::{cpu_list, printable};
mod view;

/// A kind of file that kprof writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Folded stacks, one line each: `comm;outer;...;inner count`.
    Folded,
    /// An interactive flame graph.
    Svg,
    /// A gzipped profile for `go tool pprof` and what reads its format.
    Pprof,
    /// JSON for the Firefox Profiler.
    Firefox,
    /// The report for people.
    Text,
}

impl Format {
    /// All formats, in the order in which help texts list them.
    pub const ALL: [Format; 5] = [
        Format::Folded,
        Format::Svg,
        Format::Pprof,
        Format::Firefox,
        Format::Text,
    ];

    /// How file names of this format end.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Folded => ".folded",
            Format::Svg => ".svg",
            Format::Pprof => ".pb.gz",
            Format::Firefox => ".json",
            Format::Text => ".txt",
        }
    }

    /// The format that a file's name asks for.
    pub fn from_path(path: &Path) -> Result<Format> {
        let name = path.as_os_str().as_encoded_bytes();
        let found = Format::ALL
            .into_iter()
            .find(|format| name.ends_with(format.extension().as_bytes()));
        let Some(format) = found else {
            let known = Format::ALL.map(Format::extension).join(" ");
            bail!(
                "can't tell the format of `{}` from its name: end it in one of {known}",
                path.display()
            );
        };
        Ok(format)
    }

    /// Writes a profile in this format.
    ///
    /// `explanation` is what the caller knows about an empty result; the formats that people read show
    /// it when there is nothing else to show.
    pub fn write(
        self,
        profile: &Profile,
        show: &Show,
        explanation: Option<&str>,
        out: &mut dyn Write,
    ) -> Result<()> {
        match self {
            Format::Folded => folded::write(profile, show, out),
            Format::Svg => svg::write(profile, show, explanation, out),
            Format::Pprof => pprof::write(profile, show, out),
            Format::Firefox => firefox::write(profile, show, out),
            Format::Text => text::write(profile, show, explanation, text::WIDTH, out),
        }
    }
}

#[cfg(test)]
mod firefox_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod law_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_format() {
        for format in Format::ALL {
            let path = format!("/tmp/a.b/k{}", format.extension());
            assert_eq!(Format::from_path(Path::new(&path)).unwrap(), format);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        for name in ["k", "k.pb", "k.gz", "k.folded.bak", "svg"] {
            let error = Format::from_path(Path::new(name)).unwrap_err().to_string();
            assert!(error.contains(".folded .svg .pb.gz .json .txt"), "{error}");
        }
    }
}
