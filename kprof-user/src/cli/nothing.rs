//! An empty result explains itself.

use std::time::Duration;

use super::plan::Plan;
use super::values::{thousands, time_words};
use crate::format::printable;
use crate::kernel::comm::Patterns;
use crate::kernel::nearest;
use crate::kernel::threads::{Snapshot, Thread};
use crate::profile::{Accounting, Context, Profile, Show};

/// How many threads are named at most.
const SHOWN: usize = 5;

/// Why no sample matched, a few lines: what was sampled, what the matching threads did meanwhile, which names
/// are close.
pub(super) fn explain(
    plan: &Plan,
    accounting: &Accounting,
    snapshots: Option<(&Snapshot, &Snapshot)>,
    elapsed: Duration,
) -> String {
    let event = &plan.request.event.name;
    let time = time_words(Duration::from_millis(elapsed.as_millis() as u64));
    let lost = match accounting.lost_total() {
        0 => String::new(),
        n => format!(", {} lost", thousands(n)),
    };
    if accounting.seen == 0 {
        return format!("no samples: the event {event} did not come in {time} on the CPUs sampled");
    }
    let filters = printable(&plan.filters);
    let mut lines = vec![format!(
        "nothing matched {}: of {} samples of {event} in {time}, {} were of other threads{lost}",
        if filters.is_empty() {
            "anything"
        } else {
            &filters
        },
        thousands(accounting.seen),
        thousands(accounting.filtered),
    )];
    let filters = &plan.request.filters;
    let any_thread = filters.comm.is_none()
        && filters.pids.is_empty()
        && filters.tids.is_empty()
        && !filters.kthreads;
    if any_thread && let Some(cgroup) = filters.cgroups.first() {
        // Which threads are meant is the kernel's to say: the snapshots don't know cgroups.
        let path = printable(&cgroup.display().to_string());
        lines.push(if cgroup.exists() {
            format!(
                "no thread in it ran when a sample was taken; `cat {path}/cgroup.threads` lists those in it"
            )
        } else {
            format!("the cgroup {path} was removed meanwhile, and no thread in it was hit before")
        });
    } else if let Some((before, after)) = snapshots {
        let meant = |thread: &Thread| {
            filters
                .comm
                .as_ref()
                .is_none_or(|patterns| patterns.matches(&thread.comm))
                && (filters.pids.is_empty() || filters.pids.contains(&thread.tgid))
                && (filters.tids.is_empty() || filters.tids.contains(&thread.tid))
                && (!filters.kthreads || thread.kernel)
        };
        let used = after.since(before);
        let matching: Vec<&Thread> = after
            .threads
            .iter()
            .filter(|thread| meant(thread))
            .collect();
        if matching.is_empty() {
            let whose = if after.partial {
                " that /proc shows"
            } else {
                ""
            };
            lines.push(format!(
                "no thread{whose} matches{}",
                closest(filters.comm.as_ref(), after)
            ));
        } else {
            lines.push(matching_use(&matching, &used, plan, elapsed));
        }
        // Those with ids are all in there.
        if after.partial && filters.pids.is_empty() && filters.tids.is_empty() {
            lines.push(
                "/proc shows this pid namespace alone: what kernel threads and other containers did is not known"
                    .to_owned(),
            );
        }
    }
    lines.join("\n")
}

/// Why a capture that caught samples has nothing to show: all are of kinds that are hidden by default.
pub(super) fn hidden(profile: &Profile, show: &Show) -> Option<String> {
    let counted = profile.total();
    let hidden: Vec<(Context, u64)> = [Context::User, Context::Idle]
        .into_iter()
        .filter(|context| !show.context(*context))
        .map(|context| (context, profile.total_in(context)))
        .filter(|(_, n)| *n > 0)
        .collect();
    if counted == 0 || hidden.iter().map(|(_, n)| n).sum::<u64>() < counted {
        return None;
    }
    let parts: Vec<String> = hidden
        .iter()
        .map(|(context, n)| match context {
            Context::Idle => format!(
                "{} in the idle loop (--show-idle shows them)",
                thousands(*n)
            ),
            _ => format!("{} in user mode (--show-user shows them)", thousands(*n)),
        })
        .collect();
    Some(format!(
        "no kernel stacks to show: all samples were {}",
        parts.join(" or ")
    ))
}

