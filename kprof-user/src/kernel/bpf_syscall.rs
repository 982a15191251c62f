//! `bpf(2)`: the call itself, and its commands on programs and types. Probing makes, tries and drops tiny maps and
//! programs with it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Commands of `include/uapi/linux/bpf.h`.
pub(crate) const MAP_CREATE: libc::c_int = 0;
pub(crate) const MAP_UPDATE_ELEM: libc::c_int = 2;
const PROG_LOAD: libc::c_int = 5;
const PROG_GET_NEXT_ID: libc::c_int = 11;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BTF_LOAD: libc::c_int = 18;
const MAP_FREEZE: libc::c_int = 22;
pub(crate) const MAP_LOOKUP_AND_DELETE_BATCH: libc::c_int = 25;
const LINK_GET_NEXT_ID: libc::c_int = 31;
const ENABLE_STATS: libc::c_int = 32;

/// Program types.
pub const PROG_TRACEPOINT: u32 = 5;
/// See [`PROG_TRACEPOINT`].
pub const PROG_PERF_EVENT: u32 = 7;

/// What a map to try looks like.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MapAttr {
    /// `BPF_MAP_TYPE_*`.
    pub map_type: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries.
    pub max_entries: u32,
}

/// What BPF_PROG_LOAD takes. The pointers are to buffers as long as the counts beside them say.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ProgAttr {
    /// `BPF_PROG_TYPE_*`.
    pub prog_type: u32,
    /// Instructions.
    pub insn_cnt: u32,
    /// `struct bpf_insn[]`.
    pub insns: u64,
    /// NUL-terminated.
    pub license: u64,
    /// 1: the verifier writes its log.
    pub log_level: u32,
    /// Bytes of `log_buf`.
    pub log_size: u32,
    /// `char[]`.
    pub log_buf: u64,
    /// Not looked at by any kernel that kprof is for.
    pub kern_version: u32,
    /// `BPF_F_*`.
    pub prog_flags: u32,
    /// Padded with NUL.
    pub prog_name: [u8; 16],
    /// For network cards.
    pub prog_ifindex: u32,
    /// For other types.
    pub expected_attach_type: u32,
    /// Types loaded by [`load_btf`]; 0: none, and then all that follows is 0, too.
    pub prog_btf_fd: u32,
    /// Bytes of one element of `func_info`.
    pub func_info_rec_size: u32,
    /// `struct bpf_func_info[]`.
    pub func_info: u64,
    /// Elements of `func_info`.
    pub func_info_cnt: u32,
    /// Bytes of one element of `line_info`.
    pub line_info_rec_size: u32,
    /// `struct bpf_line_info[]`.
    pub line_info: u64,
    /// Elements of `line_info`.
    pub line_info_cnt: u32,
    /// For other types.
    pub attach_btf_id: u32,
}

const _: () = assert!(size_of::<ProgAttr>() == 112);

#[repr(C)]
#[derive(Default)]
struct BtfAttr {
    btf: u64,
    log_buf: u64,
    btf_size: u32,
    log_size: u32,
    log_level: u32,
    padding: u32,
}

/// `union bpf_attr` as the commands on one element of a map use it. The pointers are to buffers as large as the map's
/// keys and values.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ElementAttr {
    /// The map.
    pub map_fd: u32,
    /// Not used.
    pub padding: u32,
    /// Points to the key.
    pub key: u64,
    /// Points to the value.
    pub value: u64,
    /// `BPF_ANY` and the like.
    pub flags: u64,
}

/// `union bpf_attr` as the `*_GET_NEXT_ID` and `*_GET_FD_BY_ID` commands use it.
#[repr(C)]
#[derive(Default)]
struct IdAttr {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// `union bpf_attr` as BPF_OBJ_GET_INFO_BY_FD uses it.
#[repr(C)]
struct InfoAttr {
    fd: u32,
    info_len: u32,
    info: u64,
}

/// `union bpf_attr` as the batch commands use it (Linux 5.6). The pointers are to as many elements as `count` says.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BatchAttr {
    /// Points to where to go on, 8 bytes; 0: at the beginning.
    pub in_batch: u64,
    /// Points to where the kernel writes that for the next call.
    pub out_batch: u64,
    /// Points to the keys.
    pub keys: u64,
    /// Points to the values.
    pub values: u64,
    /// Room for so many elements; the kernel writes how many there are.
    pub count: u32,
    /// The map.
    pub map_fd: u32,
    /// For updates.
    pub elem_flags: u64,
    /// 0.
    pub flags: u64,
}

/// One BPF instruction (`struct bpf_insn`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Insn {
    /// Operation.
    pub code: u8,
    /// Destination in the low four bits, source in the high ones.
    pub registers: u8,
    /// Jump or memory offset.
    pub offset: i16,
    /// Constant.
    pub immediate: i32,
}

/// `r0 = 0; exit`
pub const RETURN_0: [Insn; 2] = [Insn::new(0xb7, 0), Insn::new(0x95, 0)];

impl Insn {
    /// `code` on register 0 with a constant.
    pub const fn new(code: u8, immediate: i32) -> Insn {
        Insn {
            code,
            registers: 0,
            offset: 0,
            immediate,
        }
    }

    /// A call of a helper by its number.
    pub const fn call(helper: i32) -> Insn {
        Insn::new(0x85, helper)
    }
}

/// Makes a map.
pub fn create_map(attr: &MapAttr) -> io::Result<OwnedFd> {
    descriptor(bpf(MAP_CREATE, &mut { *attr })?)
}

