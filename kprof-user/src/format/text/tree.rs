//! The hottest paths as a tree.

use std::collections::HashMap;

use super::super::caption::{fit, percent, samples};
use super::super::view::View;
use super::Text;

/// Lines of a tree at most; the cut-off rises until it fits.
const LINES: usize = 60;
/// Levels of branching at most. Deeper ones are counted with their parent.
const DEPTH: usize = 14;
/// Cut-offs tried in turn, percent of the samples shown.
const CUTS: [f64; 5] = [1.0, 2.0, 5.0, 10.0, 20.0];
/// Frames of one unbranched chain that are written out; of a longer one, the middle is left out.
const CHAIN: usize = 16;
/// What part of a chain's samples its last frame still holds; below that, a new line begins.
const SAME: f64 = 0.95;
/// Columns before a path begins.
const MARGIN: usize = 11;

/// Writes the tree of all paths that hold a percent of the samples or more.
pub(super) fn paths(text: &mut Text, view: &View<'_>) {
    let tree = Tree::new(view);
    let mut lines = Vec::new();
    let mut cut = 0.0;
    for next in CUTS {
        cut = next;
        lines = tree.lines(view.total as f64, cut, text.width);
        if lines.len() <= LINES {
            break;
        }
    }
    lines.truncate(LINES);
    text.paragraph(&format!(
        "Hottest paths (of the {} shown; under {cut:.0} % left out; > joins frames within 5 %)",
        samples(view.total)
    ));
    for line in &lines {
        text.line(line);
    }
    text.gap();
}

struct Node {
    label: String,
    total: u64,
    children: Vec<usize>,
}

/// All stacks merged from the outside; node 0 stands for everything.
struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    fn new(view: &View<'_>) -> Tree {
        let root = Node {
            label: String::new(),
            total: view.total,
            children: Vec::new(),
        };
        let mut tree = Tree { nodes: vec![root] };
        let mut known: HashMap<(usize, String), usize> = HashMap::new();
        for row in &view.rows {
            let thread = view.thread(row.thread);
            let mut at = 0;
            for label in std::iter::once(thread.as_str()).chain(view.labels(row)) {
                let next = tree.nodes.len();
                let node = *known.entry((at, label.to_owned())).or_insert(next);
                if node == next {
                    tree.nodes[at].children.push(node);
                    tree.nodes.push(Node {
                        label: label.to_owned(),
                        total: 0,
                        children: Vec::new(),
                    });
                }
                tree.nodes[node].total += row.count;
                at = node;
            }
        }
        tree
    }

    /// The children that pass the cut, hottest first.
    fn visible(&self, node: usize, least: f64) -> Vec<usize> {
        let mut children: Vec<usize> = self.nodes[node]
            .children
            .iter()
            .copied()
            .filter(|&child| self.nodes[child].total as f64 >= least)
            .collect();
        children.sort_unstable_by(|&a, &b| {
            let (a, b) = (&self.nodes[a], &self.nodes[b]);
            b.total.cmp(&a.total).then(a.label.cmp(&b.label))
        });
        children
    }

    fn lines(&self, whole: f64, cut: f64, width: usize) -> Vec<String> {
        let least = whole * cut / 100.0;
        let mut lines = Vec::new();
        // A stack of what is still to be written, so that the hottest comes off first.
        let mut open: Vec<(usize, usize)> = self
            .visible(0, least)
            .into_iter()
            .rev()
            .map(|node| (node, 0))
            .collect();
        while let Some((node, depth)) = open.pop() {
            let (chain, end) = self.chain(node, least, depth == 0);
            let share = percent(self.nodes[node].total, whole);
            lines.extend(wrap(share, depth, &chain, width));
            if depth < DEPTH {
                let children = self.visible(end, least);
                open.extend(children.into_iter().rev().map(|child| (child, depth + 1)));
            }
        }
        lines
    }

    /// A node and the unbranched frames below it that hold nearly ([`SAME`]) the same samples, and the
    /// node at which that ends. A thread stands alone.
    fn chain(&self, node: usize, least: f64, thread: bool) -> (Vec<&str>, usize) {
        let mut chain = vec![self.nodes[node].label.as_str()];
        let mut end = node;
        if thread {
            return (chain, end);
        }
        let total = self.nodes[node].total as f64;
        while let [only] = self.visible(end, least)[..]
            && self.nodes[only].total as f64 >= SAME * total
        {
            chain.push(&self.nodes[only].label);
            end = only;
        }
        (chain, end)
    }
}

/// A chain as lines: `share  a > b > c`, continued below its own start. A frame that is too long for a
/// line is shortened.
fn wrap(share: f64, depth: usize, chain: &[&str], width: usize) -> Vec<String> {
    let left_out;
    let mut parts: Vec<&str> = chain.to_vec();
    if parts.len() > CHAIN {
        let (head, tail) = (CHAIN / 2, CHAIN / 2 - 1);
        left_out = format!("({} frames)", parts.len() - head - tail);
        parts.splice(head..parts.len() - tail, [left_out.as_str()]);
    }
    let indent = 2 * depth;
    let room = width.saturating_sub(MARGIN + indent);
    let mut lines = Vec::new();
    let mut line = format!("  {share:>5.1} %  {:indent$}", "");
    let mut empty = true;
    for (at, part) in parts.iter().enumerate() {
        let joint = if at == 0 { "" } else { "> " };
        let part = fit(part, room.saturating_sub(joint.len()));
        let space = if empty { "" } else { " " };
        let len = line.chars().count() + space.len() + joint.len() + part.chars().count();
        if !empty && len > width {
            lines.push(std::mem::take(&mut line));
            line = format!("{:width$}{joint}{part}", "", width = MARGIN + indent);
        } else {
            line.push_str(space);
            line.push_str(joint);
            line.push_str(&part);
        }
        empty = false;
    }
    lines.push(line);
    lines
}