fn matching_use(matching: &[&Thread], used: &[Thread], plan: &Plan, elapsed: Duration) -> String {
    let cpu_ns = |tid: u32| used.iter().find(|t| t.tid == tid).map_or(0, |t| t.cpu_ns);
    let mut threads: Vec<(u64, &Thread)> = matching.iter().map(|t| (cpu_ns(t.tid), *t)).collect();
    threads.sort_by_key(|(ns, thread)| (std::cmp::Reverse(*ns), thread.tid));
    let total: u64 = threads.iter().map(|(ns, _)| ns).sum();
    let names: Vec<String> = threads
        .iter()
        .take(SHOWN)
        .map(|(ns, t)| {
            let name = printable(&t.comm);
            format!("{name} ({}) {} ms", t.tid, ns / 1_000_000)
        })
        .collect();
    let more = if threads.len() > SHOWN { ", …" } else { "" };
    let why = if total == 0 {
        "they slept, or ran for less than the 10 ms that the kernel's accounting sees".to_owned()
    } else if plan.request.cpus.is_some() || !plan.request.filters.cgroups.is_empty() {
        "they ran outside the CPUs or cgroups asked for".to_owned()
    } else {
        "they ran too briefly to be hit: sample longer (-d) or more often (-F)".to_owned()
    };
    format!(
        "{} that match used {} ms of CPU in {}: {}{more}; {why}",
        if threads.len() == 1 {
            "1 thread".to_owned()
        } else {
            format!("{} threads", threads.len())
        },
        total / 1_000_000,
        time_words(Duration::from_millis(elapsed.as_millis() as u64)),
        names.join(", "),
    )
}

/// Names of threads that look like what was asked for.
fn closest(patterns: Option<&Patterns>, threads: &Snapshot) -> String {
    let Some(patterns) = patterns else {
        return String::new();
    };
    let mut names: Vec<(usize, &str)> = Vec::new();
    for thread in &threads.threads {
        let distance = patterns
            .texts()
            .iter()
            .map(|p| distance(p, &thread.comm))
            .min()
            .unwrap_or(usize::MAX);
        if !names.iter().any(|(_, name)| *name == thread.comm) {
            names.push((distance, &thread.comm));
        }
    }
    names.sort();
    let near: Vec<String> = names
        .iter()
        .filter(|(d, _)| *d <= 4)
        .take(SHOWN)
        .map(|(_, name)| printable(name))
        .collect();
    match near.as_slice() {
        [] => "; `ps -eo comm` lists the names there are".into(),
        near => format!("; names like it: {}", near.join(", ")),
    }
}

/// How far a pattern is from a name, or from the name's part before an instance: edits, without regard to case;
/// a name that holds the pattern is near.
fn distance(pattern: &str, name: &str) -> usize {
    let pattern = pattern.to_lowercase().replace(['*', '?'], "");
    let name = name.to_lowercase();
    if !pattern.is_empty() && name.contains(&pattern) {
        return 0;
    }
    let base = name.split(['/', ':', '.']).next().unwrap_or(&name);
    let edits = nearest::distance(&pattern, &name).min(nearest::distance(&pattern, base));
    // As many edits as half the pattern is another word.
    if edits * 2 > pattern.len() {
        usize::MAX
    } else {
        edits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_hidden_kinds_are_explained() {
        let mut profile = Profile::default();
        assert_eq!(hidden(&profile, &Show::default()), None);
        let thread = profile.intern_thread(crate::profile::Thread {
            tgid: 1,
            tid: 1,
            comm: "x".to_owned(),
            kthread: false,
            host_ids: false,
        });
        let stack = profile.intern_stack(&[]);
        let mut add = |context, n| {
            let sample = crate::profile::Sample {
                thread,
                stack,
                context,
            };
            profile.add(sample, n);
            profile.clone()
        };
        let user = add(Context::User, 12);
        let text = hidden(&user, &Show::default()).unwrap();
        assert!(
            text.ends_with("12 in user mode (--show-user shows them)"),
            "{text}"
        );
        let show = Show {
            user: true,
            ..Show::default()
        };
        assert_eq!(hidden(&user, &show), None);
        assert_eq!(hidden(&add(Context::Task, 1), &Show::default()), None);
    }

    #[test]
    fn with_a_cgroup_alone_no_other_threads_are_blamed() {
        use clap::Parser as _;
        let words = ["kprof", "-q", "-e", "cpu-clock", "--cgroup", "."];
        let args = super::super::Cli::try_parse_from(words).unwrap().record;
        let Ok((plan, _)) = super::super::plan::plan(&args) else {
            crate::skip::skip!("no cgroup2 mount");
        };
        let accounting = Accounting {
            seen: 5,
            filtered: 5,
            ..Accounting::default()
        };
        let mut after = Snapshot::default();
        after.threads.push(Thread {
            tid: 7,
            tgid: 7,
            comm: "bystander".to_owned(),
            kernel: false,
            cpu_ns: 0,
            start_ticks: 0,
        });
        let before = Snapshot::default();
        let text = explain(
            &plan,
            &accounting,
            Some((&before, &after)),
            Duration::from_secs(1),
        );
        assert!(text.contains("cgroup.threads"), "{text}");
        assert!(!text.contains("bystander"), "{text}");
    }

    #[test]
    fn near_names() {
        assert_eq!(nearest::distance("kitten", "sitting"), 3);
        assert_eq!(distance("ksoftirq", "ksoftirqd/0"), 0);
        assert_eq!(distance("ksofirqd", "ksoftirqd/0"), 1);
        assert_eq!(distance("KWORKER", "kworker/0:1"), 0);
        assert_eq!(distance("nginx", "kswapd0"), usize::MAX);
    }
}