/// Loads a program made of a few instructions; on refusal, with the verifier's words.
pub fn try_program(prog_type: u32, insns: &[Insn]) -> Result<OwnedFd, (io::Error, String)> {
    load_program(&ProgAttr {
        prog_type,
        insn_cnt: insns.len() as u32,
        insns: insns.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        ..ProgAttr::default()
    })
}

/// Loads a program; on refusal, with the verifier's words. Its log is asked for in a second try only, since
/// writing it takes longer than the rest.
pub fn load_program(attr: &ProgAttr) -> Result<OwnedFd, (io::Error, String)> {
    // Large logs cost nothing but memory, and only where the program is refused anyway.
    const LOG: usize = 16 << 20;
    // A signal may interrupt the verifier (EAGAIN).
    let mut tries = 0;
    let refusal = loop {
        match bpf(PROG_LOAD, &mut { *attr }).and_then(descriptor) {
            Ok(fd) => return Ok(fd),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && tries < 5 => tries += 1,
            Err(error) => break error,
        }
    };
    let mut log = vec![0u8; LOG];
    let mut attr = ProgAttr {
        log_level: 1,
        log_size: LOG as u32,
        log_buf: log.as_mut_ptr() as u64,
        ..*attr
    };
    bpf(PROG_LOAD, &mut attr).and_then(descriptor).map_err(|_| {
        // The first answer is about the program; this one may be about the log.
        let end = memchr::memchr(0, &log).unwrap_or(log.len());
        (refusal, String::from_utf8_lossy(&log[..end]).into_owned())
    })
}

/// Loads type information for maps and programs.
pub fn load_btf(btf: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = BtfAttr {
        btf: btf.as_ptr() as u64,
        btf_size: btf.len() as u32,
        ..BtfAttr::default()
    };
    bpf(BTF_LOAD, &mut attr).and_then(descriptor)
}

/// Writes the only element of an array map, and lets nobody change it any more. `value` is as long as the
/// map's values.
pub fn freeze_with(map: BorrowedFd<'_>, value: &[u8]) -> io::Result<()> {
    let key = 0u32;
    let map_fd = map.as_raw_fd() as u32;
    let mut attr = ElementAttr {
        map_fd,
        padding: 0,
        key: &raw const key as u64,
        value: value.as_ptr() as u64,
        flags: 0,
    };
    bpf(MAP_UPDATE_ELEM, &mut attr)?;
    bpf(MAP_FREEZE, &mut { map_fd }).map(drop)
}

/// Ids of all loaded programs, rising; ids are not used again before 2^31 others were. `None` where the kernel
/// won't list them, without CAP_SYS_ADMIN (kernel/bpf/syscall.c, `bpf_obj_get_next_id`).
pub fn program_ids() -> Option<Vec<u32>> {
    ids(PROG_GET_NEXT_ID)
}

/// Ids of all links (Linux 5.8). Attaching a program makes a trampoline, which is a symbol of its own.
pub fn link_ids() -> Option<Vec<u32>> {
    ids(LINK_GET_NEXT_ID)
}

fn ids(command: libc::c_int) -> Option<Vec<u32>> {
    let mut ids = Vec::new();
    let mut attr = IdAttr::default();
    let error = loop {
        if let Err(error) = bpf(command, &mut attr) {
            break error;
        }
        // The kernel gives ids in rising order; anything else would not end.
        if attr.next_id <= attr.id {
            return Some(ids);
        }
        ids.push(attr.next_id);
        attr = IdAttr {
            id: attr.next_id,
            ..IdAttr::default()
        };
    };
    (!ids.is_empty() || error.raw_os_error() == Some(libc::ENOENT)).then_some(ids)
}

/// A loaded program by its id.
pub fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attr = IdAttr {
        id,
        ..IdAttr::default()
    };
    bpf(PROG_GET_FD_BY_ID, &mut attr).and_then(descriptor)
}

/// Time spent in a program (ns) and runs so far, while the kernel keeps such statistics (Linux 5.1).
pub fn run_cost(program: &OwnedFd) -> io::Result<(u64, u64)> {
    // `struct bpf_prog_info`: run_time_ns and run_cnt are at bytes 192 and 200.
    let mut info = [0u64; 26];
    object_info(program, &mut info)?;
    Ok((info[24], info[25]))
}

/// A program's id.
pub fn program_id(program: &OwnedFd) -> io::Result<u32> {
    // `struct bpf_prog_info` begins with the type and the id.
    let mut info = [0u32; 2];
    object_info(program, &mut info)?;
    Ok(info[1])
}

/// Has the kernel fill in the beginning of an object's `struct bpf_*_info`. Pointers in `info` are to live
/// buffers, as large as the counts beside them say.
pub fn object_info<T>(object: &OwnedFd, info: &mut T) -> io::Result<()> {
    let mut attr = InfoAttr {
        fd: object.as_raw_fd() as u32,
        info_len: size_of::<T>() as u32,
        info: std::ptr::from_mut(info) as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attr).map(drop)
}

/// Takes all entries, at most one, out of a hash map with 4-byte keys and values; how many there were.
pub fn take_batch(map: &OwnedFd) -> io::Result<u32> {
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
pub fn enable_run_time_stats() -> io::Result<OwnedFd> {
    const RUN_TIME: u32 = 0;
    descriptor(bpf(ENABLE_STATS, &mut { RUN_TIME })?)
}

/// Runs a program whenever the perf event takes a sample.
pub fn attach(event: &OwnedFd, program: &OwnedFd) -> io::Result<()> {
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
pub fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<libc::c_long> {
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

/// The descriptor that a command answered with.
pub fn descriptor(answer: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(answer).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel just returned this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
