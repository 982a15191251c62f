//! ELF files and notes.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::FromRawFd as _;

use kprof::symbolize::fuzz::{build_id, elf};

use super::MIB;
use crate::Target;

pub(super) const ELF: Target = Target {
    name: "elf",
    check: check_elf,
    memory: (MIB, 40),
};

pub(super) const NOTES: Target = Target {
    name: "notes",
    check: check_notes,
    memory: (MIB, 4),
};

fn check_elf(data: &[u8]) {
    thread_local! {
        static FILE: RefCell<File> = RefCell::new(memory_file());
    }
    let found = FILE.with_borrow_mut(|file| {
        file.rewind()
            .and_then(|()| file.write_all(data))
            .expect("write to memory");
        file.set_len(data.len() as u64)
            .expect("cut a file in memory");
        elf(file)
    });
    let Ok(found) = found else {
        return;
    };
    let has = |bytes: &[u8]| memory_has(data, bytes);
    assert!(!found.has_lines || has(b".debug_line"));
    for (address, name) in [
        (found.text, &b"_text"[..]),
        (found.start_kernel, b"start_kernel"),
    ] {
        if let Some(address) = address {
            assert!(has(name) && has(&address.to_ne_bytes()) && has(b".symtab"));
        }
    }
    if let Some(id) = found.build_id {
        assert!(has_note(data, &id), "no such note");
    }
}

fn check_notes(data: &[u8]) {
    match build_id(data) {
        Some(id) => {
            assert!(has_note(data, &id), "no such note");
            // Notes before it and bytes behind it change nothing.
            let mut more = note(b"Linux\0", 0x100, b"x");
            more.extend(data);
            more.extend([0xff; 7]);
            assert_eq!(build_id(&more), Some(id));
        }
        None => {
            let own = note(b"GNU\0", 3, data);
            assert_eq!(build_id(&own).as_deref(), Some(data));
        }
    }
}

/// Whether a note of the build id's kind and owner with this content is there.
fn has_note(data: &[u8], id: &[u8]) -> bool {
    let words = [4u32, id.len() as u32, 3];
    let mut wanted: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    wanted.extend(b"GNU\0");
    wanted.extend(id);
    memory_has(data, &wanted)
}

fn note(owner: &[u8], kind: u32, content: &[u8]) -> Vec<u8> {
    let words = [owner.len() as u32, content.len() as u32, kind];
    let mut note: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    for part in [owner, content] {
        note.extend(part);
        note.resize(note.len().next_multiple_of(4), 0);
    }
    note
}

fn memory_has(data: &[u8], bytes: &[u8]) -> bool {
    data.windows(bytes.len().max(1))
        .any(|window| window == bytes)
        || bytes.is_empty()
}

fn memory_file() -> File {
    // SAFETY: the name is a C string, which the kernel copies.
    let fd = unsafe { libc::memfd_create(c"elf".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0, "memfd_create: {}", std::io::Error::last_os_error());
    // SAFETY: the descriptor is new and has no other owner.
    unsafe { File::from_raw_fd(fd) }
}
