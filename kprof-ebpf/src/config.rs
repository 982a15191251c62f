//! The read-only configuration: frozen before the program is loaded, so that the verifier removes
//! whatever it switches off.

/// Most cgroups one capture can be narrowed to.
pub const MAX_CGROUPS: usize = 8;

/// Injected as the read-only global `CONFIG`. Zero means "off" in every field but the offsets,
/// where [`Config::has_btf`] says whether they hold.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// 1 where `bpf_get_current_task_btf` exists (Linux 5.11): offsets are then plain loads.
    pub has_task_btf: u32,
    /// 1 where the offsets below come from the running kernel's BTF.
    pub has_btf: u32,
    /// Byte offset of `task_struct.flags`.
    pub task_flags_offset: u32,
    /// Byte offset of `task_struct.comm`.
    pub task_comm_offset: u32,
    /// 1: only tasks with `PF_KTHREAD`.
    pub kthreads_only: u32,
    /// 1: only threads whose tgid or tid is in the `TARGETS` map.
    pub match_targets: u32,
    /// Only threads whose name the `COMM_TABLE` accepts: how many words of its state are in use.
    pub match_comm: u32,
    /// How many of the cgroups are used; 0: all tasks.
    pub cgroups: u32,
    /// The running machine, one of [`arch`]: where the saved registers tell user mode.
    pub arch: u32,
    /// Tracepoints only: take every so many hits of a CPU; 0 and 1: every hit.
    pub hit_period: u32,
    /// Tracepoints only, 1: only CPUs that are in the `CPUS` map.
    pub match_cpus: u32,
    /// Slots of each CPU's table of counts and epoch, a power of two.
    pub slots: u32,
    /// Device of the pid namespace whose ids are used, as the kernel encodes it (`MKDEV` of
    /// include/linux/kdev_t.h).
    pub pid_ns_dev: u32,
    /// Not used.
    pub padding: u32,
    /// Its inode; 0: the ids are those of the initial pid namespace.
    pub pid_ns_ino: u64,
}

const _: () = assert!(size_of::<Config>() == 64);

/// Machines whose saved registers the programs can read.
pub mod arch {
    /// Any other: user mode is told by the missing kernel stack.
    pub const OTHER: u32 = 0;
    /// x86-64.
    pub const X86_64: u32 = 1;
    /// 64-bit Arm.
    pub const AARCH64: u32 = 2;
}

/// Words of state in a [`CommTable`].
pub const COMM_WORDS: usize = 4;

/// All `--comm` patterns as one bit-parallel automaton over the bytes of a thread's name.
///
/// Each bit is a position in one of the patterns. For each byte `c` of the name (its ending NUL not
/// among them), `state = ((state & byte[c]) << 1) | (state & star)`, then every position behind a star
/// that is reached is reached too: `state |= (state & star) << 1`. The name matches if, after
/// its last byte, `state & accept` is not zero. No pattern spans two words, so nothing need be carried
/// from one to the next, and a capture with few patterns has all of them in the first.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommTable {
    /// Positions that accept this byte.
    pub byte: [[u64; COMM_WORDS]; 256],
    /// Positions that are a `*`.
    pub star: [u64; COMM_WORDS],
    /// Positions that mean "matched", if the name ends there.
    pub accept: [u64; COMM_WORDS],
    /// Positions before the first byte.
    pub start: [u64; COMM_WORDS],
}

const _: () = assert!(size_of::<CommTable>() == 256 * 32 + 96);

/// What a key in the `TARGETS` map stands for.
pub mod target {
    /// The key is a process id.
    pub const PROCESS: u32 = 1;
    /// The key is a thread id.
    pub const THREAD: u32 = 2;
}
