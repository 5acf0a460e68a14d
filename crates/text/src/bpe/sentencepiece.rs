//! A `tokenizer.model`: SentencePiece's own file, a protobuf message, as the project's `sentencepiece_model.proto` has it.
//!
//! Read are the pieces with their scores and kinds, of the trainer what decides how text is cut, and the normalizer's
//! rules. Byte-pair encoding merges the two neighbours whose piece has the best score, the leftmost of several; so all
//! ways to make one piece stand in one place of the order.

use tokenizers::AddedToken;

use super::added::Added;
use super::charsmap::Charsmap;
use super::merges::Merges;
use super::normal::{Normal, Plain, When};
use super::unigram::Unigram;
use super::vocabulary::{NONE, Vocabulary};
use super::{Cut, Encoder, META, Shape, Units};

/// Why a file is not read.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is no such message.
    Damaged(&'static str),
    /// It is one, of a kind that is not followed here.
    Unsupported(&'static str),
}

/// What a `tokenizer.model` says.
pub(crate) struct Model {
    pub(crate) encoder: Encoder,
    /// The space that is put before a text is to be taken away again.
    pub(crate) prefix: bool,
    pub(crate) unknown: Option<String>,
    pub(crate) begin: Option<String>,
    pub(crate) end: Option<String>,
    pub(crate) pad: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

struct Piece {
    text: String,
    score: f32,
    kind: Kind,
}

/// The fields that count, with the defaults of the format.
struct Settings {
    pieces: Vec<Piece>,
    model_type: u64,
    suffix: bool,
    byte_fallback: bool,
    /// Of unknown, beginning, end and padding; negative if there is none.
    ids: [i64; 4],
    charsmap: Vec<u8>,
    prefix: bool,
    no_extra_spaces: bool,
    escape: bool,
}

/// A value of a message.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Float(f32),
    /// Eight bytes: none of the fields that are read here.
    Other,
}

/// Calls `field` with each field of a message.
fn fields<'a>(
    mut bytes: &'a [u8],
    mut field: impl FnMut(u64, Value<'a>) -> Option<()>,
) -> Option<()> {
    while !bytes.is_empty() {
        let key = number(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Number(number(&mut bytes)?),
            1 => {
                bytes.split_off(..8)?;
                Value::Other
            }
            2 => {
                let length = usize::try_from(number(&mut bytes)?).ok()?;
                Value::Bytes(bytes.split_off(..length)?)
            }
            5 => Value::Float(f32::from_le_bytes(bytes.split_off(..4)?.try_into().ok()?)),
            _ => return None,
        };
        field(key >> 3, value)?;
    }
    Some(())
}

/// A number in groups of seven bits, the lowest first.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut out = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        out |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(out);
        }
    }
    None
}

impl Settings {
    fn read(file: &[u8]) -> Option<Self> {
        let mut out = Self {
            pieces: Vec::new(),
            model_type: 1,
            suffix: false,
            byte_fallback: false,
            ids: [0, 1, 2, -1],
            charsmap: Vec::new(),
            prefix: true,
            no_extra_spaces: true,
            escape: true,
        };
        fields(file, |number, value| {
            match (number, value) {
                (1, Value::Bytes(piece)) => out.pieces.push(Piece::read(piece)?),
                (2, Value::Bytes(trainer)) => fields(trainer, |number, value| {
                    if let Value::Number(value) = value {
                        match number {
                            3 => out.model_type = value,
                            24 => out.suffix = value != 0,
                            35 => out.byte_fallback = value != 0,
                            // Negative numbers are written as their complement in 64 bits.
                            40..=43 => out.ids[number as usize - 40] = value as i64,
                            _ => {}
                        }
                    }
                    Some(())
                })?,
                (3, Value::Bytes(normalizer)) => fields(normalizer, |number, value| {
                    match (number, value) {
                        (2, Value::Bytes(map)) => out.charsmap = map.to_vec(),
                        (3, Value::Number(value)) => out.prefix = value != 0,
                        (4, Value::Number(value)) => out.no_extra_spaces = value != 0,
                        (5, Value::Number(value)) => out.escape = value != 0,
                        _ => {}
                    }
                    Some(())
                })?,
                _ => {}
            }
            Some(())
        })?;
        Some(out)
    }
}

