//! Modules and BPF programs that come and go while kprof samples: what comes has its name, and what went leaves its
//! place to no other name.

use std::net::UdpSocket;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kprof_tests::bpf::{self, Program};
use kprof_tests::burn::Burner;
use kprof_tests::folded::{self, Line};
use kprof_tests::kernel_code::{self, Module};
use kprof_tests::{Outcome, Skip, kprof, live, signal, wait, wait_for_samples, wait_until};

kprof_tests::suite![
    own machine:
    a_module_that_comes_is_named,
    a_module_that_went_is_not_named_after_its_neighbour,
    a_module_that_went_is_not_named_after_its_successor,
    a_program_that_comes_is_named,
    a_program_that_went_is_not_named_after_its_successor,
];

/// CPU time that is long enough for hundreds of samples.
const LONG: Duration = Duration::from_millis(1500);
/// With nothing, names are given at the end; else as windows come.
const MODES: [&[&str]; 2] = [&[], &["-i", "300ms"]];

/// A capture of one thread by its name; ends when dropped.
struct Capture {
    child: Child,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Capture {
    fn start(comm: &str, more: &[&str]) -> Capture {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("k.folded");
        let mut command = kprof();
        command
            .args(["-d", "120", "-F", "1999", "--comm", comm, "-o"])
            .arg(&file);
        let mut child = command.args(more).stdout(Stdio::null()).spawn().unwrap();
        wait_for_samples(&mut child, 1);
        Capture {
            child,
            file,
            _folder: folder,
        }
    }

    fn end(mut self) -> Vec<Line> {
        signal(&self.child, libc::SIGINT);
        assert_eq!(wait(&mut self.child, Duration::from_secs(60)), Some(0));
        folded::parse(&std::fs::read_to_string(&self.file).unwrap())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Packets to nowhere: a thread that sends to the interface of the module `dummy`, which drops them.
struct Packets(Burner);

const SENDER: &str = "kp-packets";

impl Packets {
    fn start() -> Packets {
        for words in ["addr add 192.0.2.1/24 dev dummy0", "link set dummy0 up"] {
            let done = Command::new("ip").args(words.split(' ')).status().unwrap();
            assert!(done.success(), "ip {words}: {done}");
        }
        let socket = UdpSocket::bind("192.0.2.1:0").unwrap();
        socket.connect("192.0.2.2:9").unwrap();
        Packets(Burner::doing(SENDER, move || {
            for _ in 0..1000 {
                // The interface may be gone.
                let _ = socket.send(b"to nowhere");
            }
        }))
    }
}

/// What drivers' functions are called from, to send a packet.
const CALLER: &str = "dev_hard_start_xmit";

/// The frames in the place of the driver's function, once each.
fn callees(lines: &[Line]) -> Vec<&str> {
    let mut found: Vec<&str> = lines
        .iter()
        .filter_map(|line| {
            let at = line.frames.iter().position(|frame| frame == CALLER)?;
            line.frames.get(at + 1).map(String::as_str)
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Frames of modules, once each.
fn of_modules(lines: &[Line]) -> Vec<&str> {
    let frames = lines.iter().flat_map(|line| &line.frames);
    let mut found: Vec<&str> = frames
        .map(String::as_str)
        .filter(|frame| frame.ends_with(']') && !frame.starts_with('['))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// What stands for an address that no symbol holds.
const UNKNOWN: &str = "[unknown: outside all symbols]";

fn a_module_that_comes_is_named() -> Outcome {
    let _live = live()?;
    for mode in MODES {
        let capture = Capture::start(SENDER, mode);
        let module = Module::load("dummy")?;
        let packets = Packets::start();
        packets.0.burn(LONG);
        let functions = kernel_code::symbols("dummy")?;
        let lines = capture.end();
        drop(packets);
        module.unload();
        let found = callees(&lines);
        assert!(found.contains(&"dummy_xmit [dummy]"), "{mode:?}: {found:?}");
        for frame in of_modules(&lines) {
            let is = |(_, name): &(u64, String)| frame == format!("{name} [dummy]");
            assert!(functions.iter().any(is), "{mode:?}: {frame}");
        }
        assert_eq!(folded::through(&lines, UNKNOWN), 0, "{mode:?}: {lines:?}");
    }
    Ok(())
}

/// First and last function of a module.
fn place(module: &str) -> Result<RangeInclusive<u64>, Skip> {
    let functions = kernel_code::symbols(module)?;
    let addresses = functions.iter().map(|(address, _)| *address);
    let ends = addresses.clone().min().zip(addresses.max());
    Ok(ends.map_or(0..=0, |(first, last)| first..=last))
}

/// Samples the module `dummy`, then has it and its `neighbours` go, and `meanwhile` happen, before kprof ends.
fn after_dummy<T>(
    neighbours: &[&'static str],
    meanwhile: impl FnOnce(RangeInclusive<u64>) -> Result<T, Skip>,
) -> Result<(Vec<Line>, T), Skip> {
    let module = Module::load("dummy")?;
    let was_at = place("dummy")?;
    let neighbours = neighbours.iter().map(|name| Module::load(name));
    let neighbours = neighbours.collect::<Result<Vec<_>, _>>()?;
    let packets = Packets::start();
    let capture = Capture::start(SENDER, &[]);
    packets.0.burn(LONG);
    drop(packets);
    module.unload();
    drop(neighbours);
    let happened = meanwhile(was_at)?;
    Ok((capture.end(), happened))
}

#[track_caller]
fn check_unknown(lines: &[Line]) {
    let found = callees(lines);
    assert!(found.contains(&UNKNOWN), "{found:?}");
    assert_eq!(of_modules(lines), [""; 0]);
}

fn a_module_that_went_is_not_named_after_its_neighbour() -> Outcome {
    let _live = live()?;
    let (lines, ()) = after_dummy(&[], |_| Ok(()))?;
    check_unknown(&lines);
    Ok(())
}

fn a_module_that_went_is_not_named_after_its_successor() -> Outcome {
    let _live = live()?;
    let _fillers = Program::fill_gaps().unwrap();
    // Linux 5.10 (`find_vmap_lowest_match`, mm/vmalloc.c) puts nothing where nothing would be left over, so the
    // gap is made larger.
    let (lines, _successor) = after_dummy(&["nlmon"], |was_at| {
        let module = Module::load("ifb")?;
        let is_at = place("ifb")?;
        if is_at.start() > was_at.end() || was_at.start() > is_at.end() {
            return Err(Skip::because(format_args!(
                "the kernel put the other module at {is_at:x?}, and not at {was_at:x?}"
            )));
        }
        Ok(module)
    })?;
    check_unknown(&lines);
    Ok(())
}

const RUNNER: &str = "kp-bpf";

/// A thread that runs a program. The program is there for as long as anyone has it.
fn runner(program: &Arc<Program>) -> Burner {
    let program = Arc::clone(program);
    Burner::doing(RUNNER, move || program.run().expect("run a BPF program"))
}

fn a_program_that_comes_is_named() -> Outcome {
    let _live = live()?;
    for mode in MODES {
        let capture = Capture::start(RUNNER, mode);
        let program = Arc::new(Program::load("kp_comes", 3).unwrap());
        let busy = runner(&program);
        busy.burn(LONG);
        let listed = bpf::listed("kp_comes")?;
        let lines = capture.end();
        drop(busy);
        let [(_, name)] = &listed[..] else {
            return Err(Skip::because(format_args!(
                "the kernel lists no names of BPF programs: {listed:?}"
            )));
        };
        let inside = folded::through(&lines, &format!("{name} [bpf]"));
        let total = folded::total(&lines);
        // All but calls of the kernel are in it.
        assert!(
            inside * 2 > total,
            "{mode:?}: {inside} of {total}: {lines:?}"
        );
        assert_eq!(folded::through(&lines, UNKNOWN), 0, "{mode:?}: {lines:?}");
    }
    Ok(())
}

fn a_program_that_went_is_not_named_after_its_successor() -> Outcome {
    /// Programs that are loaded until one lies where the first one was.
    const TRIES: i32 = 20;
    let _live = live()?;
    let program = Arc::new(Program::load("kp_goes", 3).unwrap());
    let [(place, _)] = bpf::listed("kp_goes")?[..] else {
        return Err(Skip::because("the kernel lists no names of BPF programs"));
    };
    let busy = runner(&program);
    let capture = Capture::start(RUNNER, &[]);
    busy.burn(LONG);
    drop((busy, program));
    wait_until("a program is gone", Duration::from_secs(20), || {
        bpf::listed("kp_goes").is_ok_and(|listed| listed.is_empty())
    });
    let mut others = Vec::new();
    for factor in 5..5 + TRIES {
        others.push(Program::load("kp_follows", factor).unwrap());
        let near = |(address, _): &(u64, String)| address.abs_diff(place) < 4096;
        if bpf::listed("kp_follows")?.iter().any(near) {
            let lines = capture.end();
            let frames = lines.iter().flat_map(|line| &line.frames);
            let wrong: Vec<&String> = frames.filter(|frame| frame.ends_with(" [bpf]")).collect();
            assert!(wrong.is_empty(), "{wrong:?}");
            let unknown = folded::through(&lines, UNKNOWN);
            assert!(unknown * 2 > folded::total(&lines), "{lines:?}");
            return Ok(());
        }
    }
    capture.end();
    Err(Skip::because("the kernel put the other programs elsewhere"))
}
