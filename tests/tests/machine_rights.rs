//! Who may record, and who sees names, under each of the machine's settings: CAP_BPF and CAP_PERFMON record,
//! CAP_SYSLOG has names as well, `kernel.kptr_restrict=2` hides them from everyone, and kprof says so.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use kprof_tests::advice::Advice;
use kprof_tests::burn::Burner;
use kprof_tests::folded::{self, Line};
use kprof_tests::identity::{self, check_line};
use kprof_tests::lack::capability::{BPF, PERFMON, SYSLOG};
use kprof_tests::place::Place;
use kprof_tests::sysctl::Changed;
use kprof_tests::{Outcome, Skip, json, live, names, rights, stderr, stdout};

kprof_tests::suite![
    own machine:
    with_kptr_restrict_0_capabilities_and_paranoia_decide,
    with_kptr_restrict_1_names_take_cap_syslog,
    with_kptr_restrict_2_nobody_sees_names,
    what_mends_a_lack_mends_it,
    unprivileged_bpf_changes_nothing,
    a_limit_of_locked_memory_is_named,
];

/// Who runs kprof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Root,
    /// A user who is nobody, with these capabilities.
    Nobody(&'static [libc::c_ulong]),
}

const NOTHING: Who = Who::Nobody(&[]);
const RECORDER: Who = Who::Nobody(&[BPF, PERFMON]);
const NAMER: Who = Who::Nobody(&[BPF, PERFMON, SYSLOG]);
const EVERYONE: [Who; 4] = [Who::Root, RECORDER, NAMER, NOTHING];

impl Who {
    fn has(self, capability: libc::c_ulong) -> bool {
        match self {
            Who::Root => true,
            Who::Nobody(capabilities) => capabilities.contains(&capability),
        }
    }

    /// Those of the two capabilities that recording takes which are not there.
    fn lacks(self) -> Vec<&'static str> {
        let both = [(BPF, "CAP_BPF"), (PERFMON, "CAP_PERFMON")].into_iter();
        both.filter_map(|(one, name)| (!self.has(one)).then_some(name))
            .collect()
    }
}

/// The machine's settings.
#[derive(Clone, Copy, Debug)]
struct Settings {
    kptr_restrict: i64,
    paranoid: i64,
}

impl Settings {
    fn set(self) -> Result<[Changed; 2], Skip> {
        Ok([
            Changed::to("kernel.kptr_restrict", self.kptr_restrict)?,
            Changed::to("kernel.perf_event_paranoid", self.paranoid)?,
        ])
    }

    /// `kallsyms_show_value` (kernel/ksyms_common.c): with 0, perf's own setting may open the addresses to all.
    fn show_names_to(self, who: Who) -> bool {
        match self.kptr_restrict {
            0 => self.paranoid <= 1 || who.has(SYSLOG),
            1 => who.has(SYSLOG),
            _ => false,
        }
    }

    fn take_admin(self) -> bool {
        rights::perf_takes_admin(self.paranoid)
    }
}

/// Whether the running kernel's release begins so.
fn is(series: &str) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    release.starts_with(series)
}

/// All levels that some kernel knows; one that knows fewer takes the others for its highest.
const PARANOID: [i64; 6] = [-1, 0, 1, 2, 3, 4];

fn with_kptr_restrict_0_capabilities_and_paranoia_decide() -> Outcome {
    at_levels(0, &[-1, 1, 2, 3])
}

fn with_kptr_restrict_1_names_take_cap_syslog() -> Outcome {
    at_levels(1, &[-1, 3])
}

fn with_kptr_restrict_2_nobody_sees_names() -> Outcome {
    at_levels(2, &PARANOID)
}

fn at_levels(kptr_restrict: i64, levels: &[i64]) -> Outcome {
    let _live = live()?;
    let known = all_names()?;
    let _busy = burner();
    let place = Place::new();
    let mut busy = 0;
    for &paranoid in levels {
        let settings = Settings {
            kptr_restrict,
            paranoid,
        };
        let _set = settings.set()?;
        // All at once, for it takes less time, and none disturbs another.
        let runs = EVERYONE.map(|who| Run::start(&place, who, settings));
        busy += runs.into_iter().map(|run| run.check(&known)).sum::<u64>();
    }
    // On a slow machine with one CPU not in every capture.
    assert!(busy > 0, "the busy thread was never sampled");
    Ok(())
}

