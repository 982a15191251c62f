//! `bpf(2)`: the call itself, and for probing tiny maps and programs that are made, tried and dropped.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Commands of `include/uapi/linux/bpf.h`.
const MAP_CREATE: libc::c_int = 0;
const PROG_LOAD: libc::c_int = 5;
const MAP_LOOKUP_AND_DELETE_BATCH: libc::c_int = 25;
const ENABLE_STATS: libc::c_int = 32;

/// Program types.
pub(super) const PROG_TRACEPOINT: u32 = 5;
/// See [`PROG_TRACEPOINT`].
pub(super) const PROG_PERF_EVENT: u32 = 7;

/// What a map to try looks like.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct MapAttr {
    /// `BPF_MAP_TYPE_*`.
    pub(super) map_type: u32,
    /// Bytes of a key.
    pub(super) key_size: u32,
    /// Bytes of a value.
    pub(super) value_size: u32,
    /// Most entries.
    pub(super) max_entries: u32,
}

#[repr(C)]
struct ProgAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
}

#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// One BPF instruction (`struct bpf_insn`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Insn {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// `r0 = 0; exit`
pub(super) const RETURN_0: [Insn; 2] = [Insn::new(0xb7, 0), Insn::new(0x95, 0)];

impl Insn {
    const fn new(code: u8, immediate: i32) -> Insn {
        Insn {
            code,
            registers: 0,
            offset: 0,
            immediate,
        }
    }

    /// A call of a helper by its number.
    pub(super) const fn call(helper: i32) -> Insn {
        Insn::new(0x85, helper)
    }
}

/// Makes a map.
pub(super) fn create_map(attr: &MapAttr) -> io::Result<OwnedFd> {
    descriptor(bpf(MAP_CREATE, &mut { *attr })?)
}

/// Loads a program; on refusal, with the verifier's words.
pub(super) fn load_program(prog_type: u32, insns: &[Insn]) -> Result<OwnedFd, (io::Error, String)> {
    let mut log = vec![0u8; 4096];
    let mut attr = ProgAttr {
        prog_type,
        insn_cnt: insns.len() as u32,
        insns: insns.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 1,
        log_size: log.len() as u32,
        log_buf: log.as_mut_ptr() as u64,
    };
    bpf(PROG_LOAD, &mut attr)
        .and_then(descriptor)
        .map_err(|error| {
            let end = log.iter().position(|&c| c == 0).unwrap_or(log.len());
            (error, String::from_utf8_lossy(&log[..end]).into_owned())
        })
}

/// Takes all entries, at most one, out of a hash map with 4-byte keys and values; how many there were.
pub(super) fn take_batch(map: &OwnedFd) -> io::Result<u32> {
    let (mut next, mut key, mut value) = (0u64, 0u32, 0u32);
    let mut attr = BatchAttr {
        in_batch: 0,
        out_batch: &raw mut next as u64,
        keys: &raw mut key as u64,
        values: &raw mut value as u64,
        count: 1,
        map_fd: map.as_raw_fd() as u32,
        elem_flags: 0,
        flags: 0,
    };
    match bpf(MAP_LOOKUP_AND_DELETE_BATCH, &mut attr) {
        // The end was reached.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(attr.count),
        other => other.map(|_| attr.count),
    }
}

/// Has the kernel measure the run time of BPF programs while the descriptor is open.
pub(super) fn enable_run_time_stats() -> io::Result<OwnedFd> {
    const RUN_TIME: u32 = 0;
    descriptor(bpf(ENABLE_STATS, &mut { RUN_TIME })?)
}

/// Runs a program whenever the perf event takes a sample.
pub(super) fn attach(event: &OwnedFd, program: &OwnedFd) -> io::Result<()> {
    const SET_BPF: libc::c_ulong = 0x4004_2408;
    // SAFETY: both descriptors are open, and this request takes an integer.
    let result = unsafe { libc::ioctl(event.as_raw_fd(), SET_BPF as _, program.as_raw_fd()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The one way into `bpf(2)`. `attr` is the command's part of `union bpf_attr`, as the kernel lays it
/// out; pointers in it are to live buffers, as large as the command expects.
pub(crate) fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: `attr` is a live struct laid out as this command's part of `union bpf_attr`, and its true size goes
    // with it. Callers keep the buffers behind its pointers alive and as large as they say.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<T>(),
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}

fn descriptor(answer: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(answer).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel just returned this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
