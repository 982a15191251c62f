//! A real BPF program that comes, is replaced and goes.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::*;
use crate::kernel::bpf_syscall::{self, Insn, ProgAttr};
use crate::profile::UnknownReason;

/// Loads a socket filter that returns `value`, so that each value has a tag of its own.
fn load(value: i32) -> Option<OwnedFd> {
    const SOCKET_FILTER: u32 = 1;
    let instructions = [Insn::new(0xb7, value), Insn::new(0x95, 0)];
    let attr = ProgAttr {
        prog_type: SOCKET_FILTER,
        insn_cnt: instructions.len() as u32,
        insns: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        prog_name: *b"kprof_symtest\0\0\0",
        ..ProgAttr::default()
    };
    bpf_syscall::load_program(&attr).ok()
}

/// Where the kernel lists our programs.
fn listed() -> Vec<(u64, String)> {
    let text = std::fs::read_to_string("/proc/kallsyms").unwrap();
    let ours = text.lines().filter(|line| line.contains("_kprof_symtest"));
    ours.filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        Some((address, words.nth(1)?.to_owned()))
    })
    .collect()
}

#[test]
fn a_program_loaded_later_is_named_and_one_that_went_is_not() {
    let mut symbolizer = Symbolizer::new(Options::default()).unwrap();
    // Reads the symbols before the program is there.
    symbolizer.resolve(0x1000);
    let Some(first) = load(1) else {
        crate::skip::skip!("a BPF program can't be loaded here (needs CAP_BPF)");
    };
    let [(address, name)] = &listed()[..] else {
        crate::skip::skip!("the kernel lists no BPF programs (needs net.core.bpf_jit_kallsyms=1)");
    };
    if *address == 0 || bpf_syscall::program_ids().is_none() {
        crate::skip::skip!("addresses are hidden or programs can't be listed");
    }
    let expected = Frame::Named {
        name: name.clone(),
        module: Some("bpf".into()),
        line: None,
        inlined: false,
    };
    assert_eq!(
        symbolizer.resolve(*address),
        std::slice::from_ref(&expected)
    );
    let end = bpf::functions(&bpf_syscall::program_ids().unwrap())[address].end;
    assert_eq!(symbolizer.resolve(end - 1), std::slice::from_ref(&expected));
    assert_ne!(symbolizer.resolve(end), std::slice::from_ref(&expected));

    drop(first);
    // The kernel frees it a little later.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !listed().is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = load(2).expect("the first one was loaded");
    let now = listed();
    let frames = symbolizer.resolve(*address);
    assert_ne!(frames, [expected], "the name of a program that went");
    if now.iter().any(|(start, _)| start == address) {
        // At the same place: both may have been sampled in this window, but not in the next one.
        let unknown = Frame::Unknown {
            address: *address,
            reason: UnknownReason::OutsideSymbols,
        };
        assert_eq!(frames, [unknown]);
        assert_eq!(
            symbolizer.resolve(*address)[0].function(),
            Some(now[0].1.as_str())
        );
    }
    drop(second);
}
