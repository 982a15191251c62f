use super::*;
use crate::kernel::caps::{Capabilities, Set};

const ALL: Set = Set(u64::MAX);

fn situation(effective: Set, bounding: Set) -> Situation {
    Situation {
        caps: Some(Capabilities {
            effective,
            bounding,
            seccomp: false,
        }),
        user_namespace: false,
        lockdown: Some("none".to_owned()),
        kptr_restrict: Some(1),
        paranoid: Some(2),
        max_sample_rate: Some(100_000),
        max_stack: Some(127),
        locked_memory_limited: false,
        program: "/usr/bin/kprof".to_owned(),
    }
}

fn ask(errno: i32, action: Action, now: &Situation) -> Lack {
    lack(&io::Error::from_raw_os_error(errno), action, now)
}

#[test]
fn a_missing_capability_is_named_with_the_command_that_grants_it() {
    let found = ask(libc::EPERM, Action::LoadProgram, &situation(Set(0), ALL));
    assert_eq!(found.cause, "this process lacks CAP_BPF and CAP_PERFMON");
    assert!(
        found
            .mend
            .contains("sudo setcap cap_bpf,cap_perfmon,cap_syslog+ep /usr/bin/kprof"),
        "{}",
        found.mend
    );
    let found = ask(
        libc::EACCES,
        Action::OpenPerfEvent,
        &situation(Set(1 << 39), ALL),
    );
    assert_eq!(found.cause, "this process lacks CAP_PERFMON");
}

#[test]
fn what_a_container_withholds_is_not_mended_by_sudo() {
    let found = ask(libc::EPERM, Action::LoadProgram, &situation(Set(0), Set(0)));
    assert!(
        found
            .mend
            .contains("docker run --cap-add BPF --cap-add PERFMON --cap-add SYSLOG"),
        "{}",
        found.mend
    );
}

#[test]
fn a_user_namespace_is_named_though_it_shows_all_capabilities() {
    let now = Situation {
        user_namespace: true,
        locked_memory_limited: true,
        ..situation(ALL, ALL)
    };
    for action in [
        Action::OpenPerfEvent,
        Action::CreateMap,
        Action::ReadSymbols,
    ] {
        let found = ask(libc::EPERM, action, &now);
        assert!(found.cause.contains("user namespace"), "{}", found.cause);
        assert!(found.mend.contains("on the host"), "{}", found.mend);
    }
}

#[test]
fn with_all_capabilities_the_next_cause_is_looked_for() {
    let mut now = situation(ALL, ALL);
    assert!(
        ask(libc::EPERM, Action::LoadProgram, &now)
            .cause
            .contains("security module")
    );
    now.locked_memory_limited = true;
    assert!(
        ask(libc::EPERM, Action::CreateMap, &now)
            .cause
            .contains("locked memory")
    );
    now.lockdown = Some("confidentiality".to_owned());
    assert!(
        ask(libc::EPERM, Action::CreateMap, &now)
            .cause
            .contains("locked down")
    );
    now.caps = now.caps.map(|caps| Capabilities {
        seccomp: true,
        ..caps
    });
    assert!(
        ask(libc::EPERM, Action::CreateMap, &now)
            .cause
            .contains("seccomp")
    );
    assert!(
        ask(libc::ENOSYS, Action::OpenPerfEvent, &now)
            .cause
            .contains("seccomp")
    );
}

#[test]
fn hidden_symbols_have_two_causes() {
    let mut now = situation(Set(0), ALL);
    assert_eq!(
        ask(libc::EPERM, Action::ReadSymbols, &now).cause,
        "this process lacks CAP_SYSLOG"
    );
    now.kptr_restrict = Some(2);
    let both = ask(libc::EPERM, Action::ReadSymbols, &now);
    assert!(both.cause.ends_with("this process lacks CAP_SYSLOG"));
    assert!(
        both.mend
            .contains("kernel.kptr_restrict=1`. Run: `sudo kprof")
    );
    now.caps = situation(ALL, ALL).caps;
    let one = ask(libc::EPERM, Action::ReadSymbols, &now);
    assert_eq!(one.mend, "Run: `sudo sysctl -w kernel.kptr_restrict=1`");
}

#[test]
fn a_kernel_that_asks_for_more_than_cap_perfmon_is_named() {
    let refused = |now: &Situation| ask(libc::EACCES, Action::OpenPerfEvent, now).cause;
    let recorder = Set(1 << 38 | 1 << 39);
    let mut now = situation(recorder, ALL);
    assert!(refused(&now).contains("security module"));
    now.paranoid = Some(3);
    assert!(refused(&now).contains("kernel.perf_event_paranoid=3"));
    now.caps = situation(ALL, ALL).caps;
    assert!(refused(&now).contains("security module"));
    now.caps = situation(Set(0), ALL).caps;
    assert!(refused(&now).contains("lacks CAP_BPF and CAP_PERFMON"));
}

#[test]
fn a_short_stack_limit_is_told_from_a_missing_map_type() {
    let mut now = situation(ALL, ALL);
    assert!(
        ask(libc::EINVAL, Action::CreateMap, &now)
            .cause
            .contains("type of BPF map")
    );
    now.max_stack = Some(64);
    assert!(
        ask(libc::EINVAL, Action::CreateMap, &now)
            .mend
            .contains("kernel.perf_event_max_stack=127")
    );
    now.max_stack = Some(0);
    let none = ask(libc::EINVAL, Action::CreateMap, &now);
    assert!(none.cause.contains("keeps no stacks"), "{}", none.cause);
}

#[test]
fn every_answer_says_what_to_do() {
    let now = situation(ALL, ALL);
    for action in [
        Action::OpenPerfEvent,
        Action::LoadProgram,
        Action::CreateMap,
        Action::AttachProgram,
        Action::ReadSymbols,
    ] {
        for errno in 1..134 {
            let Lack { cause, cost, mend } = ask(errno, action, &now);
            assert!(
                !cause.is_empty() && !cost.is_empty() && !mend.is_empty(),
                "{action:?} {errno}"
            );
            assert!(
                !cause.ends_with('.') && !mend.ends_with('.'),
                "{cause} / {mend}"
            );
        }
    }
}
