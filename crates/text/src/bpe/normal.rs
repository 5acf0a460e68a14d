//! What happens to the characters of a piece before it is split.

use std::borrow::Cow;

use serde_json::Value;
use unicode_normalization_alignments::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

use super::charsmap::Charsmap;
use super::text_of;

/// U+2581, which stands for a space in the vocabularies of SentencePiece.
pub(super) const META: char = '▁';

/// When `▁` is put before a piece of text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum When {
    Never,
    /// At the beginning of the text.
    First,
    Always,
}

impl When {
    pub(super) fn now(self, first: bool) -> bool {
        self == Self::Always || (self == Self::First && first)
    }
}

/// A normalizer that is known here.
pub(super) enum Normal {
    /// As it is.
    Nothing,
    /// Composed characters.
    Nfc,
    /// `▁` for each space, and one before the piece if `prepend`.
    Meta { prepend: bool },
    /// SentencePiece's own.
    Plain(Box<Plain>),
}

/// The normalizer of a `tokenizer.model`.
pub(super) struct Plain {
    pub(super) charsmap: Option<Charsmap>,
    pub(super) prepend: When,
    /// Spaces at the ends are taken away, and of several in a row all but one.
    pub(super) no_extra_spaces: bool,
}

impl Normal {
    pub(super) fn of(normalizer: &Value) -> Option<Self> {
        if normalizer.is_null() {
            return Some(Self::Nothing);
        }
        let replaces = |part: &Value| {
            text_of(part, "type") == "Replace"
                && part["pattern"] == serde_json::json!({"String": " "})
                && text_of(part, "content") == "▁"
        };
        match text_of(normalizer, "type") {
            "NFC" => Some(Self::Nfc),
            "Replace" => replaces(normalizer).then_some(Self::Meta { prepend: false }),
            "Sequence" => match normalizer["normalizers"].as_array()?.as_slice() {
                [] => Some(Self::Nothing),
                [one] if text_of(one, "type") != "Sequence" => Self::of(one),
                [first, second] => {
                    let prepends =
                        text_of(first, "type") == "Prepend" && text_of(first, "prepend") == "▁";
                    (prepends && replaces(second)).then_some(Self::Meta { prepend: true })
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// `piece`, normalized. Whether it is the text's `first` matters to some.
    pub(super) fn apply<'a>(&self, piece: &'a str, first: bool) -> Cow<'a, str> {
        match self {
            Self::Nothing => Cow::Borrowed(piece),
            Self::Nfc => composed(piece),
            Self::Meta { prepend } => Cow::Owned(meta(piece, *prepend)),
            Self::Plain(plain) => Cow::Owned(plain.apply(piece, first)),
        }
    }
}

impl Plain {
    fn apply(&self, piece: &str, first: bool) -> String {
        let mut text = Cow::Borrowed(piece);
        if let Some(charsmap) = &self.charsmap {
            let (mut out, mut rest) = (String::with_capacity(piece.len()), piece);
            while let Some((new, used)) = charsmap.first(rest) {
                out.push_str(new);
                rest = &rest[used..];
            }
            text = Cow::Owned(out);
        }
        if !self.no_extra_spaces {
            return meta(&text, self.prepend.now(first));
        }
        let mut out = String::with_capacity(text.len() + 3);
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            if !out.is_empty() || self.prepend.now(first) {
                out.push(META);
            }
            out.push_str(word);
        }
        // A text may bring that very character, and at its end it is a space like others.
        out.truncate(out.trim_end_matches(META).len());
        out
    }
}

/// `▁` for each space, and one before the piece if `prepend` and there is a piece.
pub(super) fn meta(piece: &str, prepend: bool) -> String {
    let mut out = String::with_capacity(piece.len() + piece.len() / 2 + 3);
    if prepend && !piece.is_empty() {
        out.push(META);
    }
    for (at, part) in piece.split(' ').enumerate() {
        if at > 0 {
            out.push(META);
        }
        out.push_str(part);
    }
    out
}

fn composed(piece: &str) -> Cow<'_, str> {
    // Below U+0300 nothing composes with what stands before it.
    let plain =
        piece.bytes().all(|byte| byte < 0xcc) || is_nfc_quick(piece.chars()) == IsNormalized::Yes;
    if plain { Cow::Borrowed(piece) } else { piece.nfc().map(|(letter, _)| letter).collect() }
}
