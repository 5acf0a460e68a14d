//! Who read the words of pages, where these are not simply what a file holds.

/// How the words of a document's pages were come by: pages that others were to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Which pages are to be read, in a word of the caller's.
    pub mode: String,
    /// Who is to read them first, likewise.
    pub reader: String,
}

/// Who reads pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReaderKind {
    /// A vision model.
    Model,
    /// A program that recognises characters.
    Engine,
    /// Nobody: the words are what the file itself holds, although they are in doubt.
    TextLayer,
    /// Nobody could: the page has no words.
    Nobody,
}

impl ReaderKind {
    const ALL: [Self; 4] = [Self::Model, Self::Engine, Self::TextLayer, Self::Nobody];

    /// Its name, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Engine => "ocr_engine",
            Self::TextLayer => "text_layer",
            Self::Nobody => "nobody",
        }
    }

    /// The one of this name; of a name that a later version gave, nobody.
    pub(crate) fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.name() == name).unwrap_or(Self::Nobody)
    }
}

/// Who read a page whose own words are missing or in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBy<'a> {
    /// What sort of reader.
    pub kind: ReaderKind,
    /// Its name; empty for nobody.
    pub name: &'a str,
    /// Why it was not the one who was asked first, or why nobody could.
    pub because: Option<&'a str>,
}

/// The same of a page of an index, with its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPage {
    /// Its number, from 1.
    pub number: u32,
    /// What was read.
    pub text: String,
    /// What sort of reader.
    pub kind: ReaderKind,
    /// Its name.
    pub name: String,
    /// Why it was not the one who was asked first.
    pub because: Option<String>,
}

/// How many pages somebody read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderPages {
    /// What sort of reader.
    pub kind: ReaderKind,
    /// Its name; empty for nobody.
    pub name: String,
    /// Pages.
    pub pages: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for kind in ReaderKind::ALL {
            assert_eq!(ReaderKind::of(kind.name()), kind);
        }
        assert_eq!(ReaderKind::of("an oracle"), ReaderKind::Nobody);
    }
}
