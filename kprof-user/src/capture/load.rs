//! Loads the BPF object: fills in the configuration, sizes the maps, loads the one program that is needed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use anyhow::{Context, Result, anyhow, bail};
use aya::maps::{Map, MapData, MapError};
use aya::programs::{PerfEvent, ProgramError, TracePoint};
use aya::{Ebpf, EbpfError, EbpfLoader};
use kprof_ebpf::config::{COMM_WORDS, MAX_CGROUPS, arch, target};
use kprof_ebpf::{CommTable, Config, CpuState, Key, MAX_FRAMES, SpillStack};

use super::Request;
use super::cpu_state::CpuStates;
use super::sizing::Sizes;
use super::sys::{Plain, Table};
use crate::kernel::btf;
use crate::kernel::cgroup;
use crate::kernel::cpus;
use crate::kernel::perf_syscall::TYPE_TRACEPOINT;
use crate::kernel::pid_ns::{self, Ids};
use crate::kernel::refusal::{self, Action};
use crate::kernel::sampling::Sampling;

/// The programs, as `cargo xtask build-ebpf` built them; the build script has checked that they are
/// those of the sources.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("KPROF_BPF_OBJECT"));

/// One of the two sets of maps.
#[derive(Debug)]
pub(super) struct EpochMaps {
    pub(super) stacks: Table<u32, [u64; MAX_FRAMES]>,
    pub(super) counts: Table<Key, u64>,
    pub(super) spill: Table<u64, SpillStack>,
}

/// What userspace needs of a loaded object.
#[derive(Debug)]
pub(super) struct Loaded {
    ebpf: Ebpf,
    program: &'static str,
    pub(super) cpus: CpuStates,
    pub(super) epochs: [EpochMaps; 2],
}

/// `Config` as aya wants it.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct PodConfig(Config);

// SAFETY: `repr(C)`, of integers only, without padding.
unsafe impl aya::Pod for PodConfig {}

impl Loaded {
    /// Loads the program for this request. Nothing runs yet.
    pub(super) fn load(request: &Request, sizes: &Sizes) -> Result<Loaded> {
        raise_memlock();
        let mut config = configure(request)?;
        let tracepoint = request.event.type_ == TYPE_TRACEPOINT;
        if config.has_btf == 1 {
            // Linux 5.11 has `bpf_get_current_task_btf`; trying is the only way to know.
            config.has_task_btf = 1;
            if let Ok(loaded) = try_load(request, sizes, config, tracepoint) {
                return Ok(loaded);
            }
            config.has_task_btf = 0;
        }
        try_load(request, sizes, config, tracepoint)
    }

    /// The program to attach.
    pub(super) fn program_fd(&self) -> Result<BorrowedFd<'_>> {
        let program = self
            .ebpf
            .program(self.program)
            .context("the BPF object lacks its program")?;
        Ok(program
            .fd()
            .context("the BPF program is not loaded")?
            .as_fd())
    }

    /// Time spent in the program (ns) and runs so far, while the kernel keeps such statistics.
    pub(super) fn run_cost(&self) -> Option<(u64, u64)> {
        let info = self.ebpf.program(self.program)?.info().ok()?;
        Some((info.run_time().as_nanos() as u64, info.run_count()))
    }
}

/// The read-only configuration of the program.
fn configure(request: &Request) -> Result<Config> {
    let filters = &request.filters;
    let mut config = Config {
        kthreads_only: filters.kthreads.into(),
        match_targets: u32::from(!filters.pids.is_empty() || !filters.tids.is_empty()),
        match_comm: filters
            .comm
            .as_ref()
            .map_or(0, |comm| words_in_use(&comm.table())),
        cgroups: filters.cgroups.len() as u32,
        arch: if cfg!(target_arch = "x86_64") {
            arch::X86_64
        } else if cfg!(target_arch = "aarch64") {
            arch::AARCH64
        } else {
            arch::OTHER
        },
        ..Config::default()
    };
    if filters.cgroups.len() > MAX_CGROUPS {
        bail!(
            "{} cgroups are too many: kprof can tell {MAX_CGROUPS} apart",
            filters.cgroups.len()
        );
    }
    if request.event.type_ == TYPE_TRACEPOINT {
        config.hit_period = match request.sampling {
            Sampling::Period(period) => u32::try_from(period).context("the period is too long")?,
            Sampling::Frequency(_) => 1,
        };
        config.match_cpus = request.cpus.is_some().into();
    }
    if let Ids::Of(namespace) = pid_ns::of_proc().ids {
        config.pid_ns_dev = namespace.dev;
        config.pid_ns_ino = namespace.ino;
    }
    match btf::task_offsets() {
        Ok(offsets) => {
            config.has_btf = 1;
            config.task_flags_offset = offsets.flags;
            config.task_comm_offset = offsets.comm;
        }
        Err(error) if filters.kthreads => {
            return Err(error.context(
                "cannot tell kernel threads: the kernel's type information (BTF) is needed",
            ));
        }
        Err(_) => {}
    }
    Ok(config)
}