impl Piece {
    fn read(message: &[u8]) -> Option<Self> {
        let mut out = Self { text: String::new(), score: 0.0, kind: Kind::Normal };
        fields(message, |number, value| {
            match (number, value) {
                (1, Value::Bytes(text)) => out.text = String::from_utf8(text.to_vec()).ok()?,
                (2, Value::Float(score)) => out.score = score,
                (3, Value::Number(kind)) => {
                    out.kind = match kind {
                        1 => Kind::Normal,
                        2 => Kind::Unknown,
                        3 => Kind::Control,
                        4 => Kind::UserDefined,
                        5 => Kind::Unused,
                        6 => Kind::Byte,
                        _ => return None,
                    }
                }
                _ => {}
            }
            Some(())
        })?;
        Some(out)
    }
}

/// The tokenizer of a `tokenizer.model`. With `first_only`, only the text's beginning gets a space before it, else every
/// piece between special tokens.
pub(crate) fn read(file: &[u8], first_only: bool) -> Result<Model, Refusal> {
    let settings = Settings::read(file).ok_or(Refusal::Damaged("no message of SentencePiece"))?;
    let Settings { pieces, ids, .. } = &settings;
    let is_unigram = match settings.model_type {
        1 => true,
        2 => false,
        _ => return Err(Refusal::Unsupported("words or characters for pieces")),
    };
    for (unsupported, what) in [
        (settings.suffix, "spaces after words"),
        (!settings.escape, "spaces as they are"),
        (pieces.iter().any(|piece| piece.kind == Kind::Unused), "unused pieces"),
    ] {
        if unsupported {
            return Err(Refusal::Unsupported(what));
        }
    }
    if pieces.iter().any(|piece| !piece.score.is_finite() || piece.text.is_empty()) {
        return Err(Refusal::Damaged("a piece without text or score"));
    }
    let (mut letters, mut tokens) = (String::new(), Vec::new());
    for (piece, id) in pieces.iter().zip(0..) {
        let from = letters.len() as u32;
        letters.push_str(&piece.text);
        tokens.push((id, from, letters.len() as u32));
    }
    if u32::try_from(letters.len()).is_err() {
        return Err(Refusal::Damaged("too many letters"));
    }
    let vocabulary = Vocabulary::new(letters, &tokens)
        .ok_or(Refusal::Damaged("no pieces, or two that are spelled alike"))?;
    let is_normal = |id: u32| pieces.get(id as usize).is_some_and(|it| it.kind == Kind::Normal);
    let bytes = settings.byte_fallback.then(|| byte_pieces(pieces, &vocabulary)).flatten();
    if settings.byte_fallback && bytes.is_none() {
        return Err(Refusal::Damaged("no piece for some byte"));
    }
    let unknown = u32::try_from(ids[0]).ok().filter(|&id| (id as usize) < pieces.len());
    if bytes.is_none() && unknown.is_none() {
        return Err(Refusal::Damaged("no piece for what is unknown"));
    }
    let (units, crosses) = if is_unigram {
        let score = |piece: &Piece| if piece.kind == Kind::Normal { piece.score } else { f32::NAN };
        let longest = pieces.iter().map(|piece| piece.text.len()).max().unwrap_or(0);
        (Units::Pieces(Unigram::new(pieces.iter().map(score).collect(), longest)), true)
    } else {
        pairs(pieces, &vocabulary, &is_normal)?
    };
    let mut ascii = Box::new([NONE; 128]);
    for (letter, id) in (0_u8..).zip(ascii.iter_mut()) {
        *id = vocabulary.id(&[letter]).filter(|&id| is_normal(id)).unwrap_or(NONE);
    }
    let mut added = Added::default();
    let named = pieces.iter().filter_map(|piece| {
        let special = matches!(piece.kind, Kind::Control | Kind::Unknown);
        // The file's other tokens stand in text as its normalizer leaves it.
        let token = AddedToken::from(piece.text.as_str(), special);
        (special || piece.kind == Kind::UserDefined).then_some(token)
    });
    added
        .add(named.collect(), &vocabulary, &Normal::Nothing)
        .ok_or(Refusal::Damaged("two tokens that are spelled alike"))?;
    let charsmap = match settings.charsmap.as_slice() {
        [] => None,
        map => Some(Charsmap::new(map).ok_or(Refusal::Damaged("no map of characters"))?),
    };
    let when = match (settings.prefix, first_only) {
        (false, _) => When::Never,
        (true, true) => When::First,
        (true, false) => When::Always,
    };
    let normal = Normal::Plain(Box::new(Plain {
        charsmap,
        prepend: when,
        no_extra_spaces: settings.no_extra_spaces,
    }));
    let cut = if crosses { Cut::Never } else { Cut::BeforeRun };
    let shape =
        Shape::Letters { prepend: None, cut, ascii, bytes, unknown: unknown.unwrap_or(NONE) };
    let name = |id: i64| Some(pieces.get(usize::try_from(id).ok()?)?.text.clone());
    let [unknown, begin, end, pad] = ids.map(name);
    let encoder = Encoder { vocabulary, units, added, normal, shape, whole_words: false };
    Ok(Model { encoder, prefix: settings.prefix, unknown, begin, end, pad })
}

