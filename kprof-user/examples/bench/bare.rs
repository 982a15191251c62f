//! The two programs that kprof is measured against: one that does nothing, and one that only takes the stack.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use kprof::kernel::bpf_syscall::{self, Insn, MapAttr, PROG_PERF_EVENT, RETURN_0};
use kprof::kernel::perf_syscall::{self, Attr, FLAG_DISABLED, TYPE_SOFTWARE};
use kprof::kernel::{cpus, stack_depth};

const MAP_TYPE_STACK_TRACE: u32 = 7;
/// `BPF_FUNC_get_stackid`.
const GET_STACKID: i32 = 27;
/// As many buckets as kprof has at most.
const BUCKETS: u32 = 16_384;

/// Both programs, loaded.
pub(crate) struct Bare {
    _stacks: OwnedFd,
    pub(crate) empty: OwnedFd,
    pub(crate) stackid: OwnedFd,
}

/// The events they run on; dropped, they stop.
pub(crate) struct Attached(#[expect(dead_code, reason = "held open")] Vec<OwnedFd>);

impl Bare {
    pub(crate) fn load() -> Result<Bare> {
        let stacks = bpf_syscall::create_map(&MapAttr {
            map_type: MAP_TYPE_STACK_TRACE,
            key_size: 4,
            value_size: stack_depth::max_frames()? * 8,
            max_entries: BUCKETS,
        })
        .context("cannot create the stack-trace map")?;
        // r2 = the map, in two halves; r3 = 0; get_stackid(r1 = context, r2, r3); return 0.
        let stackid = [
            Insn {
                code: 0x18,
                registers: 2 | 1 << 4,
                offset: 0,
                immediate: stacks.as_raw_fd(),
            },
            Insn::new(0, 0),
            Insn {
                registers: 3,
                ..Insn::new(0xb7, 0)
            },
            Insn::call(GET_STACKID),
            RETURN_0[0],
            RETURN_0[1],
        ];
        let load = |insns: &[Insn]| {
            bpf_syscall::try_program(PROG_PERF_EVENT, insns)
                .map_err(|(error, log)| anyhow::anyhow!("cannot load a program: {error}: {log}"))
        };
        Ok(Bare {
            empty: load(&RETURN_0)?,
            stackid: load(&stackid)?,
            _stacks: stacks,
        })
    }

    /// Runs both at this rate on every CPU, each on an event of its own, as kprof's.
    pub(crate) fn attach(&self, hz: u64) -> Result<Attached> {
        let attr = Attr {
            type_: TYPE_SOFTWARE,
            sample: 1_000_000_000 / hz,
            flags: FLAG_DISABLED,
            ..Attr::default()
        };
        let mut events = Vec::new();
        for program in [&self.stackid, &self.empty] {
            for cpu in cpus::online()? {
                let event = perf_syscall::open(&attr, cpu).context("cannot open an event")?;
                bpf_syscall::attach(&event, program).context("cannot attach a program")?;
                enable(&event).context("cannot enable an event")?;
                events.push(event);
            }
        }
        Ok(Attached(events))
    }
}

fn enable(event: &OwnedFd) -> io::Result<()> {
    const ENABLE: libc::c_ulong = 0x2400;
    // SAFETY: this request takes an integer.
    match unsafe { libc::ioctl(event.as_raw_fd(), ENABLE as _, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
