//! Code that comes into the kernel while it runs.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::Skip;

/// Where guests of `cargo xtask vm` have modules that nobody loaded.
const FOLDER: &str = "/lib/later";

/// A module that was loaded; unloaded when dropped.
#[derive(Debug)]
pub struct Module(&'static str);

impl Module {
    /// Loads one. The test is skipped where this kernel has none, or not as a module.
    pub fn load(name: &'static str) -> Result<Module, Skip> {
        let file = File::open(file_of(name)?).expect("open a module");
        // SAFETY: the descriptor is open and the parameters are a C string.
        let answer =
            unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
        let error = io::Error::last_os_error();
        assert_eq!(answer, 0, "loading {name}: {error}");
        Ok(Module(name))
    }

    /// Unloads it.
    pub fn unload(self) {
        drop(self);
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let name = CString::new(self.0).expect("a name without NUL");
        // SAFETY: the name is a C string that outlives the call.
        let answer =
            unsafe { libc::syscall(libc::SYS_delete_module, name.as_ptr(), libc::O_NONBLOCK) };
        if answer != 0 && !std::thread::panicking() {
            panic!("unloading {}: {}", self.0, io::Error::last_os_error());
        }
    }
}

fn file_of(name: &str) -> Result<PathBuf, Skip> {
    let end = format!("-{name}.ko");
    let files = Path::new(FOLDER).read_dir().into_iter().flatten().flatten();
    let mut files = files.map(|entry| entry.path());
    files
        .find(|path| path.to_string_lossy().ends_with(&end))
        .ok_or_else(|| Skip::because(format_args!("there is no module {name} in {FOLDER}")))
}

/// Addresses and names of the functions of a module, or of all BPF programs (`bpf`). The test is skipped where the
/// kernel hides addresses.
pub fn symbols(module: &str) -> Result<Vec<(u64, String)>, Skip> {
    let text = std::fs::read_to_string("/proc/kallsyms").expect("read /proc/kallsyms");
    let end = format!("\t[{module}]");
    let mut found = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_suffix(&end)) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[address, kind, name] = &words[..] else {
            panic!("not a symbol: {line}");
        };
        let address = u64::from_str_radix(address, 16).expect("an address");
        if address == 0 {
            return Err(Skip::because("the kernel hides the addresses of symbols"));
        }
        if matches!(kind, "t" | "T") {
            found.push((address, name.to_owned()));
        }
    }
    Ok(found)
}
