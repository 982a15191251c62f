//! `cargo xtask run -- ARGS`: a kprof that is up to date with its sources, run as root.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::build_ebpf;
use crate::host::{self, say};

/// Options of `cargo xtask run`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Arguments for kprof, after `--`.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    args: Vec<OsString>,
}

/// Builds kprof and becomes it: its stdout, its signals and its exit code are kprof's own.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    build_ebpf::refresh()?;
    let kprof = build()?;
    // SAFETY: geteuid takes no arguments, touches no memory and can't fail.
    let root = unsafe { libc::geteuid() } == 0;
    let mut command = match (root, host::find_program("sudo")) {
        (false, Some(sudo)) => {
            let mut command = Command::new(sudo);
            command.arg("--").arg(&kprof);
            command
        }
        (false, None) => {
            say(format_args!(
                "not root, and there is no sudo; if kprof is refused: su -c '{} ...'",
                kprof.display()
            ));
            Command::new(&kprof)
        }
        (true, _) => Command::new(&kprof),
    };
    let error = command.args(args.args).exec();
    Err(error).with_context(|| format!("starting {}", kprof.display()))
}

/// Builds kprof in release and gives its path.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    host::run(host::cargo().args([
        "build",
        "--quiet",
        "--release",
        "--locked",
        "--package",
        "kprof-user",
    ]))?;
    Ok(host::target()?.join("release/kprof"))
}
