//! Names that a mistyped one may have meant.

/// The candidates nearest to `name`, nearest first: at most a third of its letters wrong, or the one holding
/// the other.
pub(crate) fn of<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut near: Vec<(usize, &str)> = candidates
        .filter_map(|candidate| {
            let distance = distance(name, candidate);
            let holds = name.len() >= 3
                && (candidate.contains(name) || candidate.len() >= 3 && name.contains(candidate));
            (distance <= name.len().div_ceil(3) || holds).then_some((distance, candidate))
        })
        .collect();
    near.sort();
    near.truncate(3);
    near.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Letters to insert, remove or replace to make one of the other (Levenshtein distance).
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_counted() {
        for (a, b, n) in [
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("x", "x", 0),
        ] {
            assert_eq!(distance(a, b), n, "{a} {b}");
        }
    }

    #[test]
    fn far_names_are_left_out() {
        assert_eq!(
            of("cycels", ["cycles", "instructions"].into_iter()),
            ["cycles"]
        );
        assert_eq!(of("zzz", ["cycles", "cs"].into_iter()), Vec::<&str>::new());
        assert_eq!(of("switch", ["sched_switch"].into_iter()), ["sched_switch"]);
    }
}
