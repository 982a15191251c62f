//! From flags to a plan: everything that can be wrong is found here, before the kernel is touched.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::args::{DEFAULT_FREQUENCY, RecordArgs};
use super::failure::Failure;
use super::filters::{chosen_cpus, filters};
use super::output::Output;
use super::say::say;
use super::signals::Stop;
use crate::capture::{self, Request};
use crate::format::Format;
use crate::kernel::event::Event;
use crate::kernel::sampling::Sampling;
use crate::kernel::{btf, cpus, refusal};
use crate::profile::Show;
use crate::symbolize::Options;

/// `PERF_TYPE_TRACEPOINT` of linux/perf_event.h.
const TRACEPOINT: u32 = 2;

/// Samples due between two drains at most, which bounds the size of the maps.
const SAMPLES_PER_WINDOW: u64 = 16_384;
const LONGEST_WINDOW: Duration = Duration::from_secs(10);
const SHORTEST_WINDOW: Duration = Duration::from_millis(50);
/// So that a person at a terminal sees the number of samples move.
const PROGRESS_WINDOW: Duration = Duration::from_secs(1);

/// What goes to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stdout {
    /// The report, for a person.
    Report,
    /// Folded stacks, for a program.
    Folded,
    /// Nothing.
    Silent,
}

/// What `record` is going to do.
#[derive(Debug)]
pub(super) struct Plan {
    /// What to sample.
    pub(super) request: Request,
    /// Which samples the outputs show.
    pub(super) show: Show,
    /// `None`: until Ctrl-C.
    pub(super) duration: Option<Duration>,
    /// Print after each of these.
    pub(super) interval: Option<Duration>,
    /// What goes to standard output.
    pub(super) stdout: Stdout,
    /// Files with the whole capture.
    pub(super) outputs: Vec<(Output, Format)>,
    /// File for the accounting of the whole capture.
    pub(super) stats: Option<Output>,
    /// File for the accounting of each window.
    pub(super) stats_windows: Option<Output>,
    /// Options of the symbolizer.
    pub(super) symbols: Options,
    /// The filters in words.
    pub(super) filters: String,
    /// Show a progress line.
    pub(super) progress: bool,
    /// Keep notes to oneself.
    pub(super) quiet: bool,
}

/// Checks all flags, opens all outputs and blocks the signals that mean "stop".
pub(super) fn plan(args: &RecordArgs) -> Result<(Plan, Stop), Failure> {
    let duration = (!args.duration.is_zero()).then_some(args.duration);
    check_times(args, duration)?;
    let event = Event::parse(&args.event).map_err(Failure::Usage)?;
    let sampling = sampling(args, &event)?;
    sampling.check().map_err(Failure::Usage)?;
    if args.max_stacks == Some(0) {
        return Err(Failure::usage(
            "--max-stacks 0 leaves no room for any stack; leave it out to have it worked out",
        ));
    }
    if args.max_stacks > Some(capture::MAX_STACKS) {
        return Err(Failure::usage(format!(
            "--max-stacks is more than {} (maps of 1 GB each); leave it out to have it worked out",
            capture::MAX_STACKS
        )));
    }
    let chosen = args.cpu.as_deref().map(chosen_cpus).transpose()?;
    let filters = filters(args)?;
    let cpu_count = match &chosen {
        Some(chosen) => chosen.online,
        None => cpus::online()?.len(),
    } as u64;
    if let Some(vmlinux) = &args.vmlinux {
        std::fs::File::open(vmlinux)
            .with_context(|| format!("read --vmlinux {}", vmlinux.display()))?;
    }
    // A dumb terminal can't take back what it shows.
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let progress = !args.quiet && !dumb && std::io::stderr().is_terminal();
    let window = window(&sampling, cpu_count, duration, args.interval, progress);

    let (files, stop) = open(args)?;
    let absent = chosen.as_ref().map_or(0, |chosen| chosen.absent);
    if let (Some(list), 1.., false) = (&args.cpu, absent, args.quiet) {
        let (are, they, come) = match absent {
            1 => ("is", "it", "comes"),
            _ => ("are", "they", "come"),
        };
        say(format_args!(
            "{absent} of the CPUs of --cpu {list} {are} not online; the others are sampled, and {they} too once {they} \
             {come} online"
        ));
    }
    let pprof = files
        .outputs
        .iter()
        .find(|(_, format)| *format == Format::Pprof);
    if let (Some((output, _)), false) = (pprof, args.quiet || btf::is_shown()) {
        let lack = refusal::no_btf();
        say(format_args!(
            "{}: kernel threads aren't marked as such: {}. {}",
            output.path.display(),
            lack.cause,
            lack.mend
        ));
    }
    let stdout = match () {
        () if files.any_is_stdout() => Stdout::Silent,
        () if args.quiet && !args.output.is_empty() => Stdout::Silent,
        () if std::io::stdout().is_terminal() => Stdout::Report,
        () => Stdout::Folded,
    };
    let plan = Plan {
        request: Request {
            event,
            sampling,
            cpus: chosen.map(|chosen| chosen.cpus),
            filters,
            window,
            max_stacks: args.max_stacks,
        },
        show: Show {
            idle: args.show_idle,
            user: args.show_user,
            addresses: args.addresses,
            threads: args.threads,
        },
        duration,
        interval: args.interval,
        stdout,
        outputs: files.outputs,
        stats: files.stats,
        stats_windows: files.stats_windows,
        symbols: Options {
            lines: args.lines,
            vmlinux: args.vmlinux.clone(),
        },
        filters: args.filters(),
        progress,
        quiet: args.quiet,
    };
    Ok((plan, stop))
}

