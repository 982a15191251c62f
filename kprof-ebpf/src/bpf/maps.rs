//! The maps. Their sizes here are placeholders: userspace sets the real ones when it loads.

use aya_ebpf::Global;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, CgroupArray, HashMap, PerCpuArray, StackTrace};
use kprof_ebpf::config::MAX_CGROUPS;
use kprof_ebpf::{CommTable, Config, CountSlot, CpuState, Key, SpillStack};

/// See [`Config`]; userspace writes it before the program is loaded.
#[unsafe(no_mangle)]
pub(crate) static CONFIG: Global<Config> = Global::new(Config {
    has_task_btf: 0,
    has_btf: 0,
    task_flags_offset: 0,
    task_comm_offset: 0,
    kthreads_only: 0,
    match_targets: 0,
    match_comm: 0,
    cgroups: 0,
    arch: 0,
    hit_period: 0,
    match_cpus: 0,
    slots: 0,
    pid_ns_dev: 0,
    padding: 0,
    pid_ns_ino: 0,
});

/// `BPF_F_MMAPABLE` of include/uapi/linux/bpf.h (Linux 5.5).
const MMAPABLE: u32 = 1 << 10;

/// Epoch and counters of each CPU. One inlined lookup and one page of memory for a sample that is
/// turned away.
#[map]
pub(crate) static CPU_STATE: Array<CpuState> = Array::with_max_entries(1, MMAPABLE);

/// Every CPU's table of counts, for each epoch: table `t` of epoch `e` starts at `(t * 2 + e) * slots`. Userspace
/// maps it into its memory.
#[map]
pub(crate) static COUNTS: Array<CountSlot> = Array::with_max_entries(1, MMAPABLE);

/// Room for a stack on its way to the spill map.
#[map]
pub(crate) static SCRATCH: PerCpuArray<SpillStack> = PerCpuArray::with_max_entries(1, 0);

/// Process and thread ids that count, with `config::target` bits.
#[map]
pub(crate) static TARGETS: HashMap<u32, u32> = HashMap::with_max_entries(1, 0);

/// Thread names that count.
#[map]
pub(crate) static COMM_TABLE: Array<CommTable> = Array::with_max_entries(1, 0);

/// Control groups that count.
#[map]
pub(crate) static CGROUPS: CgroupArray = CgroupArray::with_max_entries(MAX_CGROUPS as u32, 0);

/// Tracepoints only: 1 for each CPU that counts.
#[map]
pub(crate) static CPUS: Array<u32> = Array::with_max_entries(1, 0);

/// Tracepoints only: hits so far.
#[map]
pub(crate) static HITS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

#[map]
static STACKS_A: StackTrace = StackTrace::with_max_entries(1024, 0);
#[map]
static STACKS_B: StackTrace = StackTrace::with_max_entries(1024, 0);
#[map]
static OVERFLOW_A: HashMap<Key, u64> = HashMap::with_max_entries(1024, 0);
#[map]
static OVERFLOW_B: HashMap<Key, u64> = HashMap::with_max_entries(1024, 0);
#[map]
static SPILL_A: HashMap<u64, SpillStack> = HashMap::with_max_entries(256, 0);
#[map]
static SPILL_B: HashMap<u64, SpillStack> = HashMap::with_max_entries(256, 0);

/// One of the two sets of maps.
pub(crate) trait Epoch {
    const STACKS: &'static StackTrace;
    /// Counts that found no slot in their CPU's table.
    const OVERFLOW: &'static HashMap<Key, u64>;

    const SPILL: &'static HashMap<u64, SpillStack>;
}

/// Epoch 0.
pub(crate) enum EpochA {}
/// Epoch 1.
pub(crate) enum EpochB {}

impl Epoch for EpochA {
    const STACKS: &'static StackTrace = &STACKS_A;
    const OVERFLOW: &'static HashMap<Key, u64> = &OVERFLOW_A;
    const SPILL: &'static HashMap<u64, SpillStack> = &SPILL_A;
}

impl Epoch for EpochB {
    const STACKS: &'static StackTrace = &STACKS_B;
    const OVERFLOW: &'static HashMap<Key, u64> = &OVERFLOW_B;
    const SPILL: &'static HashMap<u64, SpillStack> = &SPILL_B;
}
