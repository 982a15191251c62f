//! Builds the fuzzer: kprof with coverage counters, linked with libFuzzer.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::host::{self, say};
use crate::toolchain::Rustc;

/// There is no C++ compiler, which libFuzzer is built with.
#[derive(Debug)]
pub(crate) struct NoCompiler(String);

impl fmt::Display for NoCompiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "libFuzzer takes a C++ compiler, and {} does not run",
            self.0
        )
    }
}

impl std::error::Error for NoCompiler {}

/// What cargo-fuzz passes to rustc. Stable Rust has no sanitizers, but their coverage is a pass of LLVM's.
const FLAGS: [&str; 8] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cforce-frame-pointers=yes",
];

/// Builds it in a target folder of its own and gives its path.
pub(super) fn build(rustc: &Rustc, folder: &Path) -> anyhow::Result<PathBuf> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    if !runs(&compiler) {
        return Err(NoCompiler(compiler).into());
    }
    say("building the fuzzer");
    let words =
        "build --quiet --locked --profile fuzz --package kprof-fuzz --features engine --bin engine";
    let mut cargo = host::cargo();
    // A target's name keeps the flags from what runs while building.
    cargo
        .args(words.split(' '))
        .args(["--target", &rustc.host, "--target-dir"])
        .arg(folder)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"))
        .env_remove("RUSTFLAGS");
    host::run(&mut cargo)?;
    Ok(folder.join(&rustc.host).join("fuzz/engine"))
}

fn runs(compiler: &str) -> bool {
    // As the crate `cc` takes the variable: a program and its flags.
    let mut words = compiler.split_whitespace();
    let Some(program) = words.next() else {
        return false;
    };
    Command::new(program)
        .args(words)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn a_compiler_that_is_not_there_does_not_run() {
        assert!(!runs("no-such-compiler -O2"));
        assert!(!runs(""));
        // Any program with `--version` passes for one.
        assert!(runs("cargo"));
    }
}
