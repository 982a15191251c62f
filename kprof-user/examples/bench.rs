//! What a sample costs: kprof's program beside an empty one and one that only calls `bpf_get_stackid`, all
//! three on the same load at the same time: `bench [SECONDS] [HZ] [MILLIS]`. Filters as in `windows`.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use kprof::capture::{Capture, Filters, Request};
use kprof::kernel::comm::Patterns;
use kprof::kernel::cpus;
use kprof::kernel::event::Event;
use kprof::kernel::perf_syscall::{self, Attr, FLAG_DISABLED};
use kprof::kernel::sampling::Sampling;
use kprof::profile::Accounting;

const MAP_CREATE: libc::c_int = 0;
const PROG_LOAD: libc::c_int = 5;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const PROG_TYPE_PERF_EVENT: u32 = 7;
const MAP_TYPE_STACK_TRACE: u32 = 7;

/// One BPF instruction.
fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    u64::from(code)
        | u64::from(dst & 15) << 8
        | u64::from(src & 15) << 12
        | u64::from(off as u16) << 16
        | u64::from(imm as u32) << 32
}

fn bpf(command: libc::c_int, attr: &mut [u64; 16]) -> io::Result<i64> {
    // SAFETY: `attr` is live and as long as said; the pointers that callers put into it are live, too.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), 128) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(answer)
    }
}

fn fd(answer: i64) -> OwnedFd {
    // SAFETY: the kernel just made this descriptor for us.
    unsafe { OwnedFd::from_raw_fd(answer as i32) }
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn stack_map(buckets: u32) -> io::Result<OwnedFd> {
    let mut attr = [0; 16];
    attr[0] = pair(MAP_TYPE_STACK_TRACE, 4);
    attr[1] = pair(127 * 8, buckets);
    bpf(MAP_CREATE, &mut attr).map(fd)
}

fn program(code: &[u64]) -> io::Result<OwnedFd> {
    let license = c"GPL";
    let mut attr = [0; 16];
    attr[0] = pair(PROG_TYPE_PERF_EVENT, code.len() as u32);
    attr[1] = code.as_ptr() as u64;
    attr[2] = license.as_ptr() as u64;
    bpf(PROG_LOAD, &mut attr).map(fd)
}

/// Run time (ns) and runs.
fn cost(program: &OwnedFd) -> io::Result<(u64, u64)> {
    // `struct bpf_prog_info`: run_time_ns and run_cnt are at bytes 192 and 200.
    let mut info = [0u64; 32];
    let mut attr = [0; 16];
    attr[0] = pair(program.as_raw_fd() as u32, 256);
    attr[1] = info.as_mut_ptr() as u64;
    bpf(OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok((info[24], info[25]))
}

fn attach(program: &OwnedFd, hz: u64) -> anyhow::Result<Vec<OwnedFd>> {
    let attr = Attr {
        type_: 1,
        sample: 1_000_000_000 / hz,
        flags: FLAG_DISABLED,
        ..Attr::default()
    };
    let mut events = Vec::new();
    for cpu in cpus::online()? {
        let event = perf_syscall::open(&attr, cpu)?;
        for (request, argument) in [(0x4004_2408, program.as_raw_fd()), (0x2400, 0)] {
            // SAFETY: PERF_EVENT_IOC_SET_BPF and _ENABLE take integers.
            if unsafe { libc::ioctl(event.as_raw_fd(), request, argument) } < 0 {
                return Err(io::Error::last_os_error().into());
            }
        }
        events.push(event);
    }
    Ok(events)
}

fn main() -> anyhow::Result<()> {
    let arg = |n: usize, default: u64| {
        std::env::args()
            .nth(n)
            .and_then(|a| a.parse().ok())
            .unwrap_or(default)
    };
    let (seconds, hz, millis) = (arg(1, 10), arg(2, 999), arg(3, 500));
    let stacks = stack_map(16_384)?;
    let empty = program(&[insn(0xb7, 0, 0, 0, 0), insn(0x95, 0, 0, 0, 0)])?;
    let bare = program(&[
        insn(0x18, 2, 1, 0, stacks.as_raw_fd()),
        0,
        insn(0xb7, 3, 0, 0, 0),
        insn(0x85, 0, 0, 0, 27),
        insn(0xb7, 0, 0, 0, 0),
        insn(0x95, 0, 0, 0, 0),
    ])?;
    let comm = std::env::var("COMM").ok();
    let request = Request {
        event: Event::parse("cpu-clock")?,
        sampling: Sampling::Frequency(hz),
        cpus: None,
        filters: Filters {
            comm: comm.map(|c| Patterns::parse(&[c])).transpose()?,
            kthreads: std::env::var_os("KTHREADS").is_some(),
            ..Filters::default()
        },
        window: Duration::from_millis(millis),
        max_stacks: std::env::var("BUCKETS").ok().and_then(|n| n.parse().ok()),
    };
    // Timers that expire together run in the order in which they were started, and the first one pays
    // for what the caches lack: compare both orders.
    let bare_first = std::env::var_os("BARE_FIRST").is_some();
    let mut events: Vec<OwnedFd> = Vec::new();
    if bare_first {
        events = [attach(&bare, hz)?, attach(&empty, hz)?]
            .into_iter()
            .flatten()
            .collect();
    }
    let mut capture = Capture::start(&request)?;
    if !bare_first {
        events = [attach(&bare, hz)?, attach(&empty, hz)?]
            .into_iter()
            .flatten()
            .collect();
    }
    let mut total = Accounting::default();
    for _ in 0..seconds * 1000 / millis {
        std::thread::sleep(Duration::from_millis(millis));
        total.merge(&capture.drain()?.accounting);
    }
    total.merge(&capture.finish()?.accounting);
    let (empty, bare) = (cost(&empty)?, cost(&bare)?);
    drop(events);
    let each = |(time, runs): (u64, u64)| time as f64 / runs.max(1) as f64;
    let kprof = each((
        total.bpf_run_time_ns.unwrap_or(0),
        total.bpf_run_count.unwrap_or(0),
    ));
    println!(
        "empty {:.0} ns, bare {:.0} ns ({} runs), kprof {kprof:.0} ns ({} runs): {:.2} x bare, {:.2} x empty",
        each(empty),
        each(bare),
        bare.1,
        total.seen,
        kprof / each(bare),
        kprof / each(empty),
    );
    println!("{total:?}");
    Ok(())
}