fn check_times(args: &RecordArgs, duration: Option<Duration>) -> Result<(), Failure> {
    match (args.interval, duration) {
        (Some(interval), _) if interval < Duration::from_millis(1) => Err(Failure::usage(
            "-i is shorter than 1ms; leave it out to print once, at the end",
        )),
        (Some(interval), Some(duration)) if interval > duration => Err(Failure::usage(
            "-i is longer than -d, so that no window would ever be complete; make -d longer or -i shorter",
        )),
        _ => Ok(()),
    }
}

fn sampling(args: &RecordArgs, event: &Event) -> Result<Sampling, Failure> {
    match (args.freq, args.period) {
        // A tracepoint's program runs at every hit, so that there is no rate to keep.
        (Some(hz), _) if event.type_ == TRACEPOINT => Err(Failure::usage(format!(
            "-F {hz} can't be kept with {}: a tracepoint is sampled at every hit, or with --period N at one in N",
            event.name
        ))),
        (_, Some(period)) if event.type_ == TRACEPOINT && u32::try_from(period).is_err() => {
            Err(Failure::usage(format!(
                "--period {period} is past the limit of {} for tracepoints",
                u32::MAX
            )))
        }
        (_, Some(period)) => Ok(Sampling::Period(period)),
        (Some(hz), None) => Ok(Sampling::Frequency(hz)),
        (None, None) if event.type_ == TRACEPOINT => Ok(Sampling::Period(1)),
        (None, None) => Ok(Sampling::Frequency(DEFAULT_FREQUENCY)),
    }
}

/// Time between two drains: as long as the maps stay small, and an even part of the interval.
fn window(
    sampling: &Sampling,
    cpus: u64,
    duration: Option<Duration>,
    interval: Option<Duration>,
    progress: bool,
) -> Duration {
    let room = match sampling {
        Sampling::Frequency(hz) => {
            Duration::from_secs_f64(SAMPLES_PER_WINDOW as f64 / (hz.max(&1) * cpus.max(1)) as f64)
        }
        // How often the event comes is not known beforehand.
        Sampling::Period(_) => Duration::from_secs(1),
    };
    let mut longest = room.clamp(SHORTEST_WINDOW, LONGEST_WINDOW);
    if progress {
        longest = longest.min(PROGRESS_WINDOW);
    }
    let whole = interval.or(duration).unwrap_or(longest);
    let parts = whole.as_nanos().div_ceil(longest.as_nanos()).max(1);
    Duration::from_nanos((whole.as_nanos() / parts) as u64)
}

struct Files {
    outputs: Vec<(Output, Format)>,
    stats: Option<Output>,
    stats_windows: Option<Output>,
}

