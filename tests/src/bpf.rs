//! BPF programs that run long enough to be sampled.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::{Skip, kernel_code, rights};

/// Commands and the program type of include/uapi/linux/bpf.h.
const PROG_LOAD: libc::c_int = 5;
const PROG_TEST_RUN: libc::c_int = 10;
const SOCKET_FILTER: u32 = 1;

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Insn {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// The part of `union bpf_attr` that BPF_PROG_LOAD looks at.
#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

/// The part of `union bpf_attr` that BPF_PROG_TEST_RUN looks at.
#[repr(C)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
}

/// Multiplications in a program: compiled, it is some pages long.
const STEPS: usize = 3000;
/// Runs in one call: some milliseconds.
const RUNS: u32 = 300;
/// Bytes of a packet that the kernel takes.
const PACKET: usize = 64;

/// A loaded program; it goes with the value.
#[derive(Debug)]
pub struct Program(OwnedFd);

impl Program {
    /// Loads one under a name of up to 15 bytes; programs of different factors have different tags, and one length.
    pub fn load(name: &str, factor: i32) -> io::Result<Program> {
        Program::of_length(STEPS, name, factor)
    }

    /// Loads the smallest ones, which lie among modules before Linux 5.18: they fill the gaps that code left which was
    /// there before.
    pub fn fill_gaps() -> io::Result<Vec<Program>> {
        let small = |_| Program::of_length(0, "kp_filler", 1);
        (0..100).map(small).collect()
    }

    fn of_length(steps: usize, name: &str, factor: i32) -> io::Result<Program> {
        let step = |code, immediate| Insn {
            code,
            registers: 0,
            offset: 0,
            immediate,
        };
        // r0 = 1; r0 *= factor, many times; r0 = 0; exit
        let mut insns = vec![step(0xb7, 1)];
        insns.extend(std::iter::repeat_n(step(0x27, factor), steps));
        insns.extend([step(0xb7, 0), step(0x95, 0)]);
        let mut prog_name = [0; 16];
        prog_name[..name.len()].copy_from_slice(name.as_bytes());
        let mut attr = Load {
            prog_type: SOCKET_FILTER,
            insn_cnt: insns.len() as u32,
            insns: insns.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            log_level: 0,
            log_size: 0,
            log_buf: 0,
            kern_version: 0,
            prog_flags: 0,
            prog_name,
        };
        rights::lift_locked_memory();
        let fd = bpf(PROG_LOAD, &mut attr)?;
        // SAFETY: the kernel just returned this descriptor, and nothing else owns it.
        Ok(Program(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// Runs it for some milliseconds.
    pub fn run(&self) -> io::Result<()> {
        let packet = [0u8; PACKET];
        let mut attr = TestRun {
            prog_fd: self.0.as_raw_fd() as u32,
            retval: 0,
            data_size_in: PACKET as u32,
            data_size_out: 0,
            data_in: packet.as_ptr() as u64,
            data_out: 0,
            repeat: RUNS,
            duration: 0,
            ctx_size_in: 0,
            ctx_size_out: 0,
            ctx_in: 0,
            ctx_out: 0,
        };
        bpf(PROG_TEST_RUN, &mut attr).map(drop)
    }
}

/// Where the kernel lists the programs of this name, and as what: `bpf_prog_TAG_NAME`.
pub fn listed(name: &str) -> Result<Vec<(u64, String)>, Skip> {
    let end = format!("_{name}");
    let mut found = kernel_code::symbols("bpf")?;
    found.retain(|(_, symbol)| symbol.starts_with("bpf_prog_") && symbol.ends_with(&end));
    Ok(found)
}

fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: `attr` is laid out as this command's part of `union bpf_attr`, with its true size; the buffers behind its
    // pointers outlive the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<T>(),
        )
    };
    match answer {
        0.. => Ok(answer),
        _ => Err(io::Error::last_os_error()),
    }
}