/// A thread that leaves most of a single CPU to kprof.
fn burner() -> Burner {
    let some = Duration::from_millis(3);
    Burner::start(&["kp-rights"], some, 2 * some)
}

/// All names that the kernel lists.
fn all_names() -> Result<HashSet<String>, Skip> {
    let _shown = Changed::to("kernel.kptr_restrict", 1)?;
    Ok(folded::kallsyms())
}

/// A capture, and what `kprof doctor` says, by the same user.
struct Run {
    who: Who,
    settings: Settings,
    folder: PathBuf,
    record: Child,
    doctor: Child,
}

/// With these flags every sample is in the output.
const RECORD: [&str; 10] = [
    "-d",
    "250ms",
    "-F",
    "999",
    "--show-idle",
    "--show-user",
    "--stats",
    "k.stats",
    "-o",
    "k.pb.gz",
];

impl Run {
    fn start(place: &Place, who: Who, settings: Settings) -> Run {
        let folder = place.folder();
        let start = |arguments: &[&str]| {
            let mut command = place.kprof();
            command.args(arguments).current_dir(&folder);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            // Capabilities alone decide, and not what maps take before Linux 5.11.
            rights::limit_locked_memory(&mut command, libc::RLIM_INFINITY);
            if let Who::Nobody(capabilities) = who {
                rights::as_nobody_with(&mut command, capabilities);
            }
            command.spawn().unwrap()
        };
        Run {
            who,
            settings,
            record: start(&RECORD),
            doctor: start(&["doctor", "--json"]),
            folder,
        }
    }

    /// `known` are all names that there are. Yields the samples of the busy thread, in the kernel.
    fn check(self, known: &HashSet<String>) -> u64 {
        let cell = format!("{:?} {:?}", self.who, self.settings);
        let advice = Advice::read(&self.doctor.wait_with_output().unwrap());
        let record = self.record.wait_with_output().unwrap();
        let said = stderr(&record);
        let lacks = self.who.lacks();
        let patched = self.who != Who::Root && self.settings.take_admin();
        let can_record = lacks.is_empty() && !patched;
        assert_eq!(record.status.success(), can_record, "{cell}: {said}");
        assert_eq!(advice.can_record, can_record, "{cell}: {advice:?}");
        if !can_record {
            assert_eq!(record.status.code(), Some(1), "{cell}: {said}");
            assert_eq!(stdout(&record), "", "{cell}");
            assert_eq!(names(&self.folder), [""; 0], "{cell}");
            check_line(&said, &refusal(&lacks, self.settings), &cell);
            assert!(advice.explains("missing", &said), "{cell}: {advice:?}");
            return 0;
        }
        let lines = folded::parse(&stdout(&record));
        identity::check(&lines, &json(&self.folder.join("k.stats")), &cell);
        let symbols = advice.status("kernel symbols");
        let mut busy = lines.clone();
        busy.retain(|line| line.comm == "kp-rights" && line.frames.len() > 3);
        if self.settings.show_names_to(self.who) {
            assert_eq!(said, "", "{cell}");
            assert_eq!(symbols, "ok", "{cell}");
            check_frames(&lines, &cell, |frame| {
                known.contains(frame.split(" [").next().unwrap())
            });
            return folded::through(&busy, "vfs_read");
        }
        assert_eq!(symbols, "limited", "{cell}");
        check_frames(&lines, &cell, |frame| frame == "[unknown: symbols hidden]");
        check_line(&said, &explanation(self.who, self.settings), &cell);
        assert!(advice.explains("limited", &said), "{cell}: {advice:?}");
        folded::total(&busy)
    }
}

const SETCAP: &str = "sudo setcap cap_bpf,cap_perfmon,cap_syslog+ep /";

/// Words that name all that lacks, and no more, with the mend.
fn refusal(lacks: &[&str], settings: Settings) -> Vec<&'static str> {
    match lacks {
        ["CAP_BPF"] => vec!["this process lacks CAP_BPF. ", SETCAP, "sudo kprof"],
        ["CAP_PERFMON"] => vec!["this process lacks CAP_PERFMON. ", SETCAP, "sudo kprof"],
        [_, _] => vec![
            "this process lacks CAP_BPF and CAP_PERFMON. ",
            SETCAP,
            "sudo kprof",
        ],
        _ => vec![
            match settings.paranoid {
                3 => "kernel.perf_event_paranoid=3: ",
                _ => "kernel.perf_event_paranoid=4: ",
            },
            "CAP_SYS_ADMIN",
            "`sudo sysctl -w kernel.perf_event_paranoid=2`",
        ],
    }
}

