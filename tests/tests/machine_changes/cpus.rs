//! The machine's CPUs: which there are, how to take one away, and how well each is sampled.

use std::path::PathBuf;
use std::time::Duration;

use kprof_tests::burn::Burner;
use kprof_tests::{Outcome, Skip, live, windows};

use crate::capture::Running;

/// The CPUs that are online, ascending.
pub(crate) fn online() -> Vec<u32> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse::<u32>().unwrap()..=last.parse().unwrap());
    }
    cpus
}

/// A CPU that can be taken away; it is there again when this is dropped.
pub(crate) struct Removable {
    pub(crate) number: u32,
    switch: PathBuf,
}

impl Removable {
    /// The last `count` CPUs of the machine, ascending, if at least one is left besides.
    pub(crate) fn last(count: usize) -> Result<Vec<Removable>, Skip> {
        let online = online();
        if online.len() <= count {
            let (needed, there) = (count + 1, online.len());
            return Err(Skip::because(format_args!(
                "needs {needed} CPUs online, not {there}"
            )));
        }
        let cpus = online[online.len() - count..].iter().map(|&number| {
            let switch = format!("/sys/devices/system/cpu/cpu{number}/online").into();
            Removable { number, switch }
        });
        let cpus: Vec<Removable> = cpus.collect();
        match cpus.iter().find(|cpu| !cpu.switch.exists()) {
            Some(cpu) => Err(Skip::because(format_args!(
                "the kernel can't take CPU {} away",
                cpu.number
            ))),
            None => Ok(cpus),
        }
    }

    /// The last CPU.
    pub(crate) fn one() -> Result<Removable, Skip> {
        Ok(Removable::last(1)?.remove(0))
    }

    pub(crate) fn take_away(&self) {
        self.set("0");
    }

    pub(crate) fn bring_back(&self) {
        self.set("1");
    }

    fn set(&self, state: &str) {
        if let Err(error) = std::fs::write(&self.switch, state) {
            panic!("{state} to {}: {error}", self.switch.display());
        }
    }
}

impl Drop for Removable {
    fn drop(&mut self) {
        // Refused where it is online.
        let _ = std::fs::write(&self.switch, "1");
    }
}

pub(crate) fn every_cpu_is_sampled_as_often_as_is_due() -> Outcome {
    const HZ: u64 = 99;
    let _live = live()?;
    let cpus = online();
    let name = |cpu: &u32| format!("kp-on-{cpu}");
    let running = Running::start(&["-F", &HZ.to_string(), "-i", "500ms", "-e", "cpu-clock"]);
    let _busy: Vec<Burner> = cpus
        .iter()
        .map(|cpu| Burner::pinned(&name(cpu), *cpu))
        .collect();
    std::thread::sleep(Duration::from_millis(2500));
    let ended = running.end();

    windows::assert_nothing_lost(&ended.windows, cpus.len() as u64);
    let (seen, expected) = (ended.number("seen"), ended.number("expected"));
    let seconds = ended.duration().as_secs_f64();
    let due = HZ as f64 * seconds * cpus.len() as f64;
    eprintln!(
        "{} CPUs x {HZ} Hz x {seconds:.2} s = {due:.0} due; {expected} by the events' counts, {seen} seen",
        cpus.len()
    );
    // Events start and end one after the other, which takes its time where all CPUs are busy.
    assert!(
        (0.7..1.05).contains(&(expected as f64 / due)),
        "{expected} of {due:.0} due by the events' own counts"
    );
    // The kernel skips what it comes too late for, which a machine with more CPUs than its host has does a lot.
    let skipped = format!("; {} skipped by the kernel.", expected.saturating_sub(seen));
    assert!(
        ended.report.replace(',', "").contains(&skipped),
        "no {skipped} in: {}",
        ended.report
    );
    assert_eq!(ended.number("cpus"), cpus.len() as u64);
    for cpu in &cpus {
        let count = ended.of(&name(cpu));
        assert!(count >= 5, "CPU {cpu}: {count} samples in {seconds:.2} s");
        assert!(
            count as f64 <= HZ as f64 * seconds * 1.05 + 2.0,
            "CPU {cpu}: {count} samples in {seconds:.2} s"
        );
    }
    assert_eq!(ended.said, "");
    Ok(())
}
