//! What each kernel offers kprof, as `kprof doctor` says it there.

use anyhow::Context as _;
use serde_json::Value;

use super::matrix::Kernel;

/// One thing that kprof makes use of, on one kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) name: String,
    /// `ok`, `limited` or `missing`, and what was found.
    pub(crate) found: String,
}

/// Reads what `kprof doctor --json` printed.
pub(crate) fn read(json: &str) -> anyhow::Result<Vec<Offer>> {
    let all: Value = serde_json::from_str(json).context("reading what kprof doctor printed")?;
    let checks = all["checks"]
        .as_array()
        .context("kprof doctor has no checks")?;
    let text = |check: &Value, field: &str| {
        let text = check[field].as_str();
        text.map(str::to_owned)
            .with_context(|| format!("a check of kprof doctor has no {field}"))
    };
    checks
        .iter()
        .map(|check| {
            let (status, found) = (text(check, "status")?, text(check, "found")?);
            Ok(Offer {
                name: text(check, "name")?,
                found: format!("{status}: {found}"),
            })
        })
        .collect()
}

/// The rows of a table in Markdown: what is offered, and the kernels that offer it that way.
///
/// What tells of the guest and not of its kernel is left out.
pub(crate) fn table(kernels: &[(Kernel, Vec<Offer>)]) -> String {
    let mut text = String::from("| | kernels | |\n| --- | --- | --- |\n");
    let mut names: Vec<&str> = Vec::new();
    for offer in kernels.iter().flat_map(|(_, offers)| offers) {
        if !OF_THE_GUEST.contains(&offer.name.as_str()) && !names.contains(&offer.name.as_str()) {
            names.push(&offer.name);
        }
    }
    for name in names {
        let mut ways: Vec<(&str, Vec<String>)> = Vec::new();
        for (kernel, offers) in kernels {
            let Some(offer) = offers.iter().find(|offer| offer.name == name) else {
                continue;
            };
            match ways.iter_mut().find(|(found, _)| *found == offer.found) {
                Some((_, same)) => same.push(kernel.to_string()),
                None => ways.push((&offer.found, vec![kernel.to_string()])),
            }
        }
        for (found, same) in ways {
            let which = match same.len() == kernels.len() {
                true => "all".to_owned(),
                false => same.join(", "),
            };
            text += &format!("| {name} | {which} | {} |\n", found.replace('|', "\\|"));
        }
    }
    text
}

/// Checks whose answers differ with the guest's CPUs, or are the name of the kernel.
const OF_THE_GUEST: [&str; 2] = ["kernel", "perf events"];

#[cfg(test)]
mod tests {
    use super::*;

    fn json(batch: &str) -> String {
        let check = |name: &str, status: &str, found: &str| {
            format!(r#"{{"name":"{name}","status":"{status}","found":"{found}","why":null}}"#)
        };
        let checks = [
            check("kernel", "ok", batch),
            check("BPF JIT", "ok", "on"),
            check("batches", "limited", batch),
        ];
        format!(r#"{{"can_record":true,"checks":[{}]}}"#, checks.join(","))
    }

    #[test]
    fn kernels_with_the_same_answer_share_a_row() {
        let kernels: Vec<_> = [("5.10", "none"), ("6.1", "all"), ("7.3", "all")]
            .map(|(label, batch)| (label.parse().unwrap(), read(&json(batch)).unwrap()))
            .into();
        let text = table(&kernels);
        let rows: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| BPF JIT | all | ok: on |",
                "| batches | 5.10 | limited: none |",
                "| batches | 6.1, 7.3 | limited: all |"
            ]
        );
        assert!(read("{}").is_err() && read("no").is_err());
    }
}