/// Words that say why there are no names. One mend without the other would not do.
fn explanation(who: Who, settings: Settings) -> Vec<&'static str> {
    let mut words = vec!["kernel functions have no names here: "];
    if settings.kptr_restrict == 2 {
        words.push("kernel.kptr_restrict=2 hides");
        words.push("`sudo sysctl -w kernel.kptr_restrict=1`");
    }
    if !who.has(SYSLOG) {
        words.push("this process lacks CAP_SYSLOG");
        words.push(SETCAP);
    }
    words
}

/// All frames that are of a function pass, and there are some.
fn check_frames(lines: &[Line], cell: &str, good: impl Fn(&str) -> bool) {
    let mut functions = 0;
    for line in lines {
        for frame in &line.frames {
            let other = ["[user]", "[no stack]"].contains(&frame.as_str());
            assert!(other || good(frame), "{cell}: {frame} in {line:?}");
            functions += u64::from(!other);
        }
    }
    assert!(functions > 0, "{cell}: {lines:?}");
}

fn what_mends_a_lack_mends_it() -> Outcome {
    let _live = live()?;
    let known = all_names()?;
    let place = Place::new();
    let _busy = burner();
    // Before, and after the command that kprof gives: `sysctl -w …`, `sudo …`, or `setcap …`.
    let settings = |kptr_restrict, paranoid| Settings {
        kptr_restrict,
        paranoid,
    };
    let cases = [
        (Who::Root, settings(2, 2), Who::Root, settings(1, 2)),
        (RECORDER, settings(2, 2), NAMER, settings(1, 2)),
        (RECORDER, settings(1, 2), NAMER, settings(1, 2)),
        (NOTHING, settings(1, 2), NAMER, settings(1, 2)),
        (NAMER, settings(1, 3), NAMER, settings(1, 2)),
    ];
    for (who, lacking, later, mended) in cases {
        let _set = lacking.set()?;
        Run::start(&place, who, lacking).check(&known);
        let _set = mended.set()?;
        assert!(later.lacks().is_empty() && mended.show_names_to(later) && !mended.take_admin());
        Run::start(&place, later, mended).check(&known);
    }
    Ok(())
}

fn unprivileged_bpf_changes_nothing() -> Outcome {
    const ONLY_BPF: Who = Who::Nobody(&[BPF]);
    const ONLY_PERFMON: Who = Who::Nobody(&[PERFMON]);
    let _live = live()?;
    let known = all_names()?;
    let place = Place::new();
    let _busy = burner();
    // With -1 perf is open to all, so that BPF alone decides.
    let settings = Settings {
        kptr_restrict: 1,
        paranoid: -1,
    };
    let _set = settings.set()?;
    // 1 can't be changed any more, and says the same as 2.
    for unprivileged in [2, 0] {
        let _unprivileged = Changed::to("kernel.unprivileged_bpf_disabled", unprivileged)?;
        let runs = [NAMER, ONLY_BPF, ONLY_PERFMON, NOTHING];
        let runs = runs.map(|who| Run::start(&place, who, settings));
        for run in runs {
            run.check(&known);
        }
    }
    Ok(())
}

fn a_limit_of_locked_memory_is_named() -> Outcome {
    let _live = live()?;
    if !is("5.10.") {
        return Err(Skip::because("from Linux 5.11 on it does not hold for BPF"));
    }
    let settings = Settings {
        kptr_restrict: 1,
        paranoid: 2,
    };
    let _set = settings.set()?;
    let place = Place::new();
    let folder = place.folder();
    let run = |arguments: &[&str]| {
        let mut command = place.kprof();
        command.args(arguments).current_dir(&folder);
        rights::limit_locked_memory(&mut command, 64 << 10);
        rights::as_nobody_with(&mut command, &[BPF, PERFMON, SYSLOG]);
        command.output().unwrap()
    };
    let record = run(&RECORD);
    let said = stderr(&record);
    assert_eq!(record.status.code(), Some(1), "{said}");
    let mend = "`sudo sh -c 'ulimit -l unlimited; kprof …'`";
    check_line(&said, &["limit of locked memory", mend], "64 KiB");
    assert_eq!(names(&folder), [""; 0]);
    let advice = Advice::read(&run(&["doctor", "--json"]));
    assert!(!advice.can_record, "{advice:?}");
    assert!(advice.explains("missing", &said), "{advice:?}");
    Ok(())
}
