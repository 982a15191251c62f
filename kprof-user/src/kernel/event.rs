//! Events by perf's names.

use std::io;

use anyhow::{Context, Result, bail};

use super::perf_syscall::{self, Attr, TYPE_HARDWARE, TYPE_SOFTWARE, TYPE_TRACEPOINT};
use super::{cpus, nearest, refusal, tracefs};

/// What makes the kernel take a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The name shown to people: perf's own, never `auto`.
    pub name: String,
    /// `perf_event_attr.type`. Tracepoints (2) take a BPF program of the tracepoint type, which runs at
    /// every hit whatever the period.
    pub type_: u32,
    /// `perf_event_attr.config`.
    pub config: u64,
    /// A kernel timer takes the samples: code that runs with interrupts off is not seen.
    pub timer_driven: bool,
    /// A hardware counter (PMU) takes the samples.
    pub hardware: bool,
    /// The counter counts time or CPU cycles, so that shares of samples are shares of CPU time.
    pub is_time: bool,
}

/// One event of perf's fixed lists (`include/uapi/linux/perf_event.h`).
struct Known {
    /// The name kprof shows, then perf's other names of the same event.
    names: &'static [&'static str],
    type_: u32,
    config: u64,
    is_time: bool,
}

const fn hardware(config: u64, names: &'static [&'static str], is_time: bool) -> Known {
    Known {
        names,
        type_: TYPE_HARDWARE,
        config,
        is_time,
    }
}

const fn software(config: u64, names: &'static [&'static str], is_time: bool) -> Known {
    Known {
        names,
        type_: TYPE_SOFTWARE,
        config,
        is_time,
    }
}

const CYCLES: Known = hardware(0, &["cycles", "cpu-cycles"], true);
const CPU_CLOCK: Known = software(0, &["cpu-clock"], true);

const KNOWN: &[Known] = &[
    CYCLES,
    hardware(1, &["instructions"], false),
    hardware(2, &["cache-references"], false),
    hardware(3, &["cache-misses"], false),
    hardware(4, &["branches", "branch-instructions"], false),
    hardware(5, &["branch-misses"], false),
    hardware(6, &["bus-cycles"], false),
    hardware(
        7,
        &["stalled-cycles-frontend", "idle-cycles-frontend"],
        false,
    ),
    hardware(8, &["stalled-cycles-backend", "idle-cycles-backend"], false),
    hardware(9, &["ref-cycles"], true),
    CPU_CLOCK,
    software(1, &["task-clock"], true),
    software(2, &["page-faults", "faults"], false),
    software(3, &["context-switches", "cs"], false),
    software(4, &["cpu-migrations", "migrations"], false),
    software(5, &["minor-faults"], false),
    software(6, &["major-faults"], false),
    software(7, &["alignment-faults"], false),
    software(8, &["emulation-faults"], false),
];

impl Known {
    fn event(&self) -> Event {
        let software = self.type_ == TYPE_SOFTWARE;
        Event {
            name: self.names[0].to_owned(),
            type_: self.type_,
            config: self.config,
            timer_driven: software && self.is_time,
            hardware: self.type_ == TYPE_HARDWARE,
            is_time: self.is_time,
        }
    }
}

impl Event {
    /// Finds the event that `name` means; `auto` is [`Event::auto`]. Refuses an event that this machine can't
    /// sample.
    pub fn parse(name: &str) -> Result<Event> {
        if name == "auto" {
            return Ok(Event::auto());
        }
        if let Some(known) = find(name) {
            let event = known.event();
            if event.hardware && !works(&event) {
                let lack = match has_pmu() {
                    Some(true) => refusal::no_such_counter(),
                    _ => refusal::no_pmu(),
                };
                bail!(
                    "cannot sample the event {}: {}. {}",
                    event.name,
                    lack.cause,
                    lack.mend
                );
            }
            return Ok(event);
        }
        match name.split_once(':') {
            Some((before, modifier)) if find(before).is_some() => bail!(
                "the event \"{name}\" has the modifier \":{modifier}\", which kprof doesn't take: it samples kernel \
                 and user mode and keeps kernel stacks. Write --event {before}"
            ),
            Some((system, point)) => tracepoint(system, point),
            None => bail!("{}", unknown(name)),
        }
    }

    /// `cycles` where a PMU works, else `cpu-clock`; [`Event::name`] says which.
    pub fn auto() -> Event {
        let cycles = CYCLES.event();
        if works(&cycles) {
            cycles
        } else {
            CPU_CLOCK.event()
        }
    }

    /// Whether this is a tracepoint.
    pub fn is_tracepoint(&self) -> bool {
        self.type_ == TYPE_TRACEPOINT
    }
}

fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.names.contains(&name))
}

/// Opens the event on one CPU as one that takes samples, and closes it.
fn probe(event: &Event) -> io::Result<()> {
    let cpu = cpus::online().ok().and_then(|cpus| cpus.first().copied());
    let attr = Attr {
        type_: event.type_,
        config: event.config,
        // A period never reached: asking for samples makes a PMU without interrupts refuse.
        sample: 1 << 40,
        flags: perf_syscall::FLAG_DISABLED,
        ..Attr::default()
    };
    perf_syscall::open(&attr, cpu.unwrap_or(0)).map(drop)
}

