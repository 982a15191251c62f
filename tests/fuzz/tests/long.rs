//! Long inputs, some made to take long: the limits of time and memory are in proportion to the length.

use kprof_fuzz::{TARGETS, corpus};
use kprof_tests::{Outcome, Skip};

kprof_tests::suite![
    repeated_inputs_take_no_longer_than_their_length,
    shapes_that_invite_it_do_not_take_long,
];

const LENGTH: usize = 256 * 1024;

fn repeated_inputs_take_no_longer_than_their_length() -> Outcome {
    for target in TARGETS {
        let inputs = corpus::inputs(target.name);
        let inputs = inputs.map_err(|_| Skip::because("the inputs are not on this machine"))?;
        let longest = inputs
            .iter()
            .map(|(_, data)| data)
            .max_by_key(|data| data.len());
        let seed = longest.expect("every target has an input");
        target.run(&seed.repeat(LENGTH.div_ceil(seed.len())));
    }
    Ok(())
}

fn shapes_that_invite_it_do_not_take_long() -> Outcome {
    let numbered = |count: usize, line: fn(usize) -> String| -> Vec<u8> {
        (0..count).map(line).collect::<String>().into_bytes()
    };
    let deep = numbered(30_000, |i| format!("f{i};"));
    let folded = |stack: &[u8]| [b"\x0fx-1;", stack, b"f 1\n"].concat();
    let shapes = [
        (
            "kallsyms",
            numbered(10_000, |i| format!("{:x} t f\t[m{i}]\n", 4096 - i % 2)),
        ),
        (
            "kallsyms",
            numbered(10_000, |i| format!("{:x} t f{i}\n", 10_000 - i)),
        ),
        ("kallsyms", vec![b'7'; LENGTH]),
        ("folded", folded(&deep)),
        ("folded", folded(&b";".repeat(LENGTH))),
        ("folded", folded(&b"\\x3b ".repeat(LENGTH / 4))),
        ("folded", numbered(10_000, |i| format!("x-{i};f{i} {i}\n"))),
        ("formats", [b"{}\0", &folded(&deep)[..]].concat()),
        (
            "formats",
            numbered(4_000, |i| match i {
                0 => "{}\0\x0f".to_owned(),
                i => format!("x{i}-{i};f{i} {i}\n"),
            }),
        ),
        ("comm", b"*a".repeat(LENGTH / 2)),
        ("cpu_list", b"0-8191,".repeat(LENGTH / 7)),
        ("elf", many_sections(SHT_NOTE)),
        ("elf", many_sections(0)),
        ("btf", nested_structs()),
        ("mounts", b"\\040".repeat(LENGTH / 4)),
        ("pprof", cpus()),
    ];
    for (name, input) in shapes {
        let target = kprof_fuzz::target(name).expect("a target");
        target.run(&input);
    }
    Ok(())
}

const SHT_NOTE: u32 = 7;

/// Sections of this kind, all of them the whole file, whose strings have no end.
fn many_sections(kind: u32) -> Vec<u8> {
    const SECTIONS: usize = 3_000;
    let mut file = vec![1u8; 64 + SECTIONS * 64];
    file[..5].copy_from_slice(b"\x7fELF\x02");
    let len = file.len() as u64;
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(40, &64u64.to_ne_bytes());
    put(58, &64u16.to_ne_bytes());
    put(60, &(SECTIONS as u16).to_ne_bytes());
    put(62, &1u16.to_ne_bytes());
    for section in 0..SECTIONS {
        let at = 64 + section * 64;
        put(at, &100u32.to_ne_bytes());
        put(at + 4, &kind.to_ne_bytes());
        put(at + 24, &0u64.to_ne_bytes());
        put(at + 32, &len.to_ne_bytes());
    }
    file
}

/// A `task_struct` of as many anonymous members as are followed, in a file of many structs with no other members.
fn nested_structs() -> Vec<u8> {
    let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_ne_bytes()).collect() };
    let kind = |members: u32| 4 << 24 | members;
    let mut types = words(&[1, kind(250), 0]);
    for member in 0..250 {
        types.extend(words(&[0, member + 2, 0]));
    }
    for next in 0..8_000 {
        types.extend(words(&[0, kind(1), 0, 0, next, 0]));
    }
    let strings = b"\0task_struct\0flags\0comm\0";
    let mut file = words(&[
        0x0001_eb9f,
        24,
        0,
        types.len() as u32,
        types.len() as u32,
        24,
    ]);
    file.extend(types);
    file.extend(strings);
    file
}

/// A pprof profile whose comment lists very many CPUs.
fn cpus() -> Vec<u8> {
    let list: Vec<String> = (0..40_000).map(|cpu| (40_000 - cpu).to_string()).collect();
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
