//! The live tests on each kernel.

use std::cmp::Reverse;

use anyhow::bail;

use super::Options;
use super::fleet::Fleet;
use super::guest::Work;
use super::kernels::Image;
use super::matrix::Kernel;
use super::offers;
use super::report::Row;
use crate::host::say;
use crate::tally::Tally;

/// Runs the chosen test programs, or those that each kernel of the matrix has; the kernels with most of them first.
pub(super) fn run(
    fleet: &mut Fleet,
    options: &Options,
    all: &[String],
    chosen: &[String],
) -> anyhow::Result<Vec<Row>> {
    if let Some(unknown) = chosen.iter().find(|name| !all.contains(name)) {
        bail!(
            "there is no test program {unknown}: give some of {}",
            all.join(", ")
        );
    }
    let suites = |kernel: &Kernel| match chosen {
        [] => kernel.suites(all),
        chosen => chosen.to_vec(),
    };
    let most = |image: &Image| Reverse(suites(&image.kernel).len());
    fleet.images.sort_by_key(most);
    say(format_args!("testing on {} kernels", fleet.images.len()));
    let many = fleet.images.len() > 1;
    let ended = fleet.run(
        options,
        |image| Work::Suites(suites(&image.kernel)),
        Tally::default,
        |image, tally, text| {
            tally.line(text);
            match many {
                true => eprintln!("[{}] {text}", image.kernel),
                false => eprintln!("{text}"),
            }
        },
    )?;
    let mut rows = Vec::new();
    for (image, outcome, mut tally) in ended {
        tally.close();
        rows.push(Row {
            cpus: options.cpus_of(&image.kernel),
            suites: suites(&image.kernel),
            kernel: image.kernel,
            release: image.release,
            tally,
            failed: outcome.failed,
            end: outcome.end,
            offers: match outcome.doctor {
                Some(json) => offers::read(&json)?,
                None => Vec::new(),
            },
            seconds: outcome.took.as_secs_f64(),
        });
    }
    rows.sort_by(|a, b| a.kernel.cmp(&b.kernel));
    Ok(rows)
}