fn byte_pieces(pieces: &[Piece], vocabulary: &Vocabulary) -> Option<Box<[u32; 256]>> {
    let mut bytes = Box::new([NONE; 256]);
    for (byte, id) in (0..=255_u8).zip(bytes.iter_mut()) {
        *id = vocabulary.id(format!("<0x{byte:02X}>").as_bytes())?;
        (pieces.get(*id as usize)?.kind == Kind::Byte).then_some(())?;
    }
    Some(bytes)
}

/// Every way to make a piece of two, by the piece's score; and whether one joins something with a `▁` after it.
fn pairs(
    pieces: &[Piece],
    vocabulary: &Vocabulary,
    is_normal: &dyn Fn(u32) -> bool,
) -> Result<(Units, bool), Refusal> {
    let mut order: Vec<usize> =
        (0..pieces.len()).filter(|&id| pieces[id].kind == Kind::Normal).collect();
    order.sort_by(|&a, &b| pieces[b].score.total_cmp(&pieces[a].score));
    let id = |text: &str| vocabulary.id(text.as_bytes()).filter(|&id| is_normal(id));
    let (mut found, mut crosses, mut rank) = (Vec::new(), false, 0_u32);
    let mut last = f32::NAN;
    for at in order {
        let Piece { text, score, .. } = &pieces[at];
        if *score != last {
            (last, rank) = (*score, rank + 1);
        }
        for (cut, letter) in text.char_indices() {
            // A piece of letters that are no pieces would be made of what has no id.
            if id(&text[cut..cut + letter.len_utf8()]).is_none() {
                return Err(Refusal::Unsupported("pieces of letters that are no pieces"));
            }
            let (left, right) = text.split_at(cut);
            if let (Some(first), Some(second)) = (id(left), id(right)) {
                crosses |= right.starts_with(META) && !left.ends_with(META);
                found.push(((first, second), rank, at as u32));
            }
        }
    }
    let mut merges = Merges::for_pairs(found.len());
    for (pair, rank, merged) in found {
        merges.insert(pair, rank, merged).ok_or(Refusal::Damaged("pairs that collide"))?;
    }
    Ok((Units::Pairs(merges), crosses))
}