/// How many words of the automaton's state any pattern uses.
fn words_in_use(table: &CommTable) -> u32 {
    let used = |i: &usize| table.start[*i] | table.accept[*i] | table.star[*i] != 0;
    (0..COMM_WORDS)
        .rev()
        .find(used)
        .map_or(1, |last| last as u32 + 1)
}

/// The bytes after which the automaton is still in some state, one bit each. NUL stands for the
/// empty name, which only the automaton can judge.
fn first_bytes(table: &CommTable) -> [u64; 4] {
    let mut allowed = [1, 0, 0, 0];
    for byte in 1..256 {
        let goes_on =
            (0..COMM_WORDS).any(|w| table.start[w] & (table.byte[byte][w] | table.star[w]) != 0);
        if goes_on {
            allowed[byte / 64] |= 1 << (byte % 64);
        }
    }
    allowed
}

fn try_load(request: &Request, sizes: &Sizes, config: Config, tracepoint: bool) -> Result<Loaded> {
    let filters = &request.filters;
    let config = PodConfig(config);
    let targets = (filters.pids.len() + filters.tids.len()).max(1) as u32;
    let cpus = request
        .cpus
        .iter()
        .flatten()
        .max()
        .map_or(1, |last| last + 1);
    let possible = possible_cpus()?;
    let mut loader = EbpfLoader::new();
    loader
        // The object relocates nothing against the kernel's types, and reading them all costs time and
        // memory at every start.
        .btf(None)
        .override_global("CONFIG", &config, true)
        .map_max_entries("STACKS_A", sizes.stacks)
        .map_max_entries("STACKS_B", sizes.stacks)
        .map_max_entries("COUNTS_A", sizes.counts)
        .map_max_entries("COUNTS_B", sizes.counts)
        .map_max_entries("SPILL_A", sizes.spill)
        .map_max_entries("SPILL_B", sizes.spill)
        .map_max_entries("TARGETS", targets)
        .map_max_entries("CPUS", cpus)
        .map_max_entries("CPU_STATE", possible);
    let mut ebpf = loader.load(OBJECT).map_err(explain_object)?;
    let program = if tracepoint {
        let program: &mut TracePoint = ebpf
            .program_mut("kprof_hit")
            .context("the BPF object lacks kprof_hit")?
            .try_into()?;
        program.load().map_err(explain_program)?;
        "kprof_hit"
    } else {
        let program: &mut PerfEvent = ebpf
            .program_mut("kprof")
            .context("the BPF object lacks kprof")?
            .try_into()?;
        program.load().map_err(explain_program)?;
        "kprof"
    };
    let epochs = [epoch_maps(&ebpf, "A")?, epoch_maps(&ebpf, "B")?];
    let cpu_state: Table<u32, CpuState> = table(&ebpf, "CPU_STATE")?;
    let mut cpus = CpuStates::map(cpu_state.fd(), possible)?;
    if let Some(comm) = &request.filters.comm {
        cpus.set_first_bytes(&first_bytes(&comm.table()));
    }
    fill_filters(&ebpf, request)?;
    Ok(Loaded {
        ebpf,
        program,
        cpus,
        epochs,
    })
}

/// One more than the highest number a CPU can ever have here.
fn possible_cpus() -> Result<u32> {
    const PATH: &str = "/sys/devices/system/cpu/possible";
    let text = std::fs::read_to_string(PATH)
        .with_context(|| format!("cannot read {PATH} for the CPUs that may come"))?;
    let cpus = cpus::parse_list(text.trim())?;
    Ok(cpus.last().map_or(1, |last| last + 1))
}

