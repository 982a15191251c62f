//! cgroup v2 identities, as `bpf_get_current_ancestor_cgroup_id` compares them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::refusal;

/// One cgroup of the v2 hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Its id: the inode number of its folder, on 64-bit kernels.
    pub id: u64,
    /// How deep it is: the root is 0.
    pub level: u32,
}

/// A cgroup2 file system that this process can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub path: PathBuf,
    /// Which cgroup is at the top of the mount, as this process's cgroup namespace names it.
    pub root: PathBuf,
}

/// All cgroup2 mounts, such as `/sys/fs/cgroup` or, beside version 1, `/sys/fs/cgroup/unified`.
pub fn mounts() -> Result<Vec<Mount>> {
    const PATH: &str = "/proc/self/mountinfo";
    let text = fs::read_to_string(PATH).with_context(|| format!("cannot read {PATH}"))?;
    Ok(parse_mounts(&text))
}

/// Finds the cgroup of a path: that of a folder in a cgroup2 mount, or relative to such a mount, as
/// `/proc/PID/cgroup` and `systemd-cgls` show it.
pub fn resolve(path: &Path) -> Result<Cgroup> {
    let mounts = mounts()?;
    if mounts.is_empty() {
        let lack = refusal::no_cgroup2();
        bail!(
            "--cgroup {} can't be used: {}. {}",
            path.display(),
            lack.cause,
            lack.mend
        );
    }
    let inside = path.strip_prefix("/").unwrap_or(path);
    let candidates = std::iter::once(path.to_owned())
        .filter(|path| path.is_absolute())
        .chain(mounts.iter().map(|mount| mount.path.join(inside)));
    let mut version_1 = None;
    for candidate in candidates {
        // Links and `..` are followed, so that the level can be counted.
        let Ok(folder) = candidate.canonicalize() else {
            continue;
        };
        match file_system(&folder) {
            Some(CGROUP2) => {}
            Some(CGROUP1) => {
                version_1.get_or_insert(folder);
                continue;
            }
            _ => continue,
        }
        let meta = fs::metadata(&folder)
            .with_context(|| format!("cannot look at the cgroup {}", folder.display()))?;
        if !meta.is_dir() {
            bail!(
                "{} is a file of a cgroup: give the folder it lies in",
                folder.display()
            );
        }
        let level = level(&mounts, &folder)?;
        return Ok(Cgroup {
            id: meta.ino(),
            level,
        });
    }
    if let Some(folder) = version_1 {
        bail!(
            "{} is a cgroup of version 1, which BPF can't tell tasks apart by: give one of version 2, below {}",
            folder.display(),
            mounts[0].path.display()
        );
    }
    bail!(
        "there is no cgroup {}: give a folder below {}. List them with: find {} -type d",
        path.display(),
        mounts[0].path.display(),
        mounts[0].path.display()
    )
}

const CGROUP1: i64 = 0x0027_e0eb;
const CGROUP2: i64 = 0x6367_7270;

/// The magic number of the file system that a path is on.
fn file_system(path: &Path) -> Option<i64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut facts = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the path is a C string and `facts` has room for what the kernel writes.
    let result = unsafe { libc::statfs(path.as_ptr(), facts.as_mut_ptr()) };
    // SAFETY: statfs succeeded, so it has filled `facts`.
    (result == 0).then(|| unsafe { facts.assume_init() }.f_type)
}

/// The depth of a canonical path in the whole hierarchy.
fn level(mounts: &[Mount], folder: &Path) -> Result<u32> {
    let mount = mounts
        .iter()
        .filter(|mount| folder.starts_with(&mount.path))
        .max_by_key(|mount| mount.path.as_os_str().len())
        .with_context(|| format!("cannot tell which cgroup2 mount {} is on", folder.display()))?;
    let below = folder.strip_prefix(&mount.path).unwrap_or(folder);
    let depth = |path: &Path| {
        path.components()
            .filter(|c| matches!(c, Component::Normal(_)))
            .count()
    };
    // In a cgroup namespace the way to the true root can't be seen.
    let hidden = mount.root.components().any(|c| c == Component::ParentDir);
    if hidden || in_initial_namespace() == Some(false) {
        let lack = refusal::cgroup_namespace();
        bail!("--cgroup can't be used here: {}. {}", lack.cause, lack.mend);
    }
    Ok((depth(&mount.root) + depth(below)) as u32)
}

/// Whether cgroup paths start at the true root; `None` where `/proc` doesn't say. The inode is
/// `PROC_CGROUP_INIT_INO` (`include/linux/proc_ns.h`).
pub fn in_initial_namespace() -> Option<bool> {
    let link = fs::read_link("/proc/self/ns/cgroup").ok()?;
    Some(link == Path::new("cgroup:[4026531835]"))
}

fn parse_mounts(mountinfo: &str) -> Vec<Mount> {
    let parse = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        if after.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = before.split(' ').skip(3);
        let root = PathBuf::from(unescape(fields.next()?));
        let path = PathBuf::from(unescape(fields.next()?));
        Some(Mount { path, root })
    };
    mountinfo.lines().filter_map(parse).collect()
}

/// Undoes the octal escapes of spaces, tabs, line ends and backslashes in `/proc/self/mountinfo`.
fn unescape(field: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(field.to_owned(), |field, (escape, plain)| {
        field.replace(escape, plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "\
22 1 0:20 / /proc rw,relatime - proc proc rw
36 31 0:34 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
42 31 0:38 /a/b /mnt/with\\040space rw - cgroup2 cgroup2 rw
";

    #[test]
    fn only_version_2_mounts_are_found() {
        let mounts = parse_mounts(INFO);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].path, Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(mounts[1].path, Path::new("/mnt/with space"));
        assert_eq!(mounts[1].root, Path::new("/a/b"));
    }

    #[test]
    fn levels_are_counted_from_the_true_root() {
        if in_initial_namespace() == Some(false) {
            return eprintln!("skipped: in a cgroup namespace");
        }
        let mounts = parse_mounts(INFO);
        for (folder, expected) in [
            ("/sys/fs/cgroup/unified", 0),
            ("/sys/fs/cgroup/unified/x/y", 2),
            ("/mnt/with space/c", 3),
        ] {
            assert_eq!(
                level(&mounts, Path::new(folder)).unwrap(),
                expected,
                "{folder}"
            );
        }
        let hidden = [Mount {
            path: "/c".into(),
            root: "/../..".into(),
        }];
        assert!(level(&hidden, Path::new("/c/d")).is_err());
    }

    #[test]
    fn this_machines_cgroups_are_told_apart() {
        let Some(mount) = mounts()
            .unwrap()
            .into_iter()
            .find(|m| m.root == Path::new("/"))
        else {
            return eprintln!("skipped: no cgroup2 mount");
        };
        if in_initial_namespace() == Some(false) {
            return eprintln!("skipped: in a cgroup namespace");
        }
        // The root cgroup's id is 1.
        assert_eq!(resolve(&mount.path).unwrap(), Cgroup { id: 1, level: 0 });
        assert_eq!(resolve(Path::new("/")).unwrap(), Cgroup { id: 1, level: 0 });
        let absent = resolve(Path::new("no/such/cgroup"))
            .unwrap_err()
            .to_string();
        assert!(
            absent.contains("there is no cgroup no/such/cgroup"),
            "{absent}"
        );
        let file = resolve(Path::new("cgroup.procs")).unwrap_err().to_string();
        assert!(file.contains("is a file"), "{file}");
    }
}
