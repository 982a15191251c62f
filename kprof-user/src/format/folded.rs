//! Folded stacks: `comm;outer;...;inner count`, one line for each distinct stack, sorted.
//!
//! Names are escaped so that the line has one reading, for kprof and for the tools that split at `;`
//! and at the last space.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, Write};

use anyhow::{Context as _, Result};

use super::view::{HOST, NO_STACK, USER, View};
use crate::profile::{
    Context, Frame, MAX_TOTAL, Meta, Profile, Sample, Show, SourceLine, Thread, UnknownReason,
    classify,
};

/// Writes folded stacks, sorted by line.
pub fn write(profile: &Profile, show: &Show, out: &mut dyn Write) -> Result<()> {
    for (stack, count) in lines(&View::new(profile, show)) {
        writeln!(out, "{stack} {count}").context("writing folded stacks")?;
    }
    out.flush().context("writing folded stacks")
}

/// The lines without their counts, and the counts.
pub(super) fn lines(view: &View<'_>) -> BTreeMap<String, u64> {
    let mut lines = BTreeMap::new();
    for row in &view.rows {
        let mut line = escape(&view.thread(row.thread));
        for label in view.labels(row) {
            line.push(';');
            line.push_str(&escape(label));
        }
        *lines.entry(line).or_default() += row.count;
    }
    lines
}

/// Reads folded stacks, kprof's own or another tool's.
///
/// `show` says how they were written: `threads` takes the id off the thread's name, `idle` and `user`
/// say whether idle tasks and `[user]` are to be told from other stacks. The context of each stack is
/// told from its functions.
pub fn parse(reader: impl BufRead, show: &Show) -> Result<Profile> {
    let mut profile = Profile::new(Meta::default());
    let mut total = 0u64;
    for (number, line) in reader.lines().enumerate() {
        let number = number + 1;
        let line = line.with_context(|| format!("reading folded stacks, line {number}"))?;
        let line = line.trim_end_matches('\r');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (stack, count) = line
            .rsplit_once(' ')
            .and_then(|(stack, count)| Some((stack, count.parse::<u64>().ok()?)))
            .with_context(|| {
                format!("folded stacks, line {number}: expected `comm;outer;inner COUNT`")
            })?;
        total = total
            .checked_add(count)
            .filter(|&total| total <= MAX_TOTAL)
            .with_context(|| {
                format!("folded stacks, line {number}: the counts add up to more than {MAX_TOTAL}")
            })?;
        add(&mut profile, stack, count, show);
    }
    Ok(profile)
}

fn add(profile: &mut Profile, stack: &str, count: u64, show: &Show) {
    let mut names = stack.split(';').map(unescape);
    // `split` gives at least one item, be it empty.
    let thread = thread(&names.next().unwrap_or_default(), show);
    let names: Vec<String> = names.collect();
    let idle_task = show.idle && thread.comm.starts_with("swapper/");
    let (frames, context) = match names.as_slice() {
        [only] if only == USER && show.user => (Vec::new(), Context::User),
        [only] if only == NO_STACK => (Vec::new(), classify([].into_iter(), idle_task)),
        _ => {
            let mut frames: Vec<Frame> = names.iter().map(|name| frame(name)).collect();
            // There is nothing that the outermost one could have been inlined into.
            if let Some(first) = frames.first_mut().filter(|first| first.is_inlined()) {
                *first = Frame::named(&names[0]);
            }
            // Where the outer end is missing, an interrupt may be.
            let idle_task = idle_task && !matches!(frames.first(), Some(Frame::Limit { .. }));
            let context = classify(frames.iter().rev().filter_map(Frame::function), idle_task);
            (frames, context)
        }
    };
    let frames: Vec<_> = frames
        .into_iter()
        .map(|frame| profile.intern_frame(frame))
        .collect();
    let stack = profile.intern_stack(&frames);
    let thread = profile.intern_thread(thread);
    profile.add(
        Sample {
            thread,
            stack,
            context,
        },
        count,
    );
}

fn thread(name: &str, show: &Show) -> Thread {
    let (ids, host_ids) = match name.strip_suffix(HOST) {
        Some(ids) => (ids, true),
        None => (name, false),
    };
    let parts = ids
        .rsplit_once('-')
        .and_then(|(comm, tid)| Some((comm, tid.parse().ok()?, host_ids)))
        .filter(|_| show.threads);
    let (comm, tid, host_ids) = parts.unwrap_or((name, 0, false));
    Thread {
        tgid: 0,
        tid,
        comm: comm.to_owned(),
        kthread: false,
        host_ids,
    }
}

/// The frame that has this label.
pub(super) fn frame(label: &str) -> Frame {
    let frame = unknown(label)
        .or_else(|| limit(label))
        .unwrap_or_else(|| named(label));
    let same = frame.label(false).to_string() == label || frame.label(true).to_string() == label;
    if same { frame } else { Frame::named(label) }
}

fn unknown(label: &str) -> Option<Frame> {
    let inner = label.strip_prefix("[unknown")?.strip_suffix(']')?;
    let (address, words) = inner.split_once(": ")?;
    let address = match address.strip_prefix(" 0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => 0,
    };
    let reason = UnknownReason::ALL
        .into_iter()
        .find(|r| r.words() == words)?;
    Some(Frame::Unknown { address, reason })
}

