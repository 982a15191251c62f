//! One level of a stack.

use std::fmt;

/// Why a frame has no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UnknownReason {
    /// The kernel hides its symbols from this process (`kernel.kptr_restrict`, `CAP_SYSLOG`).
    SymbolsHidden,
    /// The address lies outside every symbol that the kernel lists.
    OutsideSymbols,
    /// The symbol list could not be read.
    NoSymbols,
}

impl UnknownReason {
    /// All reasons.
    pub const ALL: [UnknownReason; 3] = [
        UnknownReason::SymbolsHidden,
        UnknownReason::OutsideSymbols,
        UnknownReason::NoSymbols,
    ];

    /// The words put into a frame's label.
    pub fn words(self) -> &'static str {
        match self {
            UnknownReason::SymbolsHidden => "symbols hidden",
            UnknownReason::OutsideSymbols => "outside all symbols",
            UnknownReason::NoSymbols => "no symbol list",
        }
    }
}

/// Where in the source a frame is, when `--lines` found it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceLine {
    /// Source file, as the debug information names it.
    pub file: String,
    /// Line number, from 1; 0 where unknown.
    pub line: u32,
}

/// One frame. Frames that compare equal are one node of a flame graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Frame {
    /// A frame with a name.
    Named {
        /// Function name as the kernel lists it.
        name: String,
        /// Module (`nf_conntrack`), or `bpf` for a BPF program; `None` for the kernel proper.
        module: Option<String>,
        /// Source position, if asked for and found.
        line: Option<SourceLine>,
        /// The compiler inlined this function into the next outer one.
        inlined: bool,
    },
    /// A frame that could not be named.
    Unknown {
        /// The address as sampled; it leaves the machine only when asked for.
        address: u64,
        /// Why there is no name.
        reason: UnknownReason,
    },
    /// Not a frame: stands outermost in a stack of as many frames as are kept, which may have had more.
    Limit {
        /// How many frames are kept.
        frames: u32,
    },
}

impl Frame {
    /// A plain kernel function.
    pub fn named(name: impl Into<String>) -> Frame {
        Frame::Named {
            name: name.into(),
            module: None,
            line: None,
            inlined: false,
        }
    }

    /// Function name without module or position; `None` if unknown.
    pub fn function(&self) -> Option<&str> {
        match self {
            Frame::Named { name, .. } => Some(name),
            Frame::Unknown { .. } | Frame::Limit { .. } => None,
        }
    }

    /// Whether the compiler inlined it into the next outer frame.
    pub fn is_inlined(&self) -> bool {
        matches!(self, Frame::Named { inlined: true, .. })
    }

    /// The text of the frame in every output. Kernel addresses appear only if `addresses` is set.
    pub fn label(&self, addresses: bool) -> Label<'_> {
        Label {
            frame: self,
            addresses,
        }
    }
}

/// Displays a [`Frame`]; made by [`Frame::label`].
#[derive(Debug)]
pub struct Label<'a> {
    frame: &'a Frame,
    addresses: bool,
}

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.frame {
            Frame::Named {
                name,
                module,
                line,
                inlined,
            } => {
                f.write_str(name)?;
                if let Some(module) = module {
                    write!(f, " [{module}]")?;
                }
                if let Some(SourceLine { file, line }) = line {
                    write!(f, " {file}:{line}")?;
                }
                if *inlined {
                    f.write_str(" (inlined)")?;
                }
                Ok(())
            }
            Frame::Unknown { address, reason } if self.addresses => {
                write!(f, "[unknown {address:#x}: {}]", reason.words())
            }
            Frame::Unknown { reason, .. } => write!(f, "[unknown: {}]", reason.words()),
            Frame::Limit { frames } => write!(f, "[stack limit: {frames} frames]"),
        }
    }
}
