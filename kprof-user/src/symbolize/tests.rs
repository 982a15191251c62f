use kprof_ebpf::Key;

use super::*;
use crate::capture::RawSample;
use crate::profile::UnknownReason;
use crate::skip::skip;

const HIDDEN: &str = "/proc/kallsyms shows no addresses (needs root and kernel.kptr_restrict < 2)";

fn symbolizer() -> Symbolizer {
    Symbolizer::new(Options::default()).unwrap()
}

/// Code symbols of the running kernel as the file has them: address, name, module.
fn listed() -> Option<Vec<(u64, String, Option<String>)>> {
    let text = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let mut all = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let module = words
            .next()
            .map(|module| module.trim_matches(['[', ']']).to_owned());
        let address = u64::from_str_radix(address, 16).unwrap_or(0);
        if address != 0 && "tTwW".contains(kind) {
            all.push((address, name.to_owned(), module));
        }
    }
    if all.is_empty() {
        return None;
    }
    all.sort_by_key(|symbol| symbol.0);
    Some(all)
}

fn key(tid: u32, comm: &[u8], flags: u32) -> Key {
    let mut padded = [0u8; 16];
    padded[..comm.len()].copy_from_slice(comm);
    let word = |at: usize| u64::from_ne_bytes(padded[at..at + 8].try_into().unwrap());
    Key {
        comm: [word(0), word(8)],
        tgid: tid,
        tid,
        flags,
        ..Key::default()
    }
}

fn window(samples: Vec<RawSample>) -> RawWindow {
    RawWindow {
        samples,
        ..RawWindow::default()
    }
}

/// Each sample as `comm;outermost;..;innermost context count`, sorted.
fn lines(profile: &Profile) -> Vec<String> {
    let mut lines: Vec<String> = profile
        .samples()
        .map(|(sample, count)| {
            let mut line = profile.thread(sample.thread).comm.clone();
            for &frame in profile.stack(sample.stack) {
                line += &format!(";{}", profile.frame(frame).label(false));
            }
            format!("{line} {} {count}", sample.context.name())
        })
        .collect();
    lines.sort();
    lines
}

fn address_of(listed: &[(u64, String, Option<String>)], name: &str) -> u64 {
    listed
        .iter()
        .find(|symbol| symbol.1 == name)
        .unwrap_or_else(|| panic!("no symbol {name}"))
        .0
}

#[test]
fn names_are_those_that_the_kernel_lists() {
    let Some(listed) = listed() else {
        skip!("{HIDDEN}");
    };
    let mut symbolizer = symbolizer();
    let mut named = 0;
    for (i, (start, ..)) in listed.iter().enumerate().step_by(listed.len() / 900 + 1) {
        let next = listed[i..]
            .iter()
            .find(|symbol| symbol.0 > *start)
            .map_or(start + 1, |next| next.0);
        for address in [*start, start + (next - start) / 2, next - 1] {
            let frames = symbolizer.resolve(address);
            let [
                Frame::Named {
                    name,
                    module,
                    line: None,
                    inlined: false,
                },
            ] = &frames[..]
            else {
                continue;
            };
            named += 1;
            let first = listed.partition_point(|symbol| symbol.0 < *start);
            let mut same = listed[first..]
                .iter()
                .take_while(|symbol| symbol.0 == *start);
            assert!(
                same.any(|symbol| symbol.1 == *name && symbol.2 == *module),
                "{address:#x} is named {name} ({module:?})"
            );
        }
    }
    assert!(named > 600, "only {named} addresses have names");
}

#[test]
fn addresses_outside_all_symbols_are_unknown() {
    let Some(listed) = listed() else {
        skip!("{HIDDEN}");
    };
    let mut symbolizer = symbolizer();
    let end = listed
        .iter()
        .find(|symbol| symbol.1 == "_etext")
        .map(|symbol| symbol.0);
    for address in [0, 1, 0x1000, u64::MAX].into_iter().chain(end) {
        let unknown = Frame::Unknown {
            address,
            reason: UnknownReason::OutsideSymbols,
        };
        assert_eq!(symbolizer.resolve(address), [unknown]);
    }
}

