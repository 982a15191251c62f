//! CPUs that go offline and come online while kprof samples.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kprof_tests::audit::Account;
use kprof_tests::burn::{self, Burner};
use kprof_tests::windows::assert_nothing_lost;
use kprof_tests::{Outcome, live};

use crate::capture::Running;
use crate::cpus::{Removable, online};

const HZ: u64 = 199;
/// A busy thread has more samples than these in a second or two, however slow the machine is.
const FEW: u64 = 20;
const MS: fn(u64) -> Duration = Duration::from_millis;

/// Now, by the clock that the starts of windows are told by.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// The windows that began more than one window after a moment, without the last one, which may be short.
fn well_after(windows: &[Account], moment: Duration) -> &[Account] {
    let (_, whole) = windows.split_last().expect("windows");
    let is_after = |window: &Account| window.start > moment;
    let first = whole.iter().position(is_after).expect("a window after it");
    &whole[first + 1..]
}

pub(crate) fn a_cpu_that_goes_and_returns_is_sampled_again() -> Outcome {
    let _live = live()?;
    let cpu = Removable::one()?;
    let all = online().len() as u64;
    let flags = [
        "-F",
        &HZ.to_string(),
        "-i",
        "500ms",
        "-e",
        "cpu-clock",
        "--comm",
        "kp-back",
    ];
    let running = Running::start(&flags);
    std::thread::sleep(MS(1000));
    let gone = now();
    cpu.take_away();
    std::thread::sleep(MS(1200));
    cpu.bring_back();
    let back = now();
    let away = (back - gone).as_secs_f64();
    let busy = Burner::pinned("kp-back", cpu.number);
    std::thread::sleep(MS(2500));
    let ended = running.end();
    let used = busy.cpu_time();
    drop(busy);

    assert_nothing_lost(&ended.windows, all);
    for window in &ended.windows[..ended.windows.len() - 1] {
        assert!(window.filtered > 0, "{window:?} of {:#?}", ended.windows);
    }
    // No later than one window after the one in which it came back.
    let after = well_after(&ended.windows, back);
    assert!(!after.is_empty(), "{:#?}", ended.windows);
    for window in after {
        assert!(window.counted > 0, "{window:?} of {:#?}", ended.windows);
    }
    let back = ended.of("kp-back");
    eprintln!("kp-back has {back} samples in {used:?} of CPU");
    assert!(back > FEW, "{back} samples of kp-back");
    assert!(
        back as f64 <= HZ as f64 * used.as_secs_f64() * 1.05 + 2.0,
        "{back} samples in {used:?}"
    );
    // Samples were due on all CPUs but this one, and on this one while it was there and had been found.
    let expected = ended.number("expected") as f64 / HZ as f64;
    let whole = ended.duration().as_secs_f64() * all as f64;
    eprintln!("due for {expected:.2} of {whole:.2} CPU seconds; away for {away:.2} s");
    assert!(
        expected < whole - 1.1,
        "due for {expected:.2} of {whole:.2} CPU seconds"
    );
    assert!(
        expected > whole * 0.9 - away - 1.5,
        "due for {expected:.2} of {whole:.2} CPU seconds"
    );
    assert_told(&ended.said, &ended.report, cpu.number);
    assert_eq!(ended.number("cpus"), all);
    Ok(())
}

/// That one CPU was there for part of the time, and nothing else.
#[track_caller]
fn assert_told(said: &str, report: &str, cpu: u32) {
    assert_eq!(
        said,
        format!(
            "kprof: CPU {cpu} was offline for part of the time; it was sampled while it was online\n"
        )
    );
    assert!(
        report.contains(&format!("; {cpu} for part of the time)")),
        "{report}"
    );
}

pub(crate) fn a_cpu_that_is_asked_for_before_it_is_online_is_sampled_once_it_is() -> Outcome {
    let _live = live()?;
    let cpu = Removable::one()?;
    cpu.take_away();
    let list = format!("0,{}", cpu.number);
    // One window alone: CPUs are looked for though nothing is drained. It has no table of counts of its own.
    let flags = [
        "-F",
        &HZ.to_string(),
        "-e",
        "cpu-clock",
        "--comm",
        "kp-*",
        "--cpu",
        &list,
    ];
    let running = Running::start(&flags);
    let _early = Burner::pinned("kp-early", 0);
    cpu.bring_back();
    let late = Burner::pinned("kp-late", cpu.number);
    // It looks once a second.
    std::thread::sleep(MS(3500));
    let ended = running.end();
    let used = late.cpu_time();

    assert_eq!(ended.windows.len(), 1, "{:#?}", ended.windows);
    assert_nothing_lost(&ended.windows, 2);
    let (late, early) = (ended.of("kp-late"), ended.of("kp-early"));
    eprintln!("kp-late has {late} samples in {used:?} of CPU, kp-early {early}");
    assert!(
        late > FEW && early > FEW,
        "{late} samples of CPU {}, {early} of CPU 0",
        cpu.number
    );
    assert!(
        late as f64 <= HZ as f64 * used.as_secs_f64() * 1.05 + 2.0,
        "{late} samples in {used:?}"
    );
    let (asked, told) = ended.said.split_once('\n').unwrap_or_default();
    assert_eq!(
        asked,
        format!(
            "kprof: 1 of the CPUs of --cpu {list} is not online; the others are sampled, and it too once it comes online"
        )
    );
    assert_told(told, &ended.report, cpu.number);
    Ok(())
}

