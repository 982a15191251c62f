//! pprof files back into profiles: kprof's own whole, those of other tools as far as they go.

use std::collections::HashMap;
use std::io::Read;

use anyhow::{Context as _, Result, bail};
use flate2::read::MultiGzDecoder;
use prost::Message as _;

use super::super::folded;
use super::super::view::{NO_STACK, USER};
use super::{KERNEL, comments, proto};
use crate::profile::{
    Context, Frame, FrameId, MAX_TOTAL, Marker, Meta, Profile, Sample, SourceLine, Thread,
    classify_markers, marker,
};

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
    Reader::new(&source, bytes.len())?.read()
}

/// The frames of a location, outermost first, and what they tell about the context.
type Location = Vec<(FrameId, Option<Marker>)>;

struct Reader<'a> {
    source: &'a proto::Profile,
    profile: Profile,
    locations: HashMap<u64, Location>,
    /// Which of a sample's values is its count.
    count_at: usize,
    budget: Budget,
}

/// Bytes that names and stacks may still take. A few bytes of a file can stand for the whole of a long name or of a
/// long stack, again and again; real profiles unfold to a few times their size.
struct Budget(usize);

impl Budget {
    fn of(file: usize) -> Budget {
        Budget((16 << 20) + file.saturating_mul(128))
    }

    fn spend(&mut self, bytes: usize) -> Result<()> {
        self.0 = self
            .0
            .checked_sub(bytes)
            .context("the pprof profile unfolds to far more than its size")?;
        Ok(())
    }
}

impl<'a> Reader<'a> {
    fn new(source: &'a proto::Profile, file: usize) -> Result<Reader<'a>> {
        let mut reader = Reader {
            source,
            profile: Profile::default(),
            locations: HashMap::new(),
            count_at: 0,
            budget: Budget::of(file),
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
                let frame = reader.frame(function, line.line, mapping, depth > 0)?;
                frames.push(reader.intern(frame)?);
            }
            if frames.is_empty() {
                let frame = Frame::named(format!("{mapping}+{:#x}", location.address));
                frames.push(reader.intern(frame)?);
            }
            reader.locations.insert(location.id, frames);
        }
        Ok(reader)
    }

