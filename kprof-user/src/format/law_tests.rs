//! What holds for every profile, tried on many.

use proptest::prelude::*;

use super::fixture::{self, ALL};
use super::{Format, folded, pprof};
use crate::profile::{
    Accounting, Context, Frame, Meta, Profile, Sample, Show, SourceLine, Thread, UnknownReason,
};

/// Names with all that could be taken for syntax.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_]{1,12}",
        "[a-z]{1,4}[; \\\\#0-9\n\t.:\\]\\[-]{0,4}[a-z0-9]{0,3}",
        any::<String>(),
        Just("[user]x".to_owned()),
        Just("handle_softirqs".to_owned()),
        Just("asm_sysvec_apic_timer_interrupt".to_owned()),
    ]
}

fn plain() -> impl Strategy<Value = String> {
    "[a-z_]{1,9}"
}

fn frame() -> impl Strategy<Value = Frame> {
    let line = (plain(), 1..9999_u32).prop_map(|(file, line)| SourceLine {
        file: format!("{file}.c"),
        line,
    });
    let named = (
        name(),
        proptest::option::of(plain()),
        proptest::option::of(line),
    );
    prop_oneof![
        4 => named.prop_map(|(name, module, line)| Frame::Named { name, module, line, inlined: false }),
        1 => (any::<u64>(), 0..3_usize).prop_map(|(address, reason)| Frame::Unknown {
            address,
            reason: UnknownReason::ALL[reason],
        }),
        1 => (1..130_u32).prop_map(|frames| Frame::Limit { frames }),
    ]
}

fn accounting() -> impl Strategy<Value = Accounting> {
    let lost = proptest::collection::btree_map(plain(), 0..1000_u64, 0..3);
    let optional = || proptest::option::of(0..1_000_000_u64);
    (any::<[u16; 5]>(), lost, optional(), optional(), optional()).prop_map(
        |(
            [counted, filtered, spilled, windows, late],
            lost,
            expected,
            bpf_run_time_ns,
            bpf_run_count,
        )| {
            let (counted, filtered) = (u64::from(counted), u64::from(filtered));
            Accounting {
                seen: counted + filtered + lost.values().sum::<u64>(),
                counted,
                filtered,
                lost,
                expected,
                spilled: spilled.into(),
                windows: windows.into(),
                late_ns: late.into(),
                bpf_run_time_ns,
                bpf_run_count,
                user_cpu_ns: 17,
            }
        },
    )
}

fn meta() -> impl Strategy<Value = Meta> {
    let event = prop_oneof![Just(""), Just("cpu-clock"), Just("sched:sched_switch")];
    let cpus = proptest::collection::btree_set(0..8_u32, 0..4);
    (
        event,
        proptest::option::of(1..5000_u64),
        cpus,
        any::<u32>(),
        accounting(),
    )
        .prop_map(|(event, frequency_hz, cpus, time, accounting)| Meta {
            event: event.into(),
            frequency_hz,
            cpus: cpus.into_iter().collect(),
            changed_cpus: vec![time % 5],
            start_unix_ns: time.into(),
            duration_ns: u64::from(time) * 3,
            kernel: "6.18: x".into(),
            accounting,
            ..Meta::default()
        })
}

type Entry = (String, u32, usize, Vec<Frame>, u64);

fn entry() -> impl Strategy<Value = Entry> {
    let comm = prop_oneof![name(), Just("swapper/0".to_owned())];
    let frames = proptest::collection::vec(frame(), 0..6);
    (comm, 0..4_u32, 0..5_usize, frames, 1..1_000_000_u64)
}

fn profile() -> impl Strategy<Value = Profile> {
    (meta(), proptest::collection::vec(entry(), 0..12)).prop_map(|(meta, entries)| {
        let mut profile = Profile::new(meta);
        for (comm, tid, context, frames, count) in entries {
            let context = Context::ALL[context];
            // What the data path makes: no stack in user mode, and idle only on idle tasks.
            let frames = if context == Context::User {
                Vec::new()
            } else {
                frames
            };
            let comm = if context == Context::Idle {
                "swapper/0".to_owned()
            } else {
                comm
            };
            let frames: Vec<_> = frames
                .into_iter()
                .map(|f| profile.intern_frame(f))
                .collect();
            let stack = profile.intern_stack(&frames);
            let thread = profile.intern_thread(Thread {
                tgid: 3,
                tid,
                comm,
                kthread: tid == 2,
                host_ids: tid == 1,
            });
            profile.add(
                Sample {
                    thread,
                    stack,
                    context,
                },
                count,
            );
        }
        profile
    })
}

