//! pprof: a gzipped protocol buffer for `go tool pprof` and all that reads its format.
//!
//! Samples carry their count and, where the event is time, the CPU time it stands for; the thread and the
//! context are labels. Kernel addresses are left out unless asked for. The comments hold what is needed
//! to restore [`Meta`](crate::profile::Meta), so that a stored file makes every view that a live capture makes.

use std::collections::HashMap;
use std::io::Write;

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use prost::Message as _;

use super::view::{NO_STACK, Row, USER, View};
use crate::profile::{Context, Frame, FrameId, Profile, Show};

mod comments;
mod proto;
mod read;

pub use read::read;

/// The mapping of the kernel proper, by the name that perf gives it.
const KERNEL: &str = "[kernel.kallsyms]";

/// Writes a gzipped pprof profile.
pub fn write(profile: &Profile, show: &Show, out: &mut dyn Write) -> Result<()> {
    let bytes = build(profile, show)?.encode_to_vec();
    // No time and no file name in the header: the same profile gives the same bytes.
    let mut gzip = GzBuilder::new().mtime(0).write(out, Compression::default());
    gzip.write_all(&bytes)
        .and_then(|()| gzip.finish()?.flush())
        .context("writing the pprof profile")
}

fn build(profile: &Profile, show: &Show) -> Result<proto::Profile> {
    let view = View::new(profile, show);
    let meta = &profile.meta;
    let mut builder = Builder::new(&view, show.addresses);
    // The kernel comes first: pprof takes the first mapping for the main program.
    builder.mapping(KERNEL);
    let sample = view.rows.iter().map(|row| builder.sample(row)).collect();

    let samples = builder.value_type("samples", "count");
    let cpu = builder.value_type("cpu", "nanoseconds");
    let mut sample_type = vec![samples];
    let mut period_type = None;
    let mut period = 0;
    if let Some(sample_ns) = meta.sample_ns() {
        sample_type.push(cpu);
        period_type = Some(cpu);
        period = signed(sample_ns);
    } else if let Some(events) = meta.period {
        period_type = Some(builder.value_type(&meta.event, "count"));
        period = signed(events);
    }
    let comment = comments::write(meta)?
        .iter()
        .map(|comment| builder.string(comment))
        .collect();
    Ok(proto::Profile {
        default_sample_type: sample_type.last().map_or(0, |last| last.r#type),
        sample_type,
        sample,
        mapping: builder.mappings,
        location: builder.locations,
        function: builder.functions,
        string_table: builder.strings,
        time_nanos: signed(meta.start_unix_ns),
        duration_nanos: signed(meta.duration_ns),
        period_type,
        period,
        comment,
    })
}

/// pprof's numbers are signed; kprof's counts and times stay far below the limit.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The tables of a profile in the making. Indices of strings start at 0, ids of all else at 1.
struct Builder<'a> {
    view: &'a View<'a>,
    addresses: bool,
    sample_ns: Option<u64>,
    strings: Vec<String>,
    string_index: HashMap<String, i64>,
    mappings: Vec<proto::Mapping>,
    mapping_index: HashMap<i64, u64>,
    functions: Vec<proto::Function>,
    function_index: HashMap<(i64, i64, i64), u64>,
    locations: Vec<proto::Location>,
    location_index: HashMap<(u64, u64, Vec<proto::Line>), u64>,
}

