//! `kprof doctor`: what this machine allows, and what to do about the rest.

use std::io::Write as _;

use anyhow::Context as _;

use super::failure::{Failure, is_broken_pipe};
use crate::kernel::health::{self, Check, Status};

/// Columns of a line, as long as no command is longer.
const WIDTH: usize = 80;
/// Columns of a check's status and name.
const STATUS: usize = 9;
const NAME: usize = 27;

/// Flags of `doctor`.
#[derive(Clone, Debug, clap::Args)]
pub struct DoctorArgs {
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Looks at everything and prints it; fails, without a message, where kprof can't record.
pub(super) fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let checks = health::examine();
    let text = if args.json {
        json(&checks)
    } else {
        table(&checks)
    };
    let printed = std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output");
    match printed {
        Err(error) if !is_broken_pipe(&error) => Err(error.into()),
        _ if health::can_record(&checks) => Ok(()),
        _ => Err(Failure::Failed(Vec::new())),
    }
}

/// The table, then each lack with its cost and mend, then the verdict.
fn table(checks: &[Check]) -> String {
    let mut out = String::new();
    for check in checks {
        let head = format!("{:STATUS$}{:NAME$}", check.status.word(), check.name);
        wrap(&mut out, &head, STATUS + NAME, &check.found);
    }
    let lacks = lacks(checks);
    if !lacks.is_empty() {
        out.push_str("\nWhat to do\n");
    }
    for group in &lacks {
        out.push('\n');
        wrap(
            &mut out,
            &format!("{:STATUS$}", group.status.word()),
            STATUS,
            &group.names.join(", "),
        );
        for (label, text) in [
            ("why", group.causes.join("; ")),
            ("cost", group.costs.join("; ")),
            ("mend", group.mend.to_owned()),
        ] {
            wrap(&mut out, &format!("  {label:7}"), STATUS, &text);
        }
    }
    out.push('\n');
    wrap(&mut out, "", 0, &verdict(checks));
    out
}

fn verdict(checks: &[Check]) -> String {
    let names = |status| {
        let names = checks.iter().filter(|check| check.status == status);
        names.map(|check| check.name).collect::<Vec<_>>()
    };
    let (missing, limited) = (names(Status::Missing), names(Status::Limited));
    match (missing.as_slice(), limited.len()) {
        ([], 0) => "kprof can record here; nothing is lacking.".to_owned(),
        ([], _) => format!("kprof can record here. Limited: {}.", limited.join(", ")),
        (missing, _) => format!("kprof can't record here. Missing: {}.", missing.join(", ")),
    }
}

/// Lacks with the same mend, which are shown as one.
struct Group<'a> {
    status: Status,
    names: Vec<&'a str>,
    causes: Vec<&'a str>,
    costs: Vec<&'a str>,
    mend: &'a str,
}

/// All lacks, the worst first.
fn lacks(checks: &[Check]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for check in checks {
        let Some(lack) = &check.lack else {
            continue;
        };
        let at = groups.iter().position(|group| group.mend == lack.mend);
        let at = at.unwrap_or_else(|| {
            groups.push(Group {
                status: check.status,
                names: Vec::new(),
                causes: Vec::new(),
                costs: Vec::new(),
                mend: &lack.mend,
            });
            groups.len() - 1
        });
        let group = &mut groups[at];
        group.status = group.status.max(check.status);
        group.names.push(check.name);
        for (list, text) in [
            (&mut group.causes, &lack.cause),
            (&mut group.costs, &lack.cost),
        ] {
            if !list.contains(&text.as_str()) {
                list.push(text);
            }
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.status));
    groups
}

/// Writes `head` and, behind it from column `indent` on, `text` in lines of [`WIDTH`]. A command in backticks is not
/// broken, so that it can be copied: one that is too long has a line of its own.
fn wrap(out: &mut String, head: &str, indent: usize, text: &str) {
    let mut column = head.chars().count();
    out.push_str(head);
    let mut first = true;
    for word in words(text) {
        let len = word.chars().count();
        if !first && column + 1 + len > WIDTH {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if !first {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += len;
        first = false;
    }
    out.push('\n');
}

/// The words of a text; what stands between backticks is one word, with what touches it.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            '`' => quoted = !quoted,
            ' ' if !quoted => {
                words.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&text[start..]);
    words.retain(|word| !word.is_empty());
    words
}

fn json(checks: &[Check]) -> String {
    let check = |check: &Check| {
        let lack = check.lack.as_ref();
        serde_json::json!({
            "name": check.name,
            "status": check.status.word(),
            "found": check.found,
            "why": lack.map(|lack| &lack.cause),
            "cost": lack.map(|lack| &lack.cost),
            "mend": lack.map(|lack| &lack.mend),
        })
    };
    let all = serde_json::json!({
        "can_record": health::can_record(checks),
        "checks": checks.iter().map(check).collect::<Vec<_>>(),
    });
    format!("{all:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::refusal::Lack;

    fn check(name: &'static str, status: Status, mend: &str) -> Check {
        Check {
            name,
            status,
            found: "found".to_owned(),
            lack: (status != Status::Ok).then(|| Lack {
                cause: "this process lacks CAP_BPF".to_owned(),
                cost: format!("cost of {name}"),
                mend: mend.to_owned(),
            }),
        }
    }

    fn some() -> Vec<Check> {
        let long = format!(
            "Run: `sudo kprof …` or, once, `sudo setcap x {}`",
            "/long".repeat(15)
        );
        vec![
            check("kernel", Status::Ok, ""),
            check("BPF JIT", Status::Limited, "Run: `sudo sysctl -w x=1`"),
            check("CAP_BPF", Status::Missing, &long),
            check("BPF maps", Status::Unknown, &long),
        ]
    }

    #[test]
    fn one_mend_is_said_once_and_the_worst_comes_first() {
        let text = table(&some());
        let expected = "\
ok       kernel                     found
limited  BPF JIT                    found
missing  CAP_BPF                    found
unknown  BPF maps                   found

What to do

missing  CAP_BPF, BPF maps
  why    this process lacks CAP_BPF
  cost   cost of CAP_BPF; cost of BPF maps
  mend   Run: `sudo kprof …` or, once,
         `sudo setcap x LONG`

limited  BPF JIT
  why    this process lacks CAP_BPF
  cost   cost of BPF JIT
  mend   Run: `sudo sysctl -w x=1`

kprof can't record here. Missing: CAP_BPF.
";
        assert_eq!(text, expected.replace("LONG", &"/long".repeat(15)));
    }

    #[test]
    fn lines_stay_within_80_columns() {
        let mut out = String::new();
        wrap(&mut out, "  mend   ", 9, &"a word or two ".repeat(30));
        assert!(
            out.lines().all(|line| line.chars().count() <= WIDTH),
            "{out}"
        );
        assert_eq!(out.split_whitespace().count(), 1 + 4 * 30);
    }

    #[test]
    fn json_says_the_same() {
        let value: serde_json::Value = serde_json::from_str(&json(&some())).unwrap();
        assert_eq!(value["can_record"], false);
        assert_eq!(value["checks"][0]["mend"], serde_json::Value::Null);
        assert_eq!(value["checks"][2]["status"], "missing");
    }
}
