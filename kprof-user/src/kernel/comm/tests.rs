use proptest::prelude::*;

use super::*;

fn patterns(texts: &[&str]) -> Patterns {
    Patterns::parse(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>()).unwrap()
}

fn refusal(texts: &[&str]) -> String {
    Patterns::parse(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>())
        .unwrap_err()
        .to_string()
}

#[test]
fn a_name_means_itself_and_its_instances() {
    let p = patterns(&["ksoftirqd"]);
    for name in [
        "ksoftirqd",
        "ksoftirqd/0",
        "ksoftirqd/12",
        "ksoftirqd:",
        "ksoftirqd.x",
    ] {
        assert!(p.matches(name), "{name}");
    }
    for name in [
        "",
        "ksoftirq",
        "ksoftirqd0",
        "ksoftirqd-0",
        "xksoftirqd",
        "ksoftirqd ",
    ] {
        assert!(!p.matches(name), "{name}");
    }
}

#[test]
fn the_name_ends_at_its_nul() {
    assert!(patterns(&["rcu"]).matches("rcu\0\0\0_gp"));
    assert!(!patterns(&["rcu?gp"]).matches("rcu\0gp"));
}

#[test]
fn globs_are_matched_whole() {
    let p = patterns(&["k?orker/u*:?"]);
    assert!(p.matches("kworker/u8:1"));
    assert!(!p.matches("kworker/u8:12"));
    assert!(!p.matches("kworker/0:1"));
    assert!(patterns(&["*"]).matches(""));
    assert!(patterns(&["***"]).matches("anything at all"));
    assert!(!patterns(&["ksoft?"]).matches("ksofti/0"));
}

#[test]
fn patterns_do_not_run_into_one_another() {
    let p = patterns(&["a", "b", "a*c", "?"]);
    for (name, yes) in [
        ("ab", false),
        ("b", true),
        ("a/b", true),
        ("abc", true),
        ("z", true),
        ("bb", false),
    ] {
        assert_eq!(p.matches(name), yes, "{name}");
    }
}

#[test]
fn fifteen_bytes_fit_and_sixteen_are_refused() {
    assert!(patterns(&["123456789012345"]).matches("123456789012345"));
    assert!(patterns(&["*12345*6789012345*"]).matches("123456789012345"));
    let error = refusal(&["1234567890123456"]);
    assert!(
        error.contains("needs 16 bytes") && error.contains("--comm \"123456789012345\""),
        "{error}"
    );
    assert!(refusal(&["????????????????"]).contains("needs 16 bytes"));
    // The cut doesn't fall into a character.
    assert!(refusal(&["éééééééé"]).contains("\"ééééééé\""));
}

#[test]
fn a_work_queue_in_the_name_is_refused_with_the_name_to_write() {
    for text in ["kworker/0:1-events", "kworker/0:1-mm", "kworker/0:1+mm"] {
        assert!(refusal(&[text]).contains("--comm kworker/0:1"), "{text}");
    }
    assert_eq!(
        without_work_queue("kworker/u9:2+flush-8:0"),
        Some("kworker/u9:2")
    );
    assert_eq!(without_work_queue("kworker/R-rcu_gp"), None);
    assert_eq!(without_work_queue("kworker/0:0H"), None);
    assert_eq!(
        without_work_queue("kworker/0:0H-kblockd"),
        Some("kworker/0:0H")
    );
}

#[test]
fn empty_and_too_many_are_refused() {
    assert!(refusal(&[]).contains("no thread name"));
    assert!(refusal(&["x", ""]).contains("empty"));
    let longest = "123456789012345";
    assert!(refusal(&[longest; 13]).contains("too many"));
    assert!(patterns(&[longest; 12]).matches(longest));
}

/// The meaning of a pattern, written the slow way.
fn naive(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|n| naive(rest, &name[n..])),
        Some((b'?', rest)) => !name.is_empty() && naive(rest, &name[1..]),
        Some((c, rest)) => name.first() == Some(c) && naive(rest, &name[1..]),
    }
}

fn means(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    if pattern.iter().any(|c| b"*?".contains(c)) {
        return naive(pattern, name);
    }
    name.strip_prefix(pattern)
        .is_some_and(|rest| rest.first().is_none_or(|c| INSTANCE.contains(c)))
}

proptest! {
    #[test]
    fn the_automaton_means_what_the_patterns_mean(
        texts in prop::collection::vec("[ab*?/:.]{1,8}", 1..6),
        names in prop::collection::vec("[ab/:.x]{0,15}", 1..20),
    ) {
        let p = Patterns::parse(&texts).unwrap();
        for name in &names {
            prop_assert_eq!(p.matches(name), texts.iter().any(|t| means(t, name)), "{:?} {}", texts, name);
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(texts in prop::collection::vec(".{0,20}", 0..20), name in ".{0,15}") {
        if let Ok(p) = Patterns::parse(&texts) {
            p.matches(&name);
        }
    }
}
