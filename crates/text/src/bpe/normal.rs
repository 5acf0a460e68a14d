//! What happens to the characters of a piece before it is split.

use std::borrow::Cow;

use serde_json::Value;
use unicode_normalization_alignments::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

use super::text_of;

/// U+2581, which stands for a space in the vocabularies of SentencePiece.
pub(super) const META: char = '▁';

/// A normalizer of a `tokenizer.json` that is known here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Normal {
    /// As it is.
    Nothing,
    /// Composed characters.
    Nfc,
    /// `▁` for each space, and one before the piece if `prepend`.
    Meta { prepend: bool },
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

    /// `piece`, normalized.
    pub(super) fn apply(self, piece: &str) -> Cow<'_, str> {
        match self {
            Self::Nothing => Cow::Borrowed(piece),
            Self::Nfc => composed(piece),
            Self::Meta { prepend } => Cow::Owned(meta(piece, prepend)),
        }
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