#[test]
fn a_window_becomes_threads_stacks_contexts_and_counts() {
    let Some(listed) = listed() else {
        skip!("{HIDDEN}");
    };
    let at = |name| address_of(&listed, name);
    // A return address is behind its call; the innermost address is the one that ran.
    let softirq: Arc<[u64]> = [
        at("net_rx_action"),
        at("run_ksoftirqd") + 5,
        at("kthread") + 9,
    ]
    .into();
    let idle: Arc<[u64]> = [at("do_idle") + 1, at("cpu_startup_entry") + 4].into();
    let sample = |key: Key, stack: &Arc<[u64]>, count| RawSample {
        key,
        stack: stack.clone(),
        count,
    };
    let swapper = Key {
        idle_cpu: 3,
        ..key(0, b"swapper/3", flags::KTHREAD)
    };
    let raw = window(vec![
        sample(key(17, b"ksoftirqd/0", flags::KTHREAD), &softirq, 5),
        sample(swapper, &idle, 7),
        sample(swapper, &softirq, 2),
        sample(
            key(40, b"a\xff\xfename-of-16-b", flags::USER),
            &Arc::from([]),
            1,
        ),
    ]);
    let mut symbolizer = symbolizer();
    let mut profile = Profile::default();
    symbolizer.add_window(&raw, &mut profile).unwrap();
    let expected = [
        "a\u{fffd}\u{fffd}name-of-16-b user 1",
        "ksoftirqd/0;kthread;run_ksoftirqd;net_rx_action softirq 5",
        "swapper/3;cpu_startup_entry;do_idle idle 7",
        "swapper/3;kthread;run_ksoftirqd;net_rx_action softirq 2",
    ];
    assert_eq!(lines(&profile), expected);
    assert_eq!(profile.sizes(), (5, 3, 3));

    // The same again doubles the counts, and another profile gets tables of its own.
    symbolizer.add_window(&raw, &mut profile).unwrap();
    assert_eq!((profile.total(), profile.sizes()), (30, (5, 3, 3)));
    let mut other = Profile::default();
    other.intern_frame(Frame::named("something else"));
    symbolizer.add_window(&raw, &mut other).unwrap();
    assert_eq!(lines(&other), expected);
    assert!(
        profile
            .samples()
            .any(|(sample, _)| profile.thread(sample.thread).kthread)
    );
}

#[test]
fn a_name_that_is_being_changed_is_not_given_unless_it_is_certain() {
    let Some(listed) = listed() else {
        skip!("{HIDDEN}");
    };
    let at = |name| address_of(&listed, name);
    let changing: Arc<[u64]> = [at("__set_task_comm") + 5, at("do_syscall_64") + 9].into();
    let other: Arc<[u64]> = [at("vfs_read"), at("do_syscall_64") + 9].into();
    let sample = |tid, comm: &[u8], stack: &Arc<[u64]>, count| RawSample {
        key: key(tid, comm, 0),
        stack: stack.clone(),
        count,
    };
    let raw = window(vec![
        sample(7, b"new-nold-name", &changing, 1),
        sample(7, b"new-name", &changing, 2),
        sample(7, b"new-name", &other, 3),
        // A name of another thread is no help.
        sample(8, b"new-name", &changing, 4),
    ]);
    let mut profile = Profile::default();
    symbolizer().add_window(&raw, &mut profile).unwrap();
    let expected = [
        "[renaming];do_syscall_64;__set_task_comm task 1",
        "[renaming];do_syscall_64;__set_task_comm task 4",
        "new-name;do_syscall_64;__set_task_comm task 2",
        "new-name;do_syscall_64;vfs_read task 3",
    ];
    assert_eq!(lines(&profile), expected);
}

