//! What a character is to the rules that split text: a letter, a number, white space, or something else.
//!
//! The answers are taken from the tables of the regular expressions that the library runs, so that both are of one
//! version of Unicode.

use std::sync::OnceLock;

use regex_syntax::hir::{Class, HirKind};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Kind {
    /// `[^\s\p{L}\p{N}]`.
    Other,
    /// `\p{L}`.
    Letter,
    /// `\p{N}`.
    Number,
    /// `\s`.
    Space,
}

/// The kinds of all characters up to the last that is not [`Kind::Other`].
pub(super) struct Classes {
    kinds: Vec<Kind>,
}

impl Classes {
    /// The table; made once for each process, in less than a millisecond. `None` if the regular expressions were built
    /// without Unicode.
    pub(super) fn get() -> Option<&'static Self> {
        static TABLE: OnceLock<Option<Classes>> = OnceLock::new();
        TABLE.get_or_init(Self::new).as_ref()
    }

    fn new() -> Option<Self> {
        let mut kinds = Vec::new();
        for (pattern, kind) in
            [(r"\p{L}", Kind::Letter), (r"\p{N}", Kind::Number), (r"\s", Kind::Space)]
        {
            let parsed = regex_syntax::parse(pattern).ok()?;
            let HirKind::Class(Class::Unicode(class)) = parsed.kind() else { return None };
            for range in class.ranges() {
                let (from, to) = (range.start() as usize, range.end() as usize);
                if kinds.len() <= to {
                    kinds.resize(to + 1, Kind::Other);
                }
                kinds[from..=to].fill(kind);
            }
        }
        Some(Self { kinds })
    }

    pub(super) fn of(&self, letter: char) -> Kind {
        self.kinds.get(letter as usize).copied().unwrap_or(Kind::Other)
    }
}
