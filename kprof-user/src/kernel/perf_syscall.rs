//! `perf_event_open(2)`, which libc doesn't bind.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// `perf_event_attr.type` of hardware events.
pub const TYPE_HARDWARE: u32 = 0;
/// `perf_event_attr.type` of software events.
pub const TYPE_SOFTWARE: u32 = 1;
/// `perf_event_attr.type` of tracepoints; the config is the tracepoint's id.
pub const TYPE_TRACEPOINT: u32 = 2;

/// [`Attr::flags`]: the event starts disabled.
pub const FLAG_DISABLED: u64 = 1 << 0;
/// [`Attr::flags`]: [`Attr::sample`] is a frequency in Hz, not a period.
pub const FLAG_FREQ: u64 = 1 << 10;

/// `struct perf_event_attr` up to `PERF_ATTR_SIZE_VER5` (`include/uapi/linux/perf_event.h`), which every
/// kernel from 4.1 on takes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Attr {
    /// Kind of event, such as [`TYPE_SOFTWARE`].
    pub type_: u32,
    /// Size of this struct; set by [`open`].
    pub size: u32,
    /// Which event of its kind.
    pub config: u64,
    /// Sample period, or frequency with [`FLAG_FREQ`]; 0 only counts.
    pub sample: u64,
    /// What a sample holds; 0 for BPF.
    pub sample_type: u64,
    /// What `read(2)` returns; 0: the count alone.
    pub read_format: u64,
    /// The bit field: [`FLAG_DISABLED`] and the like.
    pub flags: u64,
    /// Events or bytes to a wake-up.
    pub wakeup: u32,
    /// Kind of breakpoint.
    pub bp_type: u32,
    /// Extensions of `config`.
    pub config1: u64,
    /// Extensions of `config`.
    pub config2: u64,
    /// Which branches to record.
    pub branch_sample_type: u64,
    /// Which user registers to record.
    pub sample_regs_user: u64,
    /// How much user stack to record.
    pub sample_stack_user: u32,
    /// Clock of the time stamps.
    pub clockid: i32,
    /// Which registers to record at an interrupt.
    pub sample_regs_intr: u64,
    /// When to wake an AUX reader.
    pub aux_watermark: u32,
    /// Most frames of a recorded stack.
    pub sample_max_stack: u16,
    /// Padding.
    pub reserved: u16,
}

const _: () = assert!(size_of::<Attr>() == 112);

/// Opens an event for all threads on one CPU, close-on-exec.
pub fn open(attr: &Attr, cpu: u32) -> io::Result<OwnedFd> {
    let attr = Attr {
        size: size_of::<Attr>() as u32,
        ..*attr
    };
    let cpu = libc::c_int::try_from(cpu).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    const ALL_THREADS: libc::pid_t = -1;
    const NO_GROUP: libc::c_int = -1;
    const CLOEXEC: libc::c_ulong = 1 << 3;
    // SAFETY: `attr` is a live perf_event_attr whose `size` is its true size; the kernel only reads it.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            ALL_THREADS,
            cpu,
            NO_GROUP,
            CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned this descriptor, and nothing else owns it. It fits: descriptors
    // are ints.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