fn limit(label: &str) -> Option<Frame> {
    let inner = label.strip_prefix("[stack limit: ")?;
    let frames = inner.strip_suffix(" frames]")?.parse().ok()?;
    Some(Frame::Limit { frames })
}

fn named(label: &str) -> Frame {
    let (rest, inlined) = match label.strip_suffix(" (inlined)") {
        Some(rest) => (rest, true),
        None => (label, false),
    };
    let source = rest.rsplit_once(' ').and_then(|(rest, source)| {
        let (file, line) = source.rsplit_once(':')?;
        let line = line.parse().ok()?;
        let file = file.to_owned();
        Some((rest, SourceLine { file, line }))
    });
    let (rest, line) = match source {
        Some((rest, line)) => (rest, Some(line)),
        None => (rest, None),
    };
    let module = rest
        .strip_suffix(']')
        .and_then(|rest| rest.rsplit_once(" ["))
        .filter(|(name, _)| !name.is_empty());
    let (name, module) = match module {
        Some((name, module)) => (name, Some(module.to_owned())),
        None => (rest, None),
    };
    Frame::Named {
        name: name.to_owned(),
        module,
        line,
        inlined,
    }
}

/// Escapes what would be read as something else: `;`, `\`, control characters, a leading `#` or space,
/// and spaces before digits at the end, which look like a count.
pub(super) fn escape(name: &str) -> String {
    let tail = name.trim_end_matches(|c: char| c == ' ' || c == '.' || c.is_ascii_digit());
    let tail_at = tail.len();
    let mut escaped = String::with_capacity(name.len());
    for (at, c) in name.char_indices() {
        let plain = match c {
            ' ' => at > 0 && at < tail_at,
            '#' => at > 0,
            ';' | '\\' | '\u{fffe}' | '\u{ffff}' => false,
            c => !c.is_control() && !c.is_whitespace(),
        };
        // Writing to a `String` can't fail.
        let _ = match c {
            c if plain => {
                escaped.push(c);
                Ok(())
            }
            '\\' => escaped.write_str("\\\\"),
            '\n' => escaped.write_str("\\n"),
            c if (c as u32) < 0x100 => write!(escaped, "\\x{:02x}", c as u32),
            c => write!(escaped, "\\u{:04x}", c as u32),
        };
    }
    escaped
}

/// Undoes [`escape`]. What is no escape of kprof's stays as it is.
fn unescape(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let escape = &rest[at + 1..];
        let hex = |digits: usize| {
            let code = u32::from_str_radix(escape.get(1..1 + digits)?, 16).ok()?;
            Some((char::from_u32(code)?, 1 + digits))
        };
        let found = match escape.as_bytes().first() {
            Some(b'\\') => Some(('\\', 1)),
            Some(b'n') => Some(('\n', 1)),
            Some(b'x') => hex(2),
            Some(b'u') => hex(4),
            _ => None,
        };
        let (c, len) = found.unwrap_or(('\\', 0));
        plain.push(c);
        rest = &escape[len..];
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_syntax_are_escaped_and_come_back() {
        let names = [
            ("a;b", "a\\x3bb"),
            ("a\nb", "a\\nb"),
            ("a\\nb", "a\\\\nb"),
            ("# x", "\\x23 x"),
            (" x", "\\x20x"),
            ("x 12", "x\\x2012"),
            ("x 1 2", "x\\x201\\x202"),
            ("x y", "x y"),
            ("tab\there", "tab\\x09here"),
            ("kworker/0:1", "kworker/0:1"),
        ];
        for (name, escaped) in names {
            assert_eq!(escape(name), escaped);
            assert_eq!(unescape(escaped), name);
        }
        assert_eq!(unescape("C:\\Users\\xyz"), "C:\\Users\\xyz");
    }

    #[test]
    fn labels_become_the_frames_they_came_from() {
        let full = Frame::Named {
            name: "nf_conntrack_in".into(),
            module: Some("nf_conntrack".into()),
            line: Some(SourceLine {
                file: "net/netfilter/nf_conntrack_core.c".into(),
                line: 2001,
            }),
            inlined: true,
        };
        assert_eq!(frame(&full.label(false).to_string()), full);
        let unknown = Frame::Unknown {
            address: 0xffff_ffff_8100_0000,
            reason: UnknownReason::OutsideSymbols,
        };
        assert_eq!(frame(&unknown.label(true).to_string()), unknown);
        let limit = Frame::Limit { frames: 50 };
        assert_eq!(frame(&limit.label(false).to_string()), limit);
        assert_eq!(
            frame("void f(int) [clone .isra.0]").function(),
            Some("void f(int)")
        );
    }

    #[test]
    fn the_outermost_function_is_never_an_inlined_one() {
        let profile = parse(
            &b"x;f a.c:1 (inlined);g (inlined) 1\n"[..],
            &Show::default(),
        )
        .unwrap();
        let frames: Vec<_> = profile.frames().collect();
        assert_eq!(*frames[0], Frame::named("f a.c:1 (inlined)"));
        assert!(frames[1].is_inlined());
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = parse(&b"a;b 1\na;c x\n"[..], &Show::default()).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
        let much = format!("a;b {MAX_TOTAL}\n\na;c 1\n");
        let error = parse(much.as_bytes(), &Show::default()).unwrap_err();
        assert!(error.to_string().contains("line 3"), "{error}");
    }
}
