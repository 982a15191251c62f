use proptest::prelude::*;

use super::*;

impl Source for Vec<u8> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = self.get(offset as usize..).unwrap_or_default();
        // Short reads, as a file may give.
        let n = rest.len().min(buf.len()).min(1000);
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

/// Writes BTF.
#[derive(Default)]
struct Writer {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Writer {
    fn new() -> Writer {
        Writer {
            types: Vec::new(),
            strings: vec![0],
        }
    }

    fn string(&mut self, text: &str) -> u32 {
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn words(&mut self, words: &[u32]) {
        for w in words {
            self.types.extend_from_slice(&w.to_ne_bytes());
        }
    }

    /// Members are (name, type, bit offset).
    fn record(&mut self, kind: u32, name: u32, flag: bool, members: &[(u32, u32, u32)]) {
        self.words(&[
            name,
            kind << 24 | u32::from(flag) << 31 | members.len() as u32,
            64,
        ]);
        for (name, type_, offset) in members {
            self.words(&[*name, *type_, *offset]);
        }
    }

    fn finish(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&0xeb9fu16.to_ne_bytes());
        out.extend_from_slice(&[1, 0]);
        for w in [
            24,
            0,
            self.types.len() as u32,
            self.types.len() as u32,
            self.strings.len() as u32,
        ] {
            out.extend_from_slice(&w.to_ne_bytes());
        }
        out.extend_from_slice(&self.types);
        out.extend_from_slice(&self.strings);
        out
    }
}

/// task_struct { state; flags:3 at bit 0x160 (bit-field encoding); struct { union { char comm[16] } } }
fn nested() -> Vec<u8> {
    nested_behind(0)
}

/// The same, with a string of this length before the names.
fn nested_behind(filler: usize) -> Vec<u8> {
    let mut w = Writer::new();
    w.string(&"x".repeat(filler));
    let (int, state, flags) = (w.string("int"), w.string("state"), w.string("mm_flags") + 3);
    let (comm, task, other) = (
        w.string("comm"),
        w.string("task_struct"),
        w.string("task_struct_x"),
    );
    w.words(&[int, 1 << 24, 4, 32]);
    w.record(4, other, false, &[(flags, 1, 0), (comm, 1, 32)]);
    w.record(7, task, false, &[]);
    w.record(5, 0, false, &[(state, 1, 0), (comm, 1, 0)]);
    w.record(
        4,
        task,
        true,
        &[(state, 1, 0), (flags, 1, 3 << 24 | 352), (0, 6, 640)],
    );
    w.record(4, 0, false, &[(state, 1, 0), (0, 4, 128)]);
    w.finish()
}

#[test]
fn members_of_anonymous_structs_are_found() {
    assert_eq!(
        task_offsets_in(&nested()).unwrap(),
        TaskOffsets {
            flags: 44,
            comm: 96
        }
    );
}

#[test]
fn names_that_lie_across_two_pieces_are_found_once() {
    for filler in CHUNK - 60..CHUNK + 5 {
        let btf = nested_behind(filler);
        assert_eq!(task_offsets_in(&btf).unwrap().comm, 96, "{filler}");
        let names = Names::read(&btf, &Header::read(&btf).unwrap()).unwrap();
        let counts = (names.task_struct.len(), names.flags.len(), names.comm.len());
        assert_eq!(counts, (1, 1, 1), "{filler}");
    }
}

#[test]
fn what_is_missing_is_said() {
    let mut w = Writer::new();
    let task = w.string("task_struct");
    w.record(4, task, false, &[(0, 1, 0)]);
    assert_eq!(
        task_offsets_in(&w.finish()).unwrap_err().to_string(),
        "no member flags"
    );
    let mut w = Writer::new();
    w.string("x");
    assert!(
        task_offsets_in(&w.finish())
            .unwrap_err()
            .to_string()
            .contains("task_struct")
    );
    assert!(
        task_offsets_in(&vec![1, 2, 3])
            .unwrap_err()
            .to_string()
            .contains("header")
    );
    assert!(
        task_offsets_in(&vec![7; 100])
            .unwrap_err()
            .to_string()
            .contains("byte order")
    );
}

#[test]
fn the_running_kernel_has_both_offsets() {
    if !std::path::Path::new(PATH).exists() {
        crate::skip::skip!("this kernel shows no BTF");
    }
    let found = task_offsets().unwrap();
    assert!(found.flags > 0 && found.comm > found.flags, "{found:?}");
}

proptest! {
    #[test]
    fn cut_and_damaged_btf_never_panics(
        keep in 0usize..400,
        damage in prop::collection::vec((0usize..400, any::<u8>()), 0..8),
    ) {
        let mut bytes = nested();
        for (at, value) in damage {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(keep);
        let _ = task_offsets_in(&bytes);
    }

    #[test]
    fn noise_behind_a_header_never_panics(noise in prop::collection::vec(any::<u8>(), 0..600), split in 0u32..600) {
        let mut bytes = Writer::default().finish();
        let types = split.min(noise.len() as u32);
        for (at, value) in [(12, types), (16, types), (20, noise.len() as u32 - types)] {
            bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        bytes.extend_from_slice(&noise);
        bytes.extend_from_slice(b"\0task_struct\0flags\0comm\0");
        let _ = task_offsets_in(&bytes);
    }
}