/// A look at which CPUs are online finds it there each time; only its event tells.
pub(crate) fn a_cpu_that_was_away_for_a_moment_is_sampled_again() -> Outcome {
    let _live = live()?;
    let cpu = Removable::one()?;
    let number = cpu.number.to_string();
    let flags = |event, rate: [&'static str; 2]| {
        [["-i", "1s"], ["--cpu", &number], ["-e", event], rate].concat()
    };
    let busy = working(cpu.number, fault);
    let events = [
        Running::start(&flags("cpu-clock", ["-F", "199"])),
        Running::start(&flags("page-faults", ["--period", "1"])),
    ];
    // After the first look of the later one; the earlier one looks at other times.
    std::thread::sleep(MS(1100));
    cpu.take_away();
    cpu.bring_back();
    let back = now();
    drop(busy);
    let _busy = working(cpu.number, fault);
    std::thread::sleep(MS(3300));
    for ended in events.map(Running::end) {
        // At any rate no later than one window after the one in which it came back.
        let after = well_after(&ended.windows, back);
        assert!(!after.is_empty(), "{back:?}: {:#?}", ended.windows);
        for window in after {
            assert!(
                window.seen > 0,
                "{back:?}: {window:?} of {:#?}",
                ended.windows
            );
        }
        assert_nothing_lost(&ended.windows, 2);
        assert_told(&ended.said, &ended.report, cpu.number);
    }
    Ok(())
}

/// A tracepoint has one list of programs, and kprof's is on it by the event of one CPU.
pub(crate) fn a_tracepoint_outlives_the_first_of_its_cpus() -> Outcome {
    let _live = live()?;
    let cpus = Removable::last(2)?;
    let [first, second] = &cpus[..] else {
        unreachable!("two were asked for")
    };
    let list = format!("{},{}", first.number, second.number);
    let busy = working(second.number, send_a_signal);
    // Nobody else hits it. Emulators get it wrong when code is patched that other CPUs are running, as the scheduler's.
    let event = "signal:signal_generate";
    let running = Running::start(&["-e", event, "--cpu", &list, "-i", "500ms"]);
    first.take_away();
    let gone = now();
    std::thread::sleep(MS(3000));
    drop(busy);
    let ended = running.end();
    let after = well_after(&ended.windows, gone);
    let (last, after) = after.split_last().expect("a window before it stopped");
    assert!(!after.is_empty(), "{gone:?}: {:#?}", ended.windows);
    for window in after {
        assert!(
            window.seen > 0,
            "{window:?} before {last:?} of {:#?}",
            ended.windows
        );
    }
    assert_nothing_lost(&ended.windows, 0);
    assert_told(&ended.said, &ended.report, first.number);
    Ok(())
}

/// A thread that does something on one CPU, every few milliseconds.
fn working(cpu: u32, work: fn()) -> Background {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let thread = Background::start(move |over| {
        burn::pin(0, cpu);
        ready.send(()).expect("the test waits");
        while !over.load(Ordering::Relaxed) {
            work();
            std::thread::sleep(MS(3));
        }
    });
    is_ready.recv().expect("the thread to be pinned");
    thread
}

/// Takes two page faults: memory is only there once it is touched.
fn fault() {
    const LENGTH: usize = 2 << 12;
    // SAFETY: a new mapping, of which the first byte of each page is written before it goes.
    unsafe {
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        let memory = libc::mmap(std::ptr::null_mut(), LENGTH, protection, flags, -1, 0);
        assert_ne!(memory, libc::MAP_FAILED);
        memory.cast::<u8>().write_volatile(1);
        memory.cast::<u8>().add(LENGTH / 2).write_volatile(1);
        libc::munmap(memory, LENGTH);
    }
}

/// Sends this process a signal that it ignores, as any does by default.
fn send_a_signal() {
    // SAFETY: the call takes integers.
    unsafe { libc::kill(libc::getpid(), libc::SIGURG) };
}

/// A thread that runs until it is told, or this is dropped.
struct Background {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    fn start(work: impl FnOnce(&AtomicBool) + Send + 'static) -> Background {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        Background {
            over,
            thread: Some(std::thread::spawn(move || work(&told))),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(crate) fn a_cpu_that_comes_and_goes_all_the_time_costs_no_sample() -> Outcome {
    let _live = live()?;
    let cpu = Removable::one()?;
    let number = cpu.number;
    let times = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&times);
    // Kprof starts and ends while it goes on.
    let toggler = Background::start(move |over| {
        while !over.load(Ordering::Relaxed) {
            cpu.take_away();
            cpu.bring_back();
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let running = Running::start(&["-F", &HZ.to_string(), "-i", "50ms", "-e", "cpu-clock"]);
    let steady = Burner::pinned("kp-steady", 0);
    let before = steady.cpu_time();
    std::thread::sleep(MS(4000));
    let used = steady.cpu_time() - before;
    let ended = running.end();
    drop(toggler);
    let (samples, times) = (ended.of("kp-steady"), times.load(Ordering::Relaxed));
    let windows = ended.windows.len();
    eprintln!(
        "CPU {number} went and came {times} times; {windows} windows; kp-steady: {samples} samples, {used:?} used"
    );
    assert!(times > 3, "{times}");
    assert_nothing_lost(&ended.windows, online().len() as u64);
    assert!(samples > FEW, "{samples} samples in {used:?}");
    assert_told(&ended.said, &ended.report, number);
    Ok(())
}
