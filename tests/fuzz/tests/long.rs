//! Long inputs, some made to take long: four times the length takes some four times the time, not sixteen times.

use std::time::Duration;

use kprof_fuzz::{TARGETS, Target, corpus};
use kprof_tests::{Outcome, Skip};

kprof_tests::suite![
    repeated_inputs_take_no_longer_than_their_length,
    shapes_that_invite_it_do_not_take_long,
];

/// An input of so many times the first length.
type Shape = fn(usize) -> Vec<u8>;

/// Most bytes of an input of the first length; the second is four times as long.
const LENGTH: usize = 24 * 1024;

fn repeated_inputs_take_no_longer_than_their_length() -> Outcome {
    for target in TARGETS {
        let inputs = corpus::inputs(target.name);
        let inputs = inputs.map_err(|_| Skip::because("the inputs are not on this machine"))?;
        let longest = inputs
            .iter()
            .map(|(_, data)| data)
            .max_by_key(|data| data.len());
        let seed = longest.expect("every target has an input");
        compare(target, |times| {
            seed.repeat(LENGTH.div_ceil(seed.len()) * times)
        });
    }
    Ok(())
}

fn shapes_that_invite_it_do_not_take_long() -> Outcome {
    let shapes: [(&str, Shape); 16] = [
        ("kallsyms", |times| {
            lines(2_500 * times, |i| {
                format!("{:x} t f\t[m{i}]\n", 4096 - i % 2)
            })
        }),
        ("kallsyms", |times| {
            lines(2_500 * times, |i| format!("{:x} t f{i}\n", 99_999 - i))
        }),
        ("kallsyms", |times| vec![b'7'; LENGTH * times]),
        ("folded", |times| folded(&deep(times))),
        ("folded", |times| folded(&b";".repeat(LENGTH * times))),
        ("folded", |times| {
            folded(&b"\\x3b ".repeat(LENGTH / 4 * times))
        }),
        ("folded", |times| {
            lines(2_500 * times, |i| format!("x-{i};f{i} {i}\n"))
        }),
        ("formats", |times| {
            [b"{}\0", &folded(&deep(times))[..]].concat()
        }),
        ("formats", |times| {
            let stacks = lines(500 * times, |i| format!("x{i}-{i};f{i} {i}\n"));
            [b"{}\0\x0f", &stacks[..]].concat()
        }),
        ("comm", |times| b"*a".repeat(LENGTH / 2 * times)),
        ("cpu_list", |times| b"0-8191,".repeat(LENGTH / 7 * times)),
        ("elf", |times| many_sections(SHT_NOTE, 1_000 * times)),
        ("elf", |times| many_sections(0, 1_000 * times)),
        ("btf", |times| nested_structs(2_000 * times)),
        ("mounts", |times| b"\\040".repeat(LENGTH / 4 * times)),
        ("pprof", |times| cpus(10_000 * times)),
    ];
    for (name, shape) in shapes {
        compare(kprof_fuzz::target(name).expect("a target"), shape);
    }
    Ok(())
}

/// Tries an input of some length, and one of four times that.
fn compare(target: &Target, shape: impl Fn(usize) -> Vec<u8>) {
    // What is done once, and caches that are too small, count as well.
    const SLACK: Duration = Duration::from_millis(200);
    let [short, long] = [1, 4].map(|times| target.run(&shape(times)).cpu);
    assert!(
        long <= short * 10 + SLACK,
        "{}: {short:?}, and {long:?} for four times the length",
        target.name
    );
}

fn lines(count: usize, line: fn(usize) -> String) -> Vec<u8> {
    (0..count).map(line).collect::<String>().into_bytes()
}

fn deep(times: usize) -> Vec<u8> {
    lines(2_500 * times, |i| format!("f{i};"))
}

/// One stack, all of which shows.
fn folded(stack: &[u8]) -> Vec<u8> {
    [b"\x0fx-1;", stack, b"f 1\n"].concat()
}

const SHT_NOTE: u32 = 7;

/// Sections of this kind, all of them the same part of the file, whose strings have no end.
fn many_sections(kind: u32, sections: usize) -> Vec<u8> {
    let (start, len) = (64 + sections * 64, sections * 64);
    let mut file = vec![1u8; start + len];
    file[..5].copy_from_slice(b"\x7fELF\x02");
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(40, &64u64.to_ne_bytes());
    put(58, &64u16.to_ne_bytes());
    put(60, &(sections as u16).to_ne_bytes());
    put(62, &1u16.to_ne_bytes());
    for section in 0..sections {
        let at = 64 + section * 64;
        put(at, &100u32.to_ne_bytes());
        put(at + 4, &kind.to_ne_bytes());
        put(at + 24, &(start as u64).to_ne_bytes());
        put(at + 32, &(len as u64).to_ne_bytes());
    }
    file
}

/// A `task_struct` of as many anonymous members as are followed, before many structs that have no other members.
fn nested_structs(count: usize) -> Vec<u8> {
    let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_ne_bytes()).collect() };
    let kind = |members: u32| 4 << 24 | members;
    let mut types = words(&[1, kind(250), 0]);
    for member in 0..250 {
        types.extend(words(&[0, member + 2, 0]));
    }
    for next in 0..count as u32 {
        types.extend(words(&[0, kind(1), 0, 0, next, 0]));
    }
    let strings = b"\0task_struct\0flags\0comm\0";
    let (start, len) = (types.len() as u32, strings.len() as u32);
    let mut file = words(&[0x0001_eb9f, 24, 0, start, start, len]);
    file.extend(types);
    file.extend(strings);
    file
}

/// A pprof profile whose comment lists very many CPUs.
fn cpus(count: usize) -> Vec<u8> {
    let list: Vec<String> = (0..count).rev().map(|cpu| cpu.to_string()).collect();
    let comment = format!("kprof-meta {{\"cpus\":[{}]}}", list.join(","));
    let mut file = Vec::new();
    for text in ["", &comment, "count"] {
        file.push(6 << 3 | 2);
        let mut len = text.len();
        while len >= 0x80 {
            file.push(len as u8 | 0x80);
            len >>= 7;
        }
        file.push(len as u8);
        file.extend(text.as_bytes());
    }
    file.extend([13 << 3, 1]);
    file
}
