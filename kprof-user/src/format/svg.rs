//! The interactive flame graph, with what it shows written into it.

use std::io::Write;

use anyhow::{Context as _, Result};
use inferno::flamegraph::color::{BackgroundColor, Color, PaletteMap};
use inferno::flamegraph::{Options, TextTruncateDirection, from_lines};

use super::view::{NO_STACK, USER, View};
use super::{caption, folded, losses};
use crate::profile::{Profile, Show};

/// Characters of a line of notes where no script runs: at 12 pixels monospace they fit into 950 pixels.
/// [`SCRIPT`] breaks them anew to fit the window.
const NOTE_WIDTH: usize = 128;
/// Fits the words to the window.
const SCRIPT: &str = include_str!("notes.js");
/// Pixels from one line of notes to the next.
const LINE_HEIGHT: usize = 17;
/// Where the first line of notes stands, below the title.
const FIRST_NOTE: usize = 46;
/// What words are drawn in, dark on light.
const INK: &str = "#222222";

/// Writes a flame graph. `explanation` is shown if the graph is empty.
pub fn write(
    profile: &Profile,
    show: &Show,
    explanation: Option<&str>,
    out: &mut dyn Write,
) -> Result<()> {
    let view = View::new(profile, show);
    let svg = if view.total == 0 {
        empty(profile, &view, explanation)
    } else {
        graph(profile, &view)?
    };
    out.write_all(svg.as_bytes())
        .and_then(|()| out.flush())
        .context("writing the flame graph")
}

fn graph(profile: &Profile, view: &View<'_>) -> Result<String> {
    let lines: Vec<String> = folded::lines(view)
        .into_iter()
        .map(|(stack, count)| format!("{stack} {count}"))
        .collect();
    let mut palette = palette(view);
    let mut options = Options::default();
    options.title = caption::printable(&caption::title(&profile.meta));
    options.name_type = "Frame:".to_owned();
    options.text_truncate_direction = TextTruncateDirection::Right;
    options.bgcolors = Some(BackgroundColor::Flat(Color::new(0xfa, 0xfa, 0xf7)));
    options.deterministic = true;
    options.palette_map = Some(&mut palette);
    let mut svg = Vec::new();
    from_lines(&mut options, lines.iter().map(String::as_str), &mut svg)
        .context("drawing the flame graph")?;
    let svg = String::from_utf8(svg).context("drawing the flame graph")?;
    insert_notes(&svg, &notes(profile, view))
        .context("inferno's picture has another layout than the one kprof writes its notes into")
}

/// What the picture says of itself.
fn notes(profile: &Profile, view: &View<'_>) -> Vec<String> {
    let shown = caption::samples(view.total);
    let of_whole = match caption::whole(&profile.meta) {
        Some(whole) => format!(
            ", which are {:.1} % of {} x {}",
            caption::percent(view.total, whole),
            caption::cpus(&profile.meta),
            caption::seconds(profile.meta.duration_ns),
        ),
        None => String::new(),
    };
    let mut notes = vec![
        caption::how(&profile.meta),
        format!(
            "Width is a frame's share of the {shown} shown{of_whole}. Left to right is alphabetical, not time."
        ),
    ];
    notes.extend(losses::missing(&profile.meta));
    notes.extend(caption::hidden(profile, view));
    notes.extend(caption::caveat(view));
    notes.extend(caption::stack_limit(view));
    notes.push(
        "Blue: thread, orange: kernel, green: module, purple: BPF program, grey: no name. Click to zoom, Ctrl-F to search."
            .to_owned(),
    );
    notes
}

/// The colour of each frame by what kind of code it is; shades tell neighbours apart.
fn palette(view: &View<'_>) -> PaletteMap {
    let mut palette = PaletteMap::default();
    palette.insert("", Color::new(0xd9, 0xd9, 0xd4));
    for row in &view.rows {
        for label in view.labels(row) {
            let base = match label {
                USER | NO_STACK => Kind::Nameless,
                label if label.starts_with("[unknown") || label.starts_with("[stack limit") => {
                    Kind::Nameless
                }
                label if label.contains(" [bpf]") => Kind::Bpf,
                label if label.contains(" [") => Kind::Module,
                _ => Kind::Kernel,
            };
            let label = folded::escape(label);
            let color = base.shade(&label);
            palette.insert(label, color);
        }
    }
    for row in &view.rows {
        let label = folded::escape(&view.thread(row.thread));
        let color = Kind::Thread.shade(&label);
        palette.insert(label, color);
    }
    palette
}

/// What a colour stands for.
#[derive(Clone, Copy)]
enum Kind {
    Thread,
    Kernel,
    Module,
    Bpf,
    Nameless,
}