#[test]
fn calls_are_looked_up_before_their_return_address_and_interrupted_code_where_it_was() {
    let Some(listed) = listed() else {
        skip!("{HIDDEN}");
    };
    let Some(entry) = listed
        .iter()
        .find(|s| s.1 == "asm_sysvec_apic_timer_interrupt")
        .map(|s| s.0)
    else {
        skip!("not x86");
    };
    let start = address_of(&listed, "vfs_read");
    let before = listed
        .iter()
        .rev()
        .find(|symbol| symbol.0 < start)
        .unwrap()
        .1
        .clone();
    let names = |stack: &[u64]| {
        let raw = window(vec![RawSample {
            key: key(9, b"t", 0),
            stack: stack.into(),
            count: 1,
        }]);
        let mut profile = Profile::default();
        symbolizer().add_window(&raw, &mut profile).unwrap();
        lines(&profile).remove(0)
    };
    // What ends with a call that never returns has its return address at the next function's start.
    assert!(names(&[start, start]).starts_with(&format!("t;{before};vfs_read ")));
    // An interrupt may hit a function's first instruction.
    assert_eq!(
        names(&[entry + 5, start]),
        "t;vfs_read;asm_sysvec_apic_timer_interrupt hardirq 1"
    );
}

/// Prints what symbolizing costs; run it with `--release --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn cost() {
    fn cpu_ns() -> u64 {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `time` is a live timespec for the call to fill.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
    fn resident() -> u64 {
        let text = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
    let Some(listed) = listed() else {
        skip!("{HIDDEN}");
    };
    let addresses: Vec<u64> = listed
        .iter()
        .step_by(listed.len() / 4000)
        .take(4000)
        .map(|symbol| symbol.0 + 4)
        .collect();
    let core = listed.len();
    drop(listed);
    let stacks: Vec<Arc<[u64]>> = (0..5000)
        .map(|i| {
            (0..20)
                .map(|j| addresses[(i * 7 + j * 211) % 4000])
                .collect()
        })
        .collect();
    let samples = stacks.iter().map(|stack| RawSample {
        key: key(9, b"t", 0),
        stack: stack.clone(),
        count: 1,
    });
    let raw = window(samples.collect());
    // SAFETY: no arguments; gives unused memory back, so that the growth below is what is kept.
    unsafe { libc::malloc_trim(0) };
    let (before, started) = (resident(), cpu_ns());
    let mut symbolizer = symbolizer();
    symbolizer.resolve(addresses[0]);
    let (read, index) = (cpu_ns(), resident());
    for &address in &addresses {
        symbolizer.addresses.look_up(address);
    }
    let (looked_up, cached) = (cpu_ns(), resident());
    let mut profile = Profile::default();
    symbolizer.add_window(&raw, &mut profile).unwrap();
    let added = cpu_ns();
    symbolizer.add_window(&raw, &mut profile).unwrap();
    let again = cpu_ns();
    println!(
        "{core} symbols: read {} us, +{} KiB; {} addresses {} us, +{} KiB; \
         5,000 stacks of 20 frames {} us, again {} us",
        (read - started) / 1000,
        index - before,
        addresses.len(),
        (looked_up - read) / 1000,
        cached - index,
        (added - looked_up) / 1000,
        (again - added) / 1000,
    );
}

#[test]
fn a_stack_of_as_many_frames_as_are_kept_says_so() {
    let Some(listed) = listed() else { return };
    let at = |name: &str| address_of(&listed, name) + 1;
    let stack = |names: &[&str]| -> Arc<[u64]> { names.iter().map(|name| at(name)).collect() };
    let sample = |tid, names: &[&str]| RawSample {
        key: key(tid, b"x", 0),
        stack: stack(names),
        count: 1,
    };
    let window = RawWindow {
        max_frames: 2,
        ..window(vec![
            sample(7, &["vfs_read"]),
            sample(7, &["vfs_read", "ksys_read"]),
            // On an idle task: in the idle loop, and in what may be an interrupt.
            sample(0, &["schedule_idle", "do_idle"]),
            sample(0, &["kfree", "kfree_skbmem"]),
        ])
    };
    let mut profile = Profile::default();
    symbolizer().add_window(&window, &mut profile).unwrap();
    assert_eq!(
        lines(&profile),
        [
            "swapper/0;[stack limit: 2 frames];do_idle;schedule_idle idle 1",
            "swapper/0;[stack limit: 2 frames];kfree_skbmem;kfree task 1",
            "x;[stack limit: 2 frames];ksys_read;vfs_read task 1",
            "x;vfs_read task 1",
        ]
    );
}