/// Whether this machine has a counter for the event, as far as this process may know: lack of permission
/// says nothing about the machine, and is refused when the event is opened in earnest.
fn works(event: &Event) -> bool {
    match probe(event) {
        Ok(()) => true,
        // No counter of this kind; or one that can't sample; or no driver.
        Err(error) => !matches!(
            error.raw_os_error(),
            Some(
                libc::ENOENT
                    | libc::EOPNOTSUPP
                    | libc::ENODEV
                    | libc::ENXIO
                    | libc::EINVAL
                    | libc::ENOSYS
            )
        ),
    }
}

/// Whether a PMU takes samples here; `None` where this process isn't allowed to know.
pub fn has_pmu() -> Option<bool> {
    match probe(&CYCLES.event()) {
        Ok(()) => Some(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM)) => None,
        Err(_) => Some(false),
    }
}

/// Whether a part of a tracepoint's name may become a part of a path.
pub(super) fn is_plain(part: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"_-".contains(&c);
    !part.is_empty() && part.bytes().all(plain)
}

fn tracepoint(system: &str, point: &str) -> Result<Event> {
    let name = format!("{system}:{point}");
    if !is_plain(system) || !is_plain(point) {
        bail!(
            "\"{name}\" is not the name of a tracepoint: write one as system:name, such as sched:sched_switch"
        );
    }
    let tracefs = match tracefs::find() {
        Ok(tracefs) => tracefs,
        Err(lack) => bail!(
            "cannot look up the tracepoint {name}: {}. {}",
            lack.cause,
            lack.mend
        ),
    };
    let config = match tracefs.id(system, point) {
        Ok(id) => id,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!(
                "there is no tracepoint {name} on this kernel{} `perf list tracepoint` lists those there are",
                did_you_mean(&near_tracepoints(&tracefs, system, point))
            )
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let lack = refusal::tracefs_denied();
            bail!(
                "cannot look up the tracepoint {name}: {}. {}",
                lack.cause,
                lack.mend
            )
        }
        Err(error) => {
            return Err(error).context(format!("cannot read the id of the tracepoint {name}"));
        }
    };
    Ok(Event {
        name,
        type_: TYPE_TRACEPOINT,
        config,
        timer_driven: false,
        hardware: false,
        is_time: false,
    })
}

/// Tracepoints of the system; or, where that isn't known either, the same or a like name in other systems.
fn near_tracepoints(tracefs: &tracefs::Tracefs, system: &str, point: &str) -> Vec<String> {
    let systems = tracefs.systems().unwrap_or_default();
    if systems.iter().any(|s| s == system) {
        let points = tracefs.points(system).unwrap_or_default();
        return nearest::of(point, points.iter().map(String::as_str))
            .into_iter()
            .map(|p| format!("{system}:{p}"))
            .collect();
    }
    let mut near: Vec<String> = nearest::of(system, systems.iter().map(String::as_str))
        .into_iter()
        .filter(|s| tracefs.id(s, point).is_ok())
        .map(|s| format!("{s}:{point}"))
        .collect();
    if near.is_empty() {
        near = systems
            .iter()
            .filter(|s| tracefs.id(s, point).is_ok())
            .map(|s| format!("{s}:{point}"))
            .collect();
    }
    near
}

pub(super) fn unknown(name: &str) -> String {
    if name == "bpf-output" || name == "dummy" {
        return format!(
            "the event \"{name}\" takes no samples. Write --event cpu-clock, or leave --event out"
        );
    }
    let names = KNOWN.iter().flat_map(|known| known.names.iter().copied());
    format!(
        "there is no event \"{name}\"{} There are auto, {}, and tracepoints as system:name",
        did_you_mean(&nearest::of(name, names.chain(["auto"]))),
        KNOWN
            .iter()
            .map(|known| known.names[0])
            .collect::<Vec<_>>()
            .join(", ")
    )
}

fn did_you_mean<S: AsRef<str>>(near: &[S]) -> String {
    match near {
        [] => ".".to_owned(),
        near => {
            let near: Vec<&str> = near.iter().take(3).map(AsRef::as_ref).collect();
            format!(", did you mean {}?", near.join(" or "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_events_have_perfs_numbers() {
        for (name, config, shown) in [
            ("cpu-clock", 0, "cpu-clock"),
            ("faults", 2, "page-faults"),
            ("cs", 3, "context-switches"),
            ("major-faults", 6, "major-faults"),
        ] {
            let event = Event::parse(name).unwrap();
            assert_eq!(
                (event.type_, event.config, event.name.as_str()),
                (1, config, shown)
            );
            assert_eq!(event.timer_driven, name == "cpu-clock");
        }
    }

    #[test]
    fn auto_is_a_time_event_with_a_name_of_its_own() {
        let event = Event::parse("auto").unwrap();
        assert!(event.is_time);
        assert!(["cycles", "cpu-clock"].contains(&event.name.as_str()));
        assert_eq!(event.hardware, !event.timer_driven);
    }

    #[test]
    fn unknown_names_bring_near_ones() {
        let error = |name: &str| Event::parse(name).unwrap_err().to_string();
        assert!(
            error("page-fault").contains("did you mean page-faults"),
            "{}",
            error("page-fault")
        );
        assert!(
            error("cycels").contains("did you mean cycles"),
            "{}",
            error("cycels")
        );
        assert!(error("bpf-output").contains("no samples"));
        assert!(error("cycles:k").contains("--event cycles"));
        assert!(error("../x:y").contains("system:name"));
        assert!(error("sched:").contains("system:name"));
    }

    #[test]
    fn no_name_is_given_twice() {
        let mut names: Vec<_> = KNOWN.iter().flat_map(|known| known.names).collect();
        names.sort();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