impl Files {
    /// Whether standard output is taken: two texts there would be neither.
    fn any_is_stdout(&self) -> bool {
        let files = self.outputs.iter().map(|(output, _)| output);
        files
            .chain(&self.stats)
            .chain(&self.stats_windows)
            .any(Output::is_stdout)
    }
}

fn open(args: &RecordArgs) -> Result<(Files, Stop), Failure> {
    let formats = args
        .output
        .iter()
        .map(|path| format_of(path))
        .collect::<Result<Vec<_>, _>>()?;
    let mut paths: Vec<&std::path::Path> = args.output.iter().map(AsRef::as_ref).collect();
    paths.extend(args.stats.as_deref());
    paths.extend(args.stats_windows.as_deref());

    // A pipe without a reader makes the opening wait, and Ctrl-C has to end that wait; nothing is to be cleaned
    // up yet. From the first temporary file on, signals wait their turn.
    let mut opened: Vec<Option<Output>> = Vec::new();
    for path in &paths {
        opened.push(if Output::is_special(path) {
            Some(Output::open(path)?)
        } else {
            None
        });
    }
    let stop = Stop::block();
    for (slot, path) in opened.iter_mut().zip(&paths) {
        if slot.is_none() {
            *slot = Some(Output::open(path)?);
        }
    }
    let mut opened: Vec<Output> = opened.into_iter().flatten().collect();
    for (i, a) in opened.iter().enumerate() {
        if let Some(b) = opened[..i].iter().find(|b| a.same_place(b)) {
            return Err(Failure::usage(format!(
                "{} and {} are the same file; give each output a name of its own",
                b.path.display(),
                a.path.display()
            )));
        }
    }
    let mut rest = opened.split_off(formats.len()).into_iter();
    let stats = args.stats.as_ref().and_then(|_| rest.next());
    let stats_windows = args.stats_windows.as_ref().and_then(|_| rest.next());
    Ok((
        Files {
            outputs: opened.into_iter().zip(formats).collect(),
            stats,
            stats_windows,
        },
        stop,
    ))
}

fn format_of(path: &std::path::Path) -> Result<Format, Failure> {
    match Format::from_path(path) {
        Ok(format) => Ok(format),
        // Streams have no ending to tell the format by.
        Err(_) if Output::is_special(path) => Ok(Format::Folded),
        Err(error) => Err(Failure::Usage(
            anyhow!(error).context(format!("-o {}", path.display())),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn windows_stay_small_and_divide_the_interval() {
        let at = |hz, cpus, duration, interval| {
            window(&Sampling::Frequency(hz), cpus, duration, interval, false)
        };
        assert_eq!(at(99, 2, Some(S(10)), None), S(10));
        assert_eq!(at(99, 2, None, None), S(10));
        assert_eq!(
            at(4_999, 2, Some(S(10)), Some(Duration::from_millis(50))),
            Duration::from_millis(50)
        );
        let fine = at(4_999, 2, Some(S(10)), None);
        assert!(
            fine < S(2) && S(10).as_nanos() / fine.as_nanos() * fine.as_nanos() > 9_999_000_000,
            "{fine:?}"
        );
        assert_eq!(at(100_000, 4_096, Some(S(10)), None), SHORTEST_WINDOW);
        assert_eq!(
            window(&Sampling::Frequency(99), 2, Some(S(10)), None, true),
            S(1)
        );
    }

    #[test]
    fn a_tracepoint_keeps_no_rate() {
        use clap::Parser as _;
        let event = Event {
            name: "a:b".to_owned(),
            type_: TRACEPOINT,
            ..Event::parse("cpu-clock").unwrap()
        };
        let sampling_of = |words: &[&str]| {
            let words = std::iter::once("kprof").chain(words.iter().copied());
            let cli = super::super::Cli::try_parse_from(words).unwrap();
            sampling(&cli.record, &event).map_err(|failure| failure.lines().join("\n"))
        };
        assert_eq!(sampling_of(&[]), Ok(Sampling::Period(1)));
        assert_eq!(sampling_of(&["--period", "9"]), Ok(Sampling::Period(9)));
        assert!(sampling_of(&["-F", "99"]).unwrap_err().contains("--period"));
        assert!(sampling_of(&["--period", "5000000000"]).is_err());
    }
}