impl<'a> Builder<'a> {
    fn new(view: &'a View<'a>, addresses: bool) -> Builder<'a> {
        let mut builder = Builder {
            view,
            addresses,
            sample_ns: view.profile.meta.sample_ns(),
            strings: Vec::new(),
            string_index: HashMap::new(),
            mappings: Vec::new(),
            mapping_index: HashMap::new(),
            functions: Vec::new(),
            function_index: HashMap::new(),
            locations: Vec::new(),
            location_index: HashMap::new(),
        };
        // The format wants the empty string at 0.
        builder.string("");
        builder
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(&index) = self.string_index.get(text) {
            return index;
        }
        let index = self.strings.len() as i64;
        self.strings.push(text.to_owned());
        self.string_index.insert(text.to_owned(), index);
        index
    }

    fn value_type(&mut self, r#type: &str, unit: &str) -> proto::ValueType {
        proto::ValueType {
            r#type: self.string(r#type),
            unit: self.string(unit),
        }
    }

    fn sample(&mut self, row: &Row<'_>) -> proto::Sample {
        let mut location_id = match (row.context, row.frames.is_empty()) {
            (Context::User, _) => vec![self.stand_in(USER)],
            (_, true) => vec![self.stand_in(NO_STACK)],
            (_, false) => self.stack(row.frames),
        };
        location_id.reverse();
        let mut value = vec![signed(row.count)];
        if let Some(sample_ns) = self.sample_ns {
            value.push(signed(row.count.saturating_mul(sample_ns)));
        }
        let (tid, pid) = match row.thread.host_ids {
            true => ("host_tid", "host_pid"),
            false => ("tid", "pid"),
        };
        let mut label = vec![
            self.text_label("thread", &row.thread.comm),
            self.number_label(tid, row.thread.tid.into()),
            self.number_label(pid, row.thread.tgid.into()),
            self.text_label("context", row.context.name()),
        ];
        if row.thread.kthread {
            label.push(self.number_label("kthread", 1));
        }
        proto::Sample {
            location_id,
            value,
            label,
        }
    }

    /// The locations of a stack, outermost first. An inlined frame shares the location of the function
    /// that it was inlined into.
    fn stack(&mut self, frames: &[FrameId]) -> Vec<u64> {
        let profile = self.view.profile;
        let joined = |_: &FrameId, next: &FrameId| {
            matches!(profile.frame(*next), Frame::Named { inlined: true, .. })
        };
        frames
            .chunk_by(joined)
            .map(|group| self.location(group))
            .collect()
    }

    fn location(&mut self, group: &[FrameId]) -> u64 {
        let profile = self.view.profile;
        let line: Vec<proto::Line> = group
            .iter()
            .rev()
            .map(|&id| self.line(profile.frame(id)))
            .collect();
        // Groups are never empty, and their first frame is the one that holds the others.
        let outer = group.first().map(|&id| profile.frame(id));
        let (module, address) = match outer {
            Some(Frame::Named { module, .. }) => (module.as_deref(), 0),
            Some(Frame::Unknown { address, .. }) if self.addresses => (None, *address),
            _ => (None, 0),
        };
        let mapping = match module {
            Some(module) => self.mapping(&format!("[{module}]")),
            None => self.mapping(KERNEL),
        };
        self.intern_location(mapping, address, line)
    }

    fn stand_in(&mut self, label: &str) -> u64 {
        let function_id = self.function(label, label, "");
        let mapping = self.mapping(KERNEL);
        self.intern_location(
            mapping,
            0,
            vec![proto::Line {
                function_id,
                line: 0,
            }],
        )
    }

    fn line(&mut self, frame: &Frame) -> proto::Line {
        match frame {
            Frame::Named {
                name, module, line, ..
            } => {
                let full = match module {
                    Some(module) => format!("{name} [{module}]"),
                    None => name.clone(),
                };
                let (file, number) = match line {
                    Some(source) => (source.file.as_str(), i64::from(source.line)),
                    None => ("", 0),
                };
                let function_id = self.function(&full, name, file);
                proto::Line {
                    function_id,
                    line: number,
                }
            }
            Frame::Unknown { .. } | Frame::Limit { .. } => {
                let label = frame.label(self.addresses).to_string();
                let function_id = self.function(&label, &label, "");
                proto::Line {
                    function_id,
                    line: 0,
                }
            }
        }
    }

    fn intern_location(&mut self, mapping_id: u64, address: u64, line: Vec<proto::Line>) -> u64 {
        let next = self.locations.len() as u64 + 1;
        let key = (mapping_id, address, line.clone());
        let id = *self.location_index.entry(key).or_insert(next);
        if id == next {
            self.locations.push(proto::Location {
                id,
                mapping_id,
                address,
                line,
            });
        }
        id
    }

    fn function(&mut self, name: &str, system_name: &str, file: &str) -> u64 {
        let key = (
            self.string(name),
            self.string(system_name),
            self.string(file),
        );
        let next = self.functions.len() as u64 + 1;
        let id = *self.function_index.entry(key).or_insert(next);
        if id == next {
            let (name, system_name, filename) = key;
            self.functions.push(proto::Function {
                id,
                name,
                system_name,
                filename,
            });
        }
        id
    }

    fn mapping(&mut self, file: &str) -> u64 {
        let filename = self.string(file);
        let next = self.mappings.len() as u64 + 1;
        let id = *self.mapping_index.entry(filename).or_insert(next);
        if id == next {
            // All true, so that readers do not try to find names by themselves.
            self.mappings.push(proto::Mapping {
                id,
                filename,
                has_functions: true,
                has_filenames: true,
                has_line_numbers: true,
                has_inline_frames: true,
            });
        }
        id
    }

    fn text_label(&mut self, key: &str, text: &str) -> proto::Label {
        proto::Label {
            key: self.string(key),
            str: self.string(text),
            ..Default::default()
        }
    }

    fn number_label(&mut self, key: &str, num: i64) -> proto::Label {
        proto::Label {
            key: self.string(key),
            num,
            ..Default::default()
        }
    }
}