fn shows() -> impl Strategy<Value = Show> {
    any::<[bool; 4]>().prop_map(|[idle, user, addresses, threads]| Show {
        idle,
        user,
        addresses,
        threads,
    })
}

fn text(profile: &Profile, show: &Show) -> String {
    let mut out = Vec::new();
    folded::write(profile, show, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn merged(a: &Profile, b: &Profile) -> Profile {
    let mut sum = a.clone();
    sum.merge(b);
    sum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_folded_comes_back(profile in profile(), show in shows()) {
        let folded = text(&profile, &show);
        let back = folded::parse(folded.as_bytes(), &show).unwrap();
        prop_assert_eq!(text(&back, &show), folded);
    }

    #[test]
    fn folding_drops_no_count(profile in profile()) {
        let folded = text(&profile, &ALL);
        let sum: u64 = folded.lines().map(|l| l.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum();
        prop_assert_eq!(sum, profile.total());
    }

    #[test]
    fn pprof_comes_back(profile in profile(), threads in any::<bool>()) {
        let show = Show { threads, ..ALL };
        let mut out = Vec::new();
        pprof::write(&profile, &show, &mut out).unwrap();
        let back = pprof::read(out.as_slice()).unwrap();
        prop_assert_eq!(text(&back, &show), text(&profile, &show));
        prop_assert_eq!(back.meta, profile.meta.clone());
        for context in Context::ALL {
            prop_assert_eq!(back_total(&out, context), profile.total_in(context));
        }
    }

    #[test]
    fn every_format_takes_every_profile(profile in profile(), show in shows()) {
        for format in Format::ALL {
            let mut out = Vec::new();
            format.write(&profile, &show, None, &mut out).unwrap();
            let mut again = Vec::new();
            format.write(&merged(&Profile::default(), &profile), &show, None, &mut again).unwrap();
            prop_assert!(out == again, "{:?} depends on more than the profile's content", format);
        }
    }

    #[test]
    fn merging_is_associative_and_commutative(a in profile(), b in profile(), c in profile()) {
        let left = merged(&merged(&a, &b), &c);
        let right = merged(&a, &merged(&b, &c));
        prop_assert_eq!(text(&left, &ALL), text(&right, &ALL));
        prop_assert_eq!(&left.meta.accounting, &right.meta.accounting);
        prop_assert_eq!(left.meta.duration_ns, right.meta.duration_ns);
        prop_assert_eq!(&left.meta.cpus, &right.meta.cpus);
        prop_assert_eq!(&left.meta.changed_cpus, &right.meta.changed_cpus);
        prop_assert_eq!(left.total(), a.total() + b.total() + c.total());
        let (ab, ba) = (merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(text(&ab, &ALL), text(&ba, &ALL));
        prop_assert_eq!(ab.meta.accounting, ba.meta.accounting);
        prop_assert_eq!(ab.meta.start_unix_ns, ba.meta.start_unix_ns);
    }

    #[test]
    fn what_adds_up_still_does_when_merged(a in accounting(), b in accounting()) {
        let mut sum = a;
        sum.merge(&b);
        prop_assert!(sum.adds_up());
    }

    #[test]
    fn no_address_leaves_unasked(address in 0x1000_0000_0000_u64.., show in shows()) {
        let mut profile = Profile::new(fixture::meta());
        let frame = Frame::Unknown { address, reason: UnknownReason::NoSymbols };
        let frame = profile.intern_frame(frame);
        let stack = profile.intern_stack(&[frame]);
        let thread = Thread { tgid: 1, tid: 1, comm: "x".into(), kthread: true, host_ids: false };
        let thread = profile.intern_thread(thread);
        profile.add(Sample { thread, stack, context: Context::Task }, 1);
        let hex = format!("{address:x}");
        for format in [Format::Folded, Format::Svg, Format::Firefox, Format::Text] {
            let mut out = Vec::new();
            format.write(&profile, &show, None, &mut out).unwrap();
            let found = String::from_utf8(out).unwrap().contains(&hex);
            prop_assert_eq!(found, show.addresses, "{:?}", format);
        }
        let mut out = Vec::new();
        pprof::write(&profile, &show, &mut out).unwrap();
        let back = text(&pprof::read(out.as_slice()).unwrap(), &Show { addresses: true, ..ALL });
        prop_assert_eq!(back.contains(&hex), show.addresses);
    }
}

fn back_total(pprof: &[u8], context: Context) -> u64 {
    pprof::read(pprof).unwrap().total_in(context)
}

#[test]
fn inlined_frames_survive_pprof() {
    let mut out = Vec::new();
    pprof::write(&fixture::profile(), &ALL, &mut out).unwrap();
    let back = pprof::read(out.as_slice()).unwrap();
    assert_eq!(text(&back, &ALL), text(&fixture::profile(), &ALL));
    assert!(text(&back, &ALL).contains("wb_writeback fs/fs-writeback.c:2102 (inlined)"));
}

#[test]
fn one_number_of_two_namespaces_is_two_threads() {
    let mut profile = Profile::new(fixture::meta());
    let frame = profile.intern_frame(Frame::named("f"));
    let stack = profile.intern_stack(&[frame]);
    for host_ids in [false, true] {
        let thread = profile.intern_thread(Thread {
            tgid: 14,
            tid: 14,
            comm: "x".into(),
            kthread: false,
            host_ids,
        });
        let context = Context::Task;
        let sample = Sample {
            thread,
            stack,
            context,
        };
        profile.add(sample, 1);
    }
    let written = |format: Format| {
        let mut out = Vec::new();
        format.write(&profile, &ALL, None, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(written(Format::Folded), "x-14;f 1\nx-14@host;f 1\n");
    let report = written(Format::Text);
    assert!(
        report.contains("x (tid 14)") && report.contains("x (host's tid 14)"),
        "{report}"
    );
    let firefox: serde_json::Value = serde_json::from_str(&written(Format::Firefox)).unwrap();
    let threads = firefox["threads"].as_array().unwrap();
    let names: Vec<_> = threads
        .iter()
        .map(|t| (t["name"].as_str(), t["processName"].as_str(), &t["pid"]))
        .collect();
    let host = Some("x (host's ids)");
    assert_eq!(names.len(), 2);
    assert!(
        names.iter().any(|n| (n.0, n.1) == (Some("x"), Some("x"))),
        "{names:?}"
    );
    assert!(
        names.iter().any(|n| (n.0, n.1) == (host, host)),
        "{names:?}"
    );
    assert_ne!(names[0].2, names[1].2);
}

#[test]
fn stacks_at_the_limit_say_so_and_how_many_there_are() {
    let mut profile = Profile::new(fixture::meta());
    let function = profile.intern_frame(Frame::named("ip_rcv"));
    let limit = profile.intern_frame(Frame::Limit { frames: 50 });
    let thread = profile.intern_thread(Thread {
        tgid: 1,
        tid: 1,
        comm: "x".into(),
        kthread: false,
        host_ids: false,
    });
    for (frames, count) in [(&[limit, function][..], 1), (&[function], 3)] {
        let stack = profile.intern_stack(frames);
        let context = Context::Task;
        let sample = Sample {
            thread,
            stack,
            context,
        };
        profile.add(sample, count);
    }
    let folded = text(&profile, &Show::default());
    assert_eq!(folded, "x;[stack limit: 50 frames];ip_rcv 1\nx;ip_rcv 3\n");
    let mut report = Vec::new();
    let show = Show::default();
    Format::Text
        .write(&profile, &show, None, &mut report)
        .unwrap();
    let report = String::from_utf8(report).unwrap();
    assert!(
        report.contains("Stack limit: 25.0 % of the samples have 50 frames")
            && report.contains("kernel.perf_event_max_stack=127"),
        "{report}"
    );
}