    fn intern(&mut self, frame: Frame) -> Result<(FrameId, Option<Marker>)> {
        let text = match &frame {
            Frame::Named {
                name, module, line, ..
            } => {
                let file = line.as_ref().map_or(0, |line| line.file.len());
                name.len() + module.as_ref().map_or(0, String::len) + file
            }
            Frame::Unknown { .. } | Frame::Limit { .. } => 0,
        };
        self.budget.spend(text)?;
        let marker = frame.function().and_then(marker);
        Ok((self.profile.intern_frame(frame), marker))
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
            .filter(|module| {
                let rest = name.strip_prefix(system_name);
                let rest = rest.and_then(|rest| rest.strip_prefix(" [")?.strip_suffix(']'));
                rest == Some(*module)
            });
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

    fn read(mut self) -> Result<Profile> {
        let mut meta = Meta::default();
        for &comment in &self.source.comment {
            let comment = self.string(comment)?;
            self.budget.spend(comment.len())?;
            if let Some(known) = comments::read(comment)? {
                // pprof joins files and keeps the comments of all of them.
                meta.merge(&known);
            }
        }
        meta.start_unix_ns = u64::try_from(self.source.time_nanos).unwrap_or(0);
        meta.duration_ns = u64::try_from(self.source.duration_nanos).unwrap_or(0);
        self.profile.meta = meta;
        let mut total = 0u64;
        for sample in &self.source.sample {
            let count = sample.value.get(self.count_at).copied().unwrap_or(0);
            let count = u64::try_from(count).unwrap_or(0);
            total = total
                .checked_add(count)
                .filter(|&total| total <= MAX_TOTAL)
                .with_context(|| {
                    format!("the pprof profile's counts add up to more than {MAX_TOTAL}")
                })?;
            self.sample(sample, count)?;
        }
        Ok(self.profile)
    }

    fn sample(&mut self, sample: &proto::Sample, count: u64) -> Result<()> {
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
                "thread" => {
                    let comm = self.string(label.str)?;
                    self.budget.spend(comm.len())?;
                    thread.comm = comm.to_owned();
                }
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
        let mut frames = Location::new();
        for id in sample.location_id.iter().rev() {
            let found = self
                .locations
                .get(id)
                .with_context(|| format!("pprof location {id} is missing"))?;
            self.budget.spend(size_of_val(found.as_slice()))?;
            frames.extend(found);
        }
        if let ([(only, _)], Some(context)) = (frames.as_slice(), context) {
            let only = self.profile.frame(*only).function();
            let stands_in = match context {
                Context::User => only == Some(USER),
                _ => only == Some(NO_STACK),
            };
            if stands_in {
                frames.clear();
            }
        }
        let context = context.unwrap_or_else(|| {
            let markers = frames.iter().rev().filter_map(|(_, marker)| *marker);
            classify_markers(markers, thread.comm.starts_with("swapper/"))
        });
        let frames: Vec<FrameId> = frames.into_iter().map(|(frame, _)| frame).collect();
        let stack = self.profile.intern_stack(&frames);
        let thread = self.profile.intern_thread(thread);
        let sample = Sample {
            thread,
            stack,
            context,
        };
        self.profile.add(sample, count);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::proto::{Function, Label, Line, Location};
    use super::*;

    /// One function, with a name of so many bytes, at so many lines of one location.
    fn source(name: usize, lines: i64) -> proto::Profile {
        let strings = ["", "count", "thread"].map(str::to_owned);
        proto::Profile {
            sample_type: vec![proto::ValueType { r#type: 0, unit: 1 }],
            string_table: strings.into_iter().chain(["x".repeat(name)]).collect(),
            function: vec![Function {
                id: 1,
                name: 3,
                ..Function::default()
            }],
            location: vec![Location {
                id: 1,
                line: (0..lines)
                    .map(|line| Line {
                        function_id: 1,
                        line,
                    })
                    .collect(),
                ..Location::default()
            }],
            ..proto::Profile::default()
        }
    }

    fn sample(locations: usize, count: i64) -> proto::Sample {
        proto::Sample {
            location_id: vec![1; locations],
            value: vec![count],
            label: Vec::new(),
        }
    }

    fn refusal(source: &proto::Profile) -> String {
        read(source.encode_to_vec().as_slice())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_file_that_unfolds_to_far_more_than_its_size_is_refused() {
        let words = "far more than its size";
        let mut source = self::source(9, 2_000);
        source.sample = vec![sample(100, 1); 5];
        assert_eq!(read(source.encode_to_vec().as_slice()).unwrap().total(), 5);
        // Long stacks of many lines each.
        source.sample = vec![sample(2_000, 1); 5];
        assert!(refusal(&source).contains(words));
        // The same long name in many places: lines, threads, comments.
        let mut source = self::source(100_000, 1);
        let file = source.location[0].line[0];
        source.function[0].filename = 3;
        source.location[0].line = (0..2_000).map(|line| Line { line, ..file }).collect();
        assert!(refusal(&source).contains(words));
        let mut source = self::source(100_000, 1);
        source.sample = vec![sample(1, 1); 2_000];
        for sample in &mut source.sample {
            let (key, str) = (2, 3);
            sample.label = vec![Label {
                key,
                str,
                ..Label::default()
            }];
        }
        assert!(refusal(&source).contains(words));
        let mut source = self::source(100_000, 1);
        source.comment = vec![3; 2_000];
        assert!(refusal(&source).contains(words));
    }

    #[test]
    fn counts_that_no_sum_can_hold_are_refused() {
        let mut source = self::source(9, 1);
        source.sample = vec![sample(1, i64::MAX)];
        assert_eq!(
            read(source.encode_to_vec().as_slice()).unwrap().total(),
            MAX_TOTAL
        );
        source.sample.push(sample(1, 1));
        assert!(refusal(&source).contains("add up to more"));
    }
}
