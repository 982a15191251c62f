//! cgroups of version 2, which the BPF program tells tasks apart by (`bpf_current_task_under_cgroup`).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{refusal, text};

/// One cgroup of the v2 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Its folder, without links; what a cgroup-array map takes a descriptor of.
    pub path: PathBuf,
    /// Its id: the inode number of its folder, on 64-bit kernels.
    pub id: u64,
}

/// All cgroup2 mounts, such as `/sys/fs/cgroup` or, beside version 1, `/sys/fs/cgroup/unified`.
pub fn mounts() -> Result<Vec<PathBuf>> {
    const PATH: &str = "/proc/self/mountinfo";
    let text = text::read(PATH).with_context(|| format!("cannot read {PATH}"))?;
    Ok(parse_mounts(&text))
}

/// Finds the cgroup of a path: that of a folder in a cgroup2 mount, or relative to such a mount, as
/// `/proc/PID/cgroup` and `systemd-cgls` show it.
pub fn resolve(path: &Path) -> Result<Cgroup> {
    let mounts = mounts()?;
    if mounts.is_empty() {
        let lack = refusal::no_cgroup2();
        bail!("{}. {}", lack.cause, lack.mend);
    }
    let inside = path.strip_prefix("/").unwrap_or(path);
    let candidates = std::iter::once(path.to_owned())
        .filter(|path| path.is_absolute())
        .chain(mounts.iter().map(|mount| mount.join(inside)));
    let mut version_1 = None;
    for candidate in candidates {
        // Links and `..` are followed: only the end counts.
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
        return Ok(Cgroup {
            id: meta.ino(),
            path: folder,
        });
    }
    if let Some(folder) = version_1 {
        bail!(
            "{} is a cgroup of version 1, which BPF can't tell tasks apart by: give one of version 2, below {}",
            folder.display(),
            mounts[0].display()
        );
    }
    bail!(
        "there is no cgroup {}: give a folder below {}. List them with: `find {} -type d`",
        path.display(),
        mounts[0].display(),
        mounts[0].display()
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

pub(super) fn parse_mounts(mountinfo: &str) -> Vec<PathBuf> {
    let parse = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        if after.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = before.split(' ').skip(4);
        Some(PathBuf::from(unescape(fields.next()?)))
    };
    mountinfo.lines().filter_map(parse).collect()
}

/// Undoes the octal escapes of spaces, tabs, line ends and backslashes in `/proc/self/mountinfo` and `mounts`.
pub(super) fn unescape(field: &str) -> String {
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
        let expected = ["/sys/fs/cgroup/unified", "/mnt/with space"];
        assert_eq!(parse_mounts(INFO), expected.map(PathBuf::from));
    }

    #[test]
    fn this_machines_cgroups_are_told_apart() {
        let Some(mount) = mounts().unwrap().into_iter().next() else {
            crate::skip::skip!("no cgroup2 mount");
        };
        let root = resolve(&mount).unwrap();
        assert_eq!(root.path, mount.canonicalize().unwrap());
        assert!(resolve(Path::new("/proc/self")).is_err());
        let absent = resolve(Path::new("no/such/cgroup"))
            .unwrap_err()
            .to_string();
        assert!(
            absent.contains("there is no cgroup no/such/cgroup"),
            "{absent}"
        );
        if mount.join("cgroup.procs").exists() {
            let file = resolve(Path::new("cgroup.procs")).unwrap_err().to_string();
            assert!(file.contains("is a file"), "{file}");
        }
    }
}