fn epoch_maps(ebpf: &Ebpf, letter: &str) -> Result<EpochMaps> {
    Ok(EpochMaps {
        stacks: table(ebpf, &format!("STACKS_{letter}"))?,
        counts: table(ebpf, &format!("COUNTS_{letter}"))?,
        spill: table(ebpf, &format!("SPILL_{letter}"))?,
    })
}

/// Writes the filters' maps, before any event runs.
fn fill_filters(ebpf: &Ebpf, request: &Request) -> Result<()> {
    let filters = &request.filters;
    let targets: Table<u32, u32> = table(ebpf, "TARGETS")?;
    for &pid in &filters.pids {
        let both = if filters.tids.contains(&pid) {
            target::THREAD
        } else {
            0
        };
        targets
            .set(&pid, &(target::PROCESS | both))
            .with_context(|| format!("cannot add process {pid} to the filter"))?;
    }
    for &tid in filters
        .tids
        .iter()
        .filter(|tid| !filters.pids.contains(tid))
    {
        targets
            .set(&tid, &target::THREAD)
            .with_context(|| format!("cannot add thread {tid} to the filter"))?;
    }
    if let Some(comm) = &filters.comm {
        let names: Table<u32, CommTable> = table(ebpf, "COMM_TABLE")?;
        names
            .set(&0, &comm.table())
            .context("cannot write the thread-name filter")?;
    }
    let groups: Table<u32, u32> = table(ebpf, "CGROUPS")?;
    for (index, path) in filters.cgroups.iter().enumerate() {
        let path = cgroup::resolve(path)?.path;
        let folder = File::open(&path)
            .with_context(|| format!("cannot open the cgroup {}", path.display()))?;
        groups
            .set(&(index as u32), &(folder.as_raw_fd() as u32))
            .with_context(|| format!("cannot filter by the cgroup {}", path.display()))?;
    }
    if let Some(cpus) = request
        .cpus
        .as_ref()
        .filter(|_| request.event.type_ == TYPE_TRACEPOINT)
    {
        let wanted: Table<u32, u32> = table(ebpf, "CPUS")?;
        for cpu in cpus {
            wanted
                .set(cpu, &1)
                .with_context(|| format!("cannot add CPU {cpu} to the filter"))?;
        }
    }
    Ok(())
}

/// A map by its name, as a table of our own.
fn table<K: Plain, V: Plain>(ebpf: &Ebpf, name: &str) -> Result<Table<K, V>> {
    let data = match ebpf.map(name) {
        Some(
            Map::Array(data)
            | Map::PerCpuArray(data)
            | Map::HashMap(data)
            | Map::StackTraceMap(data)
            | Map::CgroupArray(data),
        ) => data,
        _ => bail!("the BPF object has no map {name}: rebuild it with `cargo xtask build-ebpf`"),
    };
    make_table(data).with_context(|| format!("cannot use the map {name}"))
}

fn make_table<K: Plain, V: Plain>(data: &MapData) -> Result<Table<K, V>> {
    let info = data.info()?;
    Ok(Table::new(
        data.fd().as_fd().try_clone_to_owned()?,
        info.key_size(),
        info.value_size(),
    )?)
}

fn explain_object(error: EbpfError) -> anyhow::Error {
    match error {
        EbpfError::MapError(MapError::CreateError { io_error, name, .. }) => {
            let words = refusal::explain(&io_error, Action::CreateMap);
            anyhow!(words).context(format!(
                "cannot create the BPF map {}",
                String::from_utf8_lossy(name.as_bytes())
            ))
        }
        error => anyhow::Error::new(error).context("cannot load the BPF object"),
    }
}

fn explain_program(error: ProgramError) -> anyhow::Error {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            let words = refusal::explain(&io_error, Action::LoadProgram);
            let log = verifier_log.to_string();
            let error = anyhow!(words).context("cannot load the BPF program");
            // The end of the log says what the verifier refused.
            let tail: Vec<&str> = log.lines().rev().take(12).collect();
            if tail.is_empty()
                || io_error.kind() == io::ErrorKind::PermissionDenied && tail.len() < 2
            {
                return error;
            }
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            error.context(format!("the verifier's last words:\n{}", tail.join("\n")))
        }
        error => anyhow::Error::new(error).context("cannot load the BPF program"),
    }
}

/// Before Linux 5.11 maps count against this limit. Not being allowed to raise it is no error yet.
fn raise_memlock() {
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: `limit` is a live struct that the call only reads.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
}
