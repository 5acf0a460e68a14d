//! How urgent a request is.

/// How urgent a request is. A more urgent one goes before a less urgent one and may put it aside, but
/// not for ever: see [`Limits::ageing`](crate::Limits::ageing).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Priority {
    /// Somebody looks on as the answer comes.
    Interactive,
    /// Somebody waits for the answer.
    #[default]
    Normal,
    /// Nobody waits: work for when nothing else is to be done.
    Batch,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Normal, Self::Batch];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Normal => "normal",
            Self::Batch => "batch",
        }
    }
}
