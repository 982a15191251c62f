//! pprof files back into profiles: kprof's own whole, those of other tools as far as they go.

use std::collections::HashMap;
use std::io::Read;

use anyhow::{Context as _, Result, bail};
use flate2::read::MultiGzDecoder;
use prost::Message as _;

use super::super::folded;
use super::super::view::{NO_STACK, USER};
use super::{KERNEL, comments, proto};
use crate::profile::{Context, Frame, Meta, Profile, Sample, SourceLine, Thread, classify};

/// The largest profile read, unpacked: what is larger is no profile but an accident or an attack.
const LIMIT: u64 = 1 << 30;

/// Reads a pprof profile, gzipped or not.
pub fn read(mut reader: impl Read) -> Result<Profile> {
    let mut bytes = Vec::new();
    reader
        .by_ref()
        .take(LIMIT)
        .read_to_end(&mut bytes)
        .context("reading the pprof profile")?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        MultiGzDecoder::new(bytes.as_slice())
            .take(LIMIT)
            .read_to_end(&mut plain)
            .context("unpacking the pprof profile")?;
        bytes = plain;
    }
    let source = proto::Profile::decode(bytes.as_slice())
        .context("decoding the pprof profile: is it one?")?;
    if source.string_table.first().is_none_or(|s| !s.is_empty()) {
        bail!("decoding the pprof profile: its table of strings does not start with an empty one");
    }
    Reader::new(&source)?.read()
}

/// A frame stack for each location id, outermost first.
type Locations = HashMap<u64, Vec<Frame>>;

struct Reader<'a> {
    source: &'a proto::Profile,
    locations: Locations,
    /// Which of a sample's values is its count.
    count_at: usize,
}

impl<'a> Reader<'a> {
    fn new(source: &'a proto::Profile) -> Result<Reader<'a>> {
        let mut reader = Reader {
            source,
            locations: Locations::new(),
            count_at: 0,
        };
        reader.count_at = source
            .sample_type
            .iter()
            .position(|kind| reader.string(kind.unit).is_ok_and(|unit| unit == "count"))
            .unwrap_or(0);
        let functions: HashMap<u64, &proto::Function> =
            source.function.iter().map(|f| (f.id, f)).collect();
        let mut mappings = HashMap::new();
        for mapping in &source.mapping {
            mappings.insert(mapping.id, reader.string(mapping.filename)?);
        }
        for location in &source.location {
            let mapping = mappings.get(&location.mapping_id).copied().unwrap_or("");
            let mut frames = Vec::new();
            for (depth, line) in location.line.iter().rev().enumerate() {
                let function = functions
                    .get(&line.function_id)
                    .with_context(|| format!("pprof function {} is missing", line.function_id))?;
                frames.push(reader.frame(function, line.line, mapping, depth > 0)?);
            }
            if frames.is_empty() {
                frames.push(Frame::named(format!("{mapping}+{:#x}", location.address)));
            }
            reader.locations.insert(location.id, frames);
        }
        Ok(reader)
    }

    fn string(&self, index: i64) -> Result<&'a str> {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.source.string_table.get(index))
            .map(String::as_str)
            .with_context(|| format!("pprof string {index} is missing"))
    }

    fn frame(
        &self,
        function: &proto::Function,
        line: i64,
        mapping: &str,
        inlined: bool,
    ) -> Result<Frame> {
        let name = self.string(function.name)?;
        let system_name = self.string(function.system_name)?;
        let file = self.string(function.filename)?;
        if let nameless @ (Frame::Unknown { .. } | Frame::Limit { .. }) = folded::frame(name) {
            return Ok(nameless);
        }
        let module = mapping
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .filter(|_| mapping != KERNEL)
            .filter(|module| name == format!("{system_name} [{module}]"));
        Ok(Frame::Named {
            name: match module {
                Some(_) => system_name.to_owned(),
                None => name.to_owned(),
            },
            module: module.map(str::to_owned),
            line: (!file.is_empty()).then(|| SourceLine {
                file: file.to_owned(),
                line: u32::try_from(line).unwrap_or(0),
            }),
            inlined,
        })
    }

    fn read(&self) -> Result<Profile> {
        let mut meta = Meta::default();
        for &comment in &self.source.comment {
            if let Some(known) = comments::read(self.string(comment)?)? {
                // pprof joins files and keeps the comments of all of them.
                meta.merge(&known);
            }
        }
        meta.start_unix_ns = u64::try_from(self.source.time_nanos).unwrap_or(0);
        meta.duration_ns = u64::try_from(self.source.duration_nanos).unwrap_or(0);
        let mut profile = Profile::new(meta);
        for sample in &self.source.sample {
            self.sample(sample, &mut profile)?;
        }
        Ok(profile)
    }

    fn sample(&self, sample: &proto::Sample, profile: &mut Profile) -> Result<()> {
        let mut thread = Thread {
            tgid: 0,
            tid: 0,
            comm: String::new(),
            kthread: false,
            host_ids: false,
        };
        let mut context = None;
        for label in &sample.label {
            let number = u32::try_from(label.num).unwrap_or(0);
            match self.string(label.key)? {
                "thread" => thread.comm = self.string(label.str)?.to_owned(),
                "tid" => thread.tid = number,
                "pid" => thread.tgid = number,
                "host_tid" => (thread.tid, thread.host_ids) = (number, true),
                "host_pid" => (thread.tgid, thread.host_ids) = (number, true),
                "kthread" => thread.kthread = number != 0,
                "context" => {
                    let name = self.string(label.str)?;
                    context = Context::ALL.into_iter().find(|c| c.name() == name);
                }
                _ => {}
            }
        }
        let mut frames: Vec<&Frame> = Vec::new();
        for id in sample.location_id.iter().rev() {
            let found = self
                .locations
                .get(id)
                .with_context(|| format!("pprof location {id} is missing"))?;
            frames.extend(found);
        }
        if let ([only], Some(context)) = (frames.as_slice(), context) {
            let stands_in = match context {
                Context::User => only.function() == Some(USER),
                _ => only.function() == Some(NO_STACK),
            };
            if stands_in {
                frames.clear();
            }
        }
        let context = context.unwrap_or_else(|| {
            let functions = frames.iter().rev().filter_map(|frame| frame.function());
            classify(functions, thread.comm.starts_with("swapper/"))
        });
        let frames: Vec<_> = frames
            .into_iter()
            .map(|frame| profile.intern_frame(frame.clone()))
            .collect();
        let stack = profile.intern_stack(&frames);
        let thread = profile.intern_thread(thread);
        let count = sample.value.get(self.count_at).copied().unwrap_or(0);
        let sample = Sample {
            thread,
            stack,
            context,
        };
        profile.add(sample, u64::try_from(count).unwrap_or(0));
        Ok(())
    }
}
