//! What a model's rule puts around one text, and around two.

use serde_json::Value;

/// A part of the sequence that a rule makes, with its type (the second text's is usually 1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Piece {
    Token(u32, u32),
    First(u32),
    Second(u32),
}

/// The rules of a `post_processor` for one text and for two; none if it has none that is a fixed sequence.
pub(crate) fn rules(post_processor: &Value) -> Option<(Vec<Piece>, Vec<Piece>)> {
    let plain = (vec![Piece::First(0)], vec![Piece::First(0), Piece::Second(1)]);
    let id = |field: &str| Some(Piece::Token(number(post_processor.get(field)?.get(1)?)?, 0));
    let kind = post_processor.get("type").and_then(Value::as_str);
    match kind {
        None if post_processor.is_null() => Some(plain),
        // Changes offsets alone.
        Some("ByteLevel") => Some(plain),
        Some("Sequence") => {
            let mut parts = post_processor.get("processors")?.as_array()?.iter();
            let mut parts = parts.by_ref().filter(|part| part["type"] != "ByteLevel");
            match (parts.next(), parts.next()) {
                (None, _) => Some(plain),
                (Some(part), None) => rules(part),
                (Some(_), Some(_)) => None,
            }
        }
        Some("BertProcessing") => {
            let (Piece::Token(first, _), Piece::Token(last, _)) = (id("cls")?, id("sep")?) else {
                return None;
            };
            let single = vec![Piece::Token(first, 0), Piece::First(0), Piece::Token(last, 0)];
            let second = [Piece::Second(1), Piece::Token(last, 1)];
            Some((single.clone(), [&single[..], &second].concat()))
        }
        Some("RobertaProcessing") => {
            let (first, last) = (id("cls")?, id("sep")?);
            let single = vec![first, Piece::First(0), last];
            Some((single.clone(), [&single[..], &[last, Piece::Second(0), last]].concat()))
        }
        Some("TemplateProcessing") => {
            let rule = |field: &str| template(post_processor, post_processor.get(field)?);
            Some((rule("single")?, rule("pair")?))
        }
        _ => None,
    }
}

fn template(post_processor: &Value, rule: &Value) -> Option<Vec<Piece>> {
    let mut out = Vec::new();
    for part in rule.as_array()? {
        let (kind, part) = part.as_object()?.iter().next()?;
        let (name, of) = (part.get("id")?.as_str()?, number(part.get("type_id")?)?);
        match (kind.as_str(), name) {
            ("Sequence", "A") => out.push(Piece::First(of)),
            ("Sequence", "B") => out.push(Piece::Second(of)),
            ("SpecialToken", _) => {
                let ids = post_processor.get("special_tokens")?.get(name)?.get("ids")?;
                for id in ids.as_array()? {
                    out.push(Piece::Token(number(id)?, of));
                }
            }
            _ => return None,
        }
    }
    Some(out)
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64()?.try_into().ok()
}

/// What a rule for one text puts before and after it; none if the text is not in it exactly once.
pub(crate) fn before_and_after(single: &[Piece]) -> Option<(Vec<u32>, Vec<u32>)> {
    let at = single.iter().position(|piece| matches!(piece, Piece::First(_)))?;
    let ids = |pieces: &[Piece]| {
        let id = |piece: &Piece| match piece {
            Piece::Token(id, _) => Some(*id),
            Piece::First(_) | Piece::Second(_) => None,
        };
        pieces.iter().map(id).collect::<Option<Vec<u32>>>()
    };
    Some((ids(&single[..at])?, ids(&single[at + 1..])?))
}

/// The rule for two texts that goes with what stands before and after one: each has its own.
pub(crate) fn each(before: &[u32], after: &[u32]) -> Vec<Piece> {
    let tokens =
        |ids: &[u32], of| ids.iter().map(move |&id| Piece::Token(id, of)).collect::<Vec<_>>();
    [
        tokens(before, 0),
        vec![Piece::First(0)],
        tokens(after, 0),
        tokens(before, 1),
        vec![Piece::Second(1)],
        tokens(after, 1),
    ]
    .concat()
}
