//! The flags, their defaults and their help texts.

use std::path::PathBuf;
use std::time::Duration;

use super::values;

/// Samples a second and CPU unless told otherwise. Not 100, so that it does not march in step with timers.
pub(super) const DEFAULT_FREQUENCY: u64 = 99;

const EXAMPLES: &str = "\
Examples:
  kprof --comm ksoftirqd                    why is ksoftirqd busy? Samples for 10 seconds
  kprof --comm kworker -d 30 -o kworker.svg a flame graph of every kworker, to look at in a browser
  kprof --kthreads -F 999                   all kernel threads, ten times finer
  kprof --pid 4711 -d 0                     one process, until Ctrl-C; Ctrl-C still prints everything
  kprof -i 1s | your-consumer               each second's folded stacks, as they come
  kprof doctor                              what this machine allows, and what to do about the rest";

const EXIT: &str = "\
Exit status: 0 done (also if nothing matched: the reason is then on standard error), 1 failed, \
2 wrong usage, 130 interrupted before anything was captured.";

/// Answers why a kernel thread eats a CPU: samples kernel stacks, counts them in the kernel and says what it saw.
///
/// Without a command, kprof records: `kprof --comm ksoftirqd` samples for 10 seconds and prints a report at a
/// terminal, or folded stacks into a pipe or file. Needs root, or CAP_BPF and CAP_PERFMON (and CAP_SYSLOG for
/// function names); `kprof doctor` says what is missing.
#[derive(Debug, clap::Parser)]
#[command(
    name = "kprof",
    version,
    after_help = EXAMPLES,
    after_long_help = const_format(),
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What to do; `record` unless given.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Flags of `record`.
    #[command(flatten)]
    pub record: RecordArgs,
}

fn const_format() -> String {
    format!("{EXAMPLES}\n\n{EXIT}")
}

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Sample kernel stacks; what kprof does without a command
    #[command(after_help = EXAMPLES, after_long_help = const_format())]
    Record(Box<RecordArgs>),

    /// Say what this machine allows, and what to do about the rest
    ///
    /// Tries everything that kprof makes use of and leaves nothing behind. Each thing is `ok`; `limited`, if kprof
    /// records without it; `missing`, if kprof can't record; or `unknown`, if this process may not look. Then: what
    /// each lack costs and the command that mends it. Exit status: 0 if kprof can record, 1 if not.
    Doctor(super::doctor::DoctorArgs),
}

/// Flags of `record`.
#[derive(Clone, Debug, clap::Args)]
pub struct RecordArgs {
    /// Only threads of this name: ksoftirqd, 'kworker/u8*' (may repeat)
    ///
    /// A name matches itself and its instances: `ksoftirqd` matches `ksoftirqd/0`, `kworker` matches every
    /// `kworker/…`. `*` and `?` stand for any text and any one byte; quote them from the shell. Repeat the flag to
    /// match several. The kernel keeps 15 bytes of a name. Names are compared in the kernel, at each sample: a
    /// thread that changes its name is matched under each of its names.
    #[arg(long, value_name = "PATTERN", help_heading = "What to sample")]
    pub comm: Vec<String>,

    /// Only this process, with all its threads (may repeat)
    #[arg(long, value_name = "PID", help_heading = "What to sample")]
    pub pid: Vec<u32>,

    /// Only this thread (may repeat)
    #[arg(long, value_name = "TID", help_heading = "What to sample")]
    pub tid: Vec<u32>,

    /// Only kernel threads
    #[arg(long, help_heading = "What to sample")]
    pub kthreads: bool,

    /// Only these CPUs: 0-3,7
    #[arg(long, value_name = "LIST", help_heading = "What to sample")]
    pub cpu: Option<String>,

    /// Only tasks in this cgroup and below it (may repeat)
    ///
    /// A path under /sys/fs/cgroup, or one relative to it, such as `system.slice/nginx.service`.
    #[arg(long, value_name = "PATH", help_heading = "What to sample")]
    pub cgroup: Vec<PathBuf>,

