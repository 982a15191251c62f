//! What must hold for any input that kprof reads.
//!
//! A [`Target`] is a parser and the laws that it keeps, tried on one input: no panic, bounded time and memory, and
//! what the parser's own documents promise (what is written comes back; no address gets a name past the next
//! symbol). The `engine` looks for inputs that break one (`cargo xtask fuzz`); the test `corpus` runs those in
//! `corpus/TARGET/`, among them every input that ever broke one.

pub mod corpus;
mod cost;
mod targets;

pub use cost::Cost;
pub use targets::TARGETS;

/// A parser and its laws.
#[derive(Debug)]
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    /// Panics if a law does not hold for the input.
    check: fn(&[u8]),
    /// Bytes of memory that any input may take, and that each byte of it may take besides.
    memory: (usize, usize),
}

impl Target {
    /// Tries an input.
    ///
    /// # Panics
    /// If a law does not hold, or if it took too much memory or time.
    pub fn run(&self, data: &[u8]) -> Cost {
        let cost = Cost::of(|| (self.check)(data));
        let (base, each) = self.memory;
        let limit = base + each * data.len();
        assert!(
            cost.peak <= limit,
            "{}: took {} bytes of memory for {} bytes of input; the limit is {limit}",
            self.name,
            cost.peak,
            data.len()
        );
        let limit = cost::time_limit(data.len());
        assert!(
            cost.cpu <= limit,
            "{}: took {:?} for {} bytes of input; the limit is {limit:?}",
            self.name,
            cost.cpu,
            data.len()
        );
        cost
    }
}

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
