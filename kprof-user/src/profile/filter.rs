//! Which samples an output shows.

use super::Context;

/// Idle time and user time are counted always and shown when asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Show {
    /// Show the idle loop.
    pub idle: bool,
    /// Show samples in user mode, as a stack of the one frame `[user]`.
    pub user: bool,
    /// Show raw kernel addresses of frames without names.
    pub addresses: bool,
    /// Start each stack with the thread's id beside its name.
    pub threads: bool,
}

impl Show {
    /// Whether samples of this context appear in stacks and pictures.
    pub fn context(&self, context: Context) -> bool {
        match context {
            Context::Idle => self.idle,
            Context::User => self.user,
            Context::Task | Context::Softirq | Context::Hardirq => true,
        }
    }
}
