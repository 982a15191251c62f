//! CPU numbers: those online, and lists such as `0-3,7`.

use anyhow::{Context, Result, bail};

use super::refusal::{self, Lack};

/// No kernel numbers CPUs beyond this (`CONFIG_NR_CPUS` is at most 8192).
const MAX_CPU: u32 = 8191;

/// The CPUs that are online now, ascending.
pub fn online() -> Result<Vec<u32>> {
    listed("online")
}

/// The CPUs that may come online while this kernel runs, ascending, with those that are.
pub fn possible() -> Result<Vec<u32>> {
    listed("possible")
}

/// One of the kernel's lists of CPUs (Documentation/admin-guide/cputopology.rst).
fn listed(which: &str) -> Result<Vec<u32>> {
    let path = format!("/sys/devices/system/cpu/{which}");
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let Lack { cause, mend, .. } = refusal::no_sys();
            bail!("cannot tell which CPUs are {which}: {cause}. {mend}")
        }
        text => {
            text.with_context(|| format!("cannot read {path} for the CPUs that are {which}"))?
        }
    };
    parse_list(text.trim()).with_context(|| format!("cannot understand {path}"))
}

/// Parses a list such as `0-3,7` into ascending, distinct numbers.
pub fn parse_list(text: &str) -> Result<Vec<u32>> {
    // By how much more ranges hold each number than the one before: a range takes no longer than a number, however
    // often it is repeated.
    let mut steps = [0i64; MAX_CPU as usize + 2];
    for part in text.split(',') {
        let part = part.trim();
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first, text)?, number(last, text)?);
        if first > last {
            bail!("\"{part}\" in the CPU list \"{text}\" runs backwards: write {last}-{first}");
        }
        steps[first as usize] += 1;
        steps[last as usize + 1] -= 1;
    }
    let mut ranges = 0;
    let mut is_named = |cpu: &u32| {
        ranges += steps[*cpu as usize];
        ranges > 0
    };
    Ok((0..=MAX_CPU).filter(&mut is_named).collect())
}

fn number(digits: &str, list: &str) -> Result<u32> {
    let cpu: u32 = match digits.trim().parse() {
        Ok(cpu) if digits.trim().bytes().all(|b| b.is_ascii_digit()) => cpu,
        _ => bail!("\"{digits}\" in \"{list}\" is not a CPU number: write a list such as 0-3,7"),
    };
    if cpu > MAX_CPU {
        bail!("CPU {cpu} in \"{list}\" is past the {MAX_CPU} that Linux can number");
    }
    Ok(cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_distinct() {
        assert_eq!(parse_list("7,0-3,2").unwrap(), [0, 1, 2, 3, 7]);
        assert_eq!(parse_list(" 1 , 3 ").unwrap(), [1, 3]);
    }

    #[test]
    fn wrong_lists_are_refused_with_a_reason() {
        for (text, word) in [
            ("", "not a CPU number"),
            ("1,", "not a CPU number"),
            ("a", "not a CPU number"),
            ("+1", "not a CPU number"),
            ("-1", "not a CPU number"),
            ("3-1", "backwards"),
            ("0-4294967295", "past"),
        ] {
            let error = parse_list(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn ranges_named_many_times_take_no_longer() {
        let list = ["0-8191"; 20_000].join(",");
        let start = std::time::Instant::now();
        assert_eq!(parse_list(&list).unwrap().len(), 8192);
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    }

    #[test]
    fn this_machine_has_a_cpu_online() {
        let (online, possible) = (online().unwrap(), possible().unwrap());
        assert!(!online.is_empty());
        assert!(online.iter().all(|cpu| possible.contains(cpu)));
    }
}