impl Kind {
    /// A light shade, so that dark text on it reads well; the same for the same name in every picture.
    fn shade(self, name: &str) -> Color {
        // FNV-1a: short, and the same on every machine and in every release.
        let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        let (low, high) = match self {
            Kind::Thread => ([0x9c, 0xbf, 0xe0], [0xb4, 0xd2, 0xee]),
            Kind::Kernel => ([0xf2, 0xa0, 0x5a], [0xfc, 0xd3, 0x8a]),
            Kind::Module => ([0x95, 0xcc, 0x92], [0xbf, 0xe2, 0xae]),
            Kind::Bpf => ([0xc4, 0xa6, 0xe0], [0xdc, 0xc6, 0xf0]),
            Kind::Nameless => ([0xc0, 0xc0, 0xbc], [0xcc, 0xcc, 0xc8]),
        };
        let share = (hash >> 8) % 256;
        let mix = |at: usize| -> u8 {
            let (low, high): (u32, u32) = (low[at], high[at]);
            // Between two bytes, so a byte.
            ((low * (255 - share) + high * share) / 255) as u8
        };
        Color::new(mix(0), mix(1), mix(2))
    }
}

/// Puts lines of text between the title and the frames, and moves the rest down to make room.
///
/// inferno has one line below the title and no more. Its script reads no height and compares `y` of
/// frames only with each other, so that a taller picture and a shifted `frames` element are enough.
/// `None` if the picture is not laid out as inferno 0.12.8 does it.
fn insert_notes(svg: &str, notes: &[String]) -> Option<String> {
    let (head, body) = svg.split_once(r#"<svg id="frames" "#)?;
    let height: usize = between(head, r#" height=""#, "\"")?.parse().ok()?;
    let (notes, end) = note_elements(notes, FIRST_NOTE);
    let room = end - 36;
    let tall = height + room;
    let mut head = replace_once(
        head,
        &format!(r#"height="{height}""#),
        &format!(r#"height="{tall}""#),
    )?;
    head = replace_once(
        &head,
        &format!(r#" {height}" xmlns="#),
        &format!(r#" {tall}" xmlns="#),
    )?;
    head = replace_once(&head, &format!(r#"height="{height}""#), r#"height="100%""#)?;
    for id in ["details", "matched"] {
        let (before, element) = head.split_once(&format!(r#"<text id="{id}""#))?;
        let y = between(element, r#" y=""#, "\"")?;
        let moved: f64 = y.parse::<f64>().ok()? + room as f64;
        let element = replace_once(
            element,
            &format!(r#" y="{y}""#),
            &format!(r#" y="{moved:.2}""#),
        )?;
        head = format!(r#"{before}<text id="{id}"{element}"#);
    }
    // By itself the word is too pale to be found.
    head = head.replace("opacity:0.1;", "opacity:0.7;");
    Some(format!(
        r#"{head}{notes}{}<svg id="frames" y="{room}" {body}"#,
        script()
    ))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?
        .1
        .split_once(after)
        .map(|(found, _)| found)
}

fn replace_once(text: &str, from: &str, to: &str) -> Option<String> {
    let (before, after) = text.split_once(from)?;
    Some(format!("{before}{to}{after}"))
}

/// Notes below each other, the first line at `y`, and where the next line would be.
fn note_elements(notes: &[String], mut y: usize) -> (String, usize) {
    let mut elements = String::new();
    for note in notes {
        let mut lines = caption::wrap(&caption::printable(note), NOTE_WIDTH);
        if lines.is_empty() {
            lines.push(String::new());
        }
        elements.push_str(&format!(r#"<text class="note" fill="{INK}">"#));
        let last = lines.len() - 1;
        for (at, line) in lines.iter().enumerate() {
            // The script takes the words out of the lines again.
            let space = if at < last { " " } else { "" };
            let line = escape(line);
            elements.push_str(&format!(r#"<tspan x="10" y="{y}">{line}{space}</tspan>"#));
            y += LINE_HEIGHT;
        }
        elements.push_str("</text>");
    }
    (elements, y)
}

fn script() -> String {
    format!("<script type=\"text/ecmascript\"><![CDATA[\n{SCRIPT}]]></script>")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A picture without frames that says why it has none.
fn empty(profile: &Profile, view: &View<'_>, explanation: Option<&str>) -> String {
    let mut lines = vec![
        caption::title(&profile.meta),
        caption::how(&profile.meta),
        String::new(),
    ];
    lines.extend(
        caption::empty(profile, view, explanation)
            .lines()
            .map(str::to_owned),
    );
    let (text, end) = note_elements(&lines, 30);
    let height = end + FIRST_NOTE - 30;
    let script = script();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <svg version=\"1.1\" width=\"1200\" height=\"{height}\" viewBox=\"0 0 1200 {height}\" \
         xmlns=\"http://www.w3.org/2000/svg\" font-family=\"monospace\" font-size=\"12\">\
         <rect width=\"100%\" height=\"100%\" fill=\"#fafaf7\"/>{text}{script}</svg>\n"
    )
}
