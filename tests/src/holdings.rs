//! What a process holds in the kernel, by id, and whether it is still there.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

/// A kind of object of bpf(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A program.
    Program,
    /// A map.
    Map,
    /// Types.
    Btf,
    /// A link of a program to what runs it.
    Link,
}

impl Kind {
    /// The line of /proc/PID/fdinfo that has the id.
    const ALL: [(&'static str, Kind); 4] = [
        ("prog_id:", Kind::Program),
        ("map_id:", Kind::Map),
        ("btf_id:", Kind::Btf),
        ("link_id:", Kind::Link),
    ];

    /// The `*_GET_FD_BY_ID` command of include/uapi/linux/bpf.h.
    fn command(self) -> libc::c_int {
        match self {
            Kind::Program => 13,
            Kind::Map => 14,
            Kind::Btf => 19,
            Kind::Link => 30,
        }
    }
}

/// What a process holds.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// Objects of bpf(2) and their ids.
    pub objects: BTreeSet<(Kind, u32)>,
    /// Perf events.
    pub events: usize,
}

impl Holdings {
    /// Of a running process.
    pub fn of(pid: u32) -> Holdings {
        let mut held = Holdings::default();
        let list = |folder: &str| std::fs::read_dir(format!("/proc/{pid}/{folder}"));
        for file in list("fdinfo").expect("list descriptors").flatten() {
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            for line in text.lines() {
                let id = Kind::ALL.iter().find_map(|&(start, kind)| {
                    let id = line.strip_prefix(start)?.trim();
                    Some((kind, id.parse().expect("an id in fdinfo")))
                });
                held.objects.extend(id);
            }
        }
        for file in list("fd").expect("list descriptors").flatten() {
            let target = std::fs::read_link(file.path()).unwrap_or_default();
            held.events += usize::from(target.to_str() == Some("anon_inode:[perf_event]"));
        }
        held
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.objects.iter().filter(|(of, _)| *of == kind).count()
    }

    /// Those that are still there. Looking at one holds it for a moment.
    pub fn left(&self) -> Vec<(Kind, u32)> {
        let there = |&(kind, id): &(Kind, u32)| exists(kind, id);
        self.objects.iter().copied().filter(there).collect()
    }
}

fn exists(kind: Kind, id: u32) -> bool {
    // `union bpf_attr` as these commands use it: id, next_id, open_flags.
    let attr = [id, 0, 0];
    // SAFETY: the attributes live until the call returns, and it only reads them.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            kind.command(),
            attr.as_ptr(),
            size_of_val(&attr),
        )
    };
    if fd >= 0 {
        // SAFETY: the descriptor was made just now and has no other owner.
        drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
        return true;
    }
    let error = io::Error::last_os_error();
    assert_eq!(
        error.raw_os_error(),
        Some(libc::ENOENT),
        "{kind:?} {id}: {error}"
    );
    false
}
