//! Files of `/proc`.

use kprof::capture::fuzz::peak_rss;
use kprof::cli::fuzz::state;
use kprof::kernel::comm::MAX_NAME;
use kprof::kernel::fuzz::{
    capabilities, cgroup_mounts, has_address, has_pseudo_nmi, knows_helper, levels, lockdown,
    numbering, quoted, run_time, stat, tgid, tracefs_roots,
};
use kprof::kernel::pid_ns::{Ids, PidNamespace};
use kprof::symbolize::fuzz::modules_of;

use super::{MIB, text};
use crate::Target;

pub(super) const STAT: Target = Target {
    name: "stat",
    check: check_stat,
    memory: (MIB, 100),
};

pub(super) const STATUS: Target = Target {
    name: "status",
    check: check_status,
    memory: (MIB, 100),
};

pub(super) const MOUNTS: Target = Target {
    name: "mounts",
    check: check_mounts,
    memory: (MIB, 200),
};

pub(super) const MODULES: Target = Target {
    name: "modules",
    check: check_modules,
    memory: (MIB, 100),
};

pub(super) const SMALL: Target = Target {
    name: "small",
    check: check_small,
    memory: (MIB, 100),
};

/// `/proc/PID/stat` and `schedstat`: the input as the file, and as a thread's name in one.
fn check_stat(data: &[u8]) {
    let file = text(data);
    if let Some((thread, _)) = stat(&file, 7, 8) {
        assert!(thread.comm.len() <= MAX_NAME && file.contains(&thread.comm));
        assert_eq!((thread.tgid, thread.tid), (7, 8));
    }
    assert_eq!(
        run_time(&format!("{} 5 6\n", data.len())),
        Some(data.len() as u64)
    );
    run_time(&file);

    let name: String = file.chars().filter(|&c| c != '\0').take(64).collect();
    for (kernel, flags) in [(false, 0x40_0040u64), (true, 0x20_8040)] {
        let line = format!(
            "8 ({name}) S 2 0 0 0 -1 {flags} 0 0 0 0 3 4 0 0 20 0 5 0 22 0 0 18446744073709551615\n"
        );
        let (thread, more) = stat(&line, 7, 8).expect("a line of the kernel's");
        assert_eq!((thread.kernel, more), (kernel, true));
        assert_eq!((thread.cpu_ns, thread.start_ticks), (70_000_000, 22));
        assert_eq!(state(&line), Some('S'));
        assert!(name.starts_with(&thread.comm) && thread.comm.len() <= MAX_NAME);
    }
}

/// `/proc/PID/status`: the input as the file, and as a thread's name in one.
fn check_status(data: &[u8]) {
    const OWN: PidNamespace = PidNamespace { dev: 4, ino: 77 };
    let file = text(data);
    let ids = numbering(Some(&file), OWN);
    match levels(&file) {
        None => assert_eq!((ids.ids, ids.own), (Ids::Initial, true)),
        Some(1) => assert_eq!((ids.ids, ids.own), (Ids::Of(OWN), true)),
        Some(_) => assert_eq!((ids.ids, ids.own), (Ids::Unknown, false)),
    }
    let _ = (capabilities(&file), tgid(&file), peak_rss(&file));

    // The kernel writes line ends and backslashes of a name out (string_escape_str, fs/proc/array.c).
    let name = file.replace('\\', "\\\\").replace('\n', "\\n");
    let status = format!(
        "Name:\t{name}\nUmask:\t0022\nTgid:\t4711\nPid:\t12\nNSpid:\t12\t3\n\
         CapEff:\t000000c000000000\nCapBnd:\t000001fffeffffff\nSeccomp:\t2\nSeccomp_filters:\t1\nVmHWM:\t    8564 kB\n"
    );
    assert_eq!(peak_rss(&status), Some(8564 * 1024));
    assert_eq!((tgid(&status), levels(&status)), (Some(4711), Some(2)));
    let found = capabilities(&status).expect("all of them are there");
    assert_eq!(
        (found.effective.0, found.bounding.0),
        (0xc0_0000_0000, 0x1ff_feff_ffff)
    );
    assert!(found.seccomp);
}

/// `/proc/self/mountinfo` and `/proc/self/mounts`: the input as the file, and as a path in one.
fn check_mounts(data: &[u8]) {
    let file = text(data);
    assert!(cgroup_mounts(&file).len() <= file.lines().count());
    assert!(tracefs_roots(&file).len() <= file.lines().count() + 2);

    let path: String = file.chars().filter(|&c| c != '\0').take(200).collect();
    let path = format!("/{path}");
    let mut escaped = String::new();
    for c in path.chars() {
        match c {
            ' ' | '\t' | '\n' | '\\' => escaped += &format!("\\{:03o}", c as u32),
            c => escaped.push(c),
        }
    }
    let line = format!("41 31 0:38 / {escaped} rw,relatime shared:9 - cgroup2 cgroup2 rw\n");
    assert_eq!(cgroup_mounts(&line), [std::path::Path::new(&path)]);
    let line = format!("none {escaped} tracefs rw,relatime 0 0\n");
    assert_eq!(
        tracefs_roots(&line).last().map(|p| p.as_path()),
        Some(std::path::Path::new(&path))
    );
}

/// `/proc/modules`.
fn check_modules(data: &[u8]) {
    let file = text(data);
    let found = modules_of(&file);
    let expected: Vec<_> = file
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let (size, address) = (words.get(1)?, words.get(5)?);
            let size: u64 = size.parse().ok()?;
            let start = u64::from_str_radix(address.strip_prefix("0x")?, 16).ok()?;
            Some((words[0], start, start.checked_add(size)?))
        })
        .collect();
    assert_eq!(found, expected);
    assert!(
        found
            .iter()
            .all(|(name, start, end)| start <= end && !name.is_empty())
    );
}

/// What is looked for in a file or a message, and a path that goes into a command.
fn check_small(data: &[u8]) {
    let file = text(data);
    if let Some(level) = lockdown(&file) {
        assert!(file.contains(&format!("[{level}]")));
    }
    assert_eq!(
        lockdown(&format!("none [{}] x", file.replace([']', '['], ""))).as_deref(),
        Some(file.replace([']', '['], "").as_str())
    );
    let unknown = format!("{file}\n0: (85) call pc-1\ninvalid func unknown#999\n");
    assert!(!knows_helper(&unknown));
    let nonzero = file.lines().any(|line| {
        let digits = line.split(' ').next().unwrap_or_default();
        u64::from_str_radix(digits, 16).is_ok_and(|address| address != 0)
    });
    assert_eq!(has_address(&file), nonzero);
    let _ = has_pseudo_nmi(&file);
    let path = format!("/{}", file.replace('\0', ""));
    assert_eq!(unquoted(&quoted(&path)).as_deref(), Some(path.as_str()));
}

/// The one word that a shell takes this for; `None` if it is none or more than one.
fn unquoted(shell: &str) -> Option<String> {
    let mut word = String::new();
    let mut rest = shell.chars();
    let mut quotes = false;
    while let Some(c) = rest.next() {
        match c {
            '\'' => quotes = !quotes,
            c if quotes => word.push(c),
            '\\' => word.push(rest.next()?),
            c if c.is_ascii_alphanumeric() || "/._-+@%".contains(c) => word.push(c),
            _ => return None,
        }
    }
    (!quotes).then_some(word)
}
