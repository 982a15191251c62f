//! BPF objects by their ids, which the kernel gives away anew only when it has run out of fresh ones.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

/// A program, map or link and its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Object {
    /// A program.
    Program(u32),
    /// A map.
    Map(u32),
    /// A link.
    Link(u32),
}

/// The objects that a process has descriptors of, by its /proc/PID/fdinfo (Linux 5.10 has the ids in it).
pub fn held_by(pid: u32) -> Vec<Object> {
    let folder = format!("/proc/{pid}/fdinfo");
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut objects: Vec<Object> = files
        .flatten()
        // A descriptor may be closed meanwhile.
        .filter_map(|file| std::fs::read_to_string(file.path()).ok())
        .filter_map(|text| object(&text))
        .collect();
    objects.sort();
    objects.dedup();
    objects
}

/// What a descriptor is of. A link names its program, too.
fn object(fdinfo: &str) -> Option<Object> {
    let id = |field: &str| {
        let rest = fdinfo.lines().find_map(|line| line.strip_prefix(field))?;
        rest.trim().parse().ok()
    };
    id("link_id:")
        .map(Object::Link)
        .or_else(|| id("prog_id:").map(Object::Program))
        .or_else(|| id("map_id:").map(Object::Map))
}

/// Those of the objects that are still there. Takes `CAP_SYS_ADMIN`.
pub fn alive(objects: &[Object]) -> Vec<Object> {
    objects.iter().copied().filter(is_alive).collect()
}

fn is_alive(object: &Object) -> bool {
    // `BPF_PROG_GET_FD_BY_ID` and its kin of include/uapi/linux/bpf.h.
    let (command, id) = match *object {
        Object::Program(id) => (13, id),
        Object::Map(id) => (14, id),
        Object::Link(id) => (30, id),
    };
    // The id, where the next one is not asked for, and flags.
    let attributes = [id, 0, 0];
    // SAFETY: the attributes are live and as long as said; the kernel only reads them.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    if fd < 0 {
        let error = io::Error::last_os_error();
        assert_eq!(
            error.raw_os_error(),
            Some(libc::ENOENT),
            "{object:?}: {error}"
        );
        return false;
    }
    // SAFETY: the kernel just returned this descriptor, and nothing else owns it.
    drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdinfo_tells_what_a_descriptor_is_of() {
        let program =
            "pos:\t0\nflags:\t02000002\nprog_type:\t7\nprog_tag:\tab\nprog_id:\t31\nrun_cnt:\t4\n";
        assert_eq!(object(program), Some(Object::Program(31)));
        let map = "pos:\t0\nmap_type:\t2\nmax_entries:\t1\nmap_id:\t7\nfrozen:\t1\n";
        assert_eq!(object(map), Some(Object::Map(7)));
        let link = "link_type:\tperf_event\nlink_id:\t3\nprog_tag:\tab\nprog_id:\t31\n";
        assert_eq!(object(link), Some(Object::Link(3)));
        assert_eq!(object("pos:\t0\nflags:\t0100002\nmnt_id:\t9\n"), None);
    }
}
