//! Loads one program, and says what the verifier said where it is refused.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Result, anyhow, bail};
use aya_obj::{Function, Program, ProgramSection};

use crate::kernel::bpf_syscall::{self, PROG_PERF_EVENT, PROG_TRACEPOINT, ProgAttr};
use crate::kernel::refusal::{self, Action};

/// Loads the program `name`; `btf` holds its types.
pub(super) fn load(
    name: &str,
    program: &Program,
    function: &Function,
    btf: Option<&OwnedFd>,
) -> Result<OwnedFd> {
    let mut attr = ProgAttr {
        prog_type: match program.section {
            ProgramSection::PerfEvent => PROG_PERF_EVENT,
            ProgramSection::TracePoint => PROG_TRACEPOINT,
            _ => bail!("{name} in the BPF object is of an unknown kind"),
        },
        insn_cnt: function.instructions.len() as u32,
        insns: function.instructions.as_ptr() as u64,
        license: program.license.as_ptr() as u64,
        ..ProgAttr::default()
    };
    let last = attr.prog_name.len() - 1;
    for (to, from) in attr.prog_name[..last].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    // These two must live until the call.
    let functions = function.func_info.func_info_bytes();
    let lines = function.line_info.line_info_bytes();
    if let Some(btf) = btf {
        attr.prog_btf_fd = btf.as_raw_fd() as u32;
        if function.func_info_rec_size > 0 {
            attr.func_info = functions.as_ptr() as u64;
            attr.func_info_cnt = function.func_info.len() as u32;
            attr.func_info_rec_size = function.func_info_rec_size as u32;
        }
        if function.line_info_rec_size > 0 {
            attr.line_info = lines.as_ptr() as u64;
            attr.line_info_cnt = function.line_info.len() as u32;
            attr.line_info_rec_size = function.line_info_rec_size as u32;
        }
    }
    bpf_syscall::load_program(&attr).map_err(|(error, log)| explain(&error, &log))
}

fn explain(error: &io::Error, log: &str) -> anyhow::Error {
    let words = refusal::explain(error, Action::LoadProgram);
    let words = anyhow!(words).context("cannot load the BPF program");
    // The end of the log says what the verifier refused.
    let lines: Vec<&str> = log.lines().collect();
    let tail = &lines[lines.len().saturating_sub(12)..];
    if tail.is_empty() || error.kind() == io::ErrorKind::PermissionDenied && tail.len() < 2 {
        return words;
    }
    words.context(format!("the verifier's last words:\n{}", tail.join("\n")))
}