    /// Samples a second on each CPU [default: 99]
    ///
    /// 99 costs next to nothing; 999 shows more in a short time. The limit is the sysctl
    /// kernel.perf_event_max_sample_rate.
    #[arg(
        short = 'F',
        long,
        value_name = "HZ",
        conflicts_with = "period",
        help_heading = "How to sample"
    )]
    pub freq: Option<u64>,

    /// One sample every N events, instead of a frequency
    #[arg(long, value_name = "N", help_heading = "How to sample")]
    pub period: Option<u64>,

    /// What drives the samples: auto, cpu-clock, cycles, page-faults, sched:sched_switch, …
    ///
    /// `auto` takes `cycles` where the CPU has counters (it sees code that runs with interrupts off), else
    /// `cpu-clock` (a timer, which does not; the output says so where it matters). Other names are those of
    /// `perf list`; `SYSTEM:NAME` is a tracepoint.
    #[arg(
        short,
        long,
        value_name = "EVENT",
        default_value = "auto",
        help_heading = "How to sample"
    )]
    pub event: String,

    /// How long: 10s, 500ms, 2m, a bare number of seconds; 0 is until Ctrl-C
    ///
    /// Ctrl-C ends the capture early and everything captured up to then is still printed and written.
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = values::duration, help_heading = "How to sample")]
    pub duration: Duration,

    /// Print what was sampled after each TIME, not only at the end
    ///
    /// Into a pipe: each window's folded stacks, flushed; the windows add up to the whole. At a terminal: a report
    /// for each window. Files (-o) always hold the whole capture.
    #[arg(short, long, value_name = "TIME", value_parser = values::duration, help_heading = "How to sample")]
    pub interval: Option<Duration>,

    /// Most distinct stacks kept in the kernel between two drains
    ///
    /// Worked out from CPUs, frequency and interval unless given, 16,384 at most. A full map loses nothing silently:
    /// what it could not take is counted and reported, and the maps are emptied more often from then on.
    #[arg(long, value_name = "N", help_heading = "How to sample")]
    pub max_stacks: Option<u32>,

    /// Write FILE, in the format of its ending (may repeat): .svg .folded .pb.gz .json .txt
    ///
    /// .svg is a flame graph for a browser, .folded stacks one a line, .pb.gz pprof (`go tool pprof`), .json for
    /// profiler.firefox.com, .txt the report. `-` is folded stacks on standard output. A file appears whole or
    /// not at all. What goes to standard output goes there as well; --quiet stops that.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub output: Vec<PathBuf>,

    /// Write the accounting to FILE as JSON: seen, counted, filtered, lost, overhead
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub stats: Option<PathBuf>,

    /// Write the accounting of each window to FILE, one JSON object a line
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub stats_windows: Option<PathBuf>,

    /// Add source lines and inlined functions; needs a vmlinux with debug information
    #[arg(long, help_heading = "Output")]
    pub lines: bool,

    /// The kernel image with debug information, for --lines, if it is not where distributions put it
    #[arg(long, value_name = "FILE", requires = "lines", help_heading = "Output")]
    pub vmlinux: Option<PathBuf>,

    /// Show the idle loop too; interrupts on idle CPUs are shown always
    #[arg(long, help_heading = "Output")]
    pub show_idle: bool,

    // rustdoc would take the brackets of a doc comment for a link.
    #[doc(hidden)]
    #[arg(
        long,
        help_heading = "Output",
        help = "Show samples that hit user mode too, as the one frame [user]"
    )]
    pub show_user: bool,

    /// Show kernel addresses of frames that have no name
    ///
    /// Off by default, so that files can be passed on without telling where the kernel lies in memory.
    #[arg(long, help_heading = "Output")]
    pub addresses: bool,

    /// Keep threads of the same name apart, by thread id
    #[arg(long, help_heading = "Output")]
    pub threads: bool,

    /// No progress line, no notes; with -o nothing on standard output either
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
}

impl RecordArgs {
    /// The filters as they were given, for the outputs' titles; empty if none.
    pub fn filters(&self) -> String {
        let mut words = Vec::new();
        let mut add =
            |flag: &str, value: &dyn std::fmt::Display| words.push(format!("--{flag} {value}"));
        self.comm.iter().for_each(|v| add("comm", v));
        self.pid.iter().for_each(|v| add("pid", v));
        self.tid.iter().for_each(|v| add("tid", v));
        self.cpu.iter().for_each(|v| add("cpu", v));
        self.cgroup.iter().for_each(|v| add("cgroup", &v.display()));
        if self.kthreads {
            words.push("--kthreads".into());
        }
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_is_record() {
        let cli = Cli::try_parse_from(["kprof", "--comm", "ksoftirqd", "-d", "5"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.record.comm, ["ksoftirqd"]);
        assert_eq!(cli.record.duration, Duration::from_secs(5));
    }

    #[test]
    fn record_takes_the_same_flags() {
        let cli = Cli::try_parse_from(["kprof", "record", "--tid", "3", "-F", "999"]).unwrap();
        let Some(Command::Record(args)) = cli.command else {
            panic!("not record")
        };
        assert_eq!((args.tid.as_slice(), args.freq), (&[3][..], Some(999)));
    }

    #[test]
    fn frequency_and_period_exclude_each_other() {
        assert!(Cli::try_parse_from(["kprof", "-F", "99", "--period", "5"]).is_err());
    }

    #[test]
    fn filters_in_words() {
        let cli = Cli::try_parse_from([
            "kprof",
            "--kthreads",
            "--comm",
            "a",
            "--comm",
            "b",
            "--cpu",
            "0-1",
        ])
        .unwrap();
        assert_eq!(
            cli.record.filters(),
            "--comm a --comm b --cpu 0-1 --kthreads"
        );
    }

    #[test]
    fn help_is_as_in_the_snapshot() {
        for (name, text) in [
            (
                "help-short.txt",
                Cli::command().term_width(100).render_help().to_string(),
            ),
            (
                "help-long.txt",
                Cli::command()
                    .term_width(100)
                    .render_long_help()
                    .to_string(),
            ),
        ] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("src/cli/snapshots")
                .join(name);
            if std::env::var_os("KPROF_WRITE_GOLDENS").is_some() {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            let golden = std::fs::read_to_string(&path).unwrap();
            assert_eq!(
                text,
                golden,
                "help differs from {}; KPROF_WRITE_GOLDENS=1 rewrites it",
                path.display()
            );
        }
    }
}
