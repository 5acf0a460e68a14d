//! `tokenizer.json` in one pass, borrowed: only what the tables hold is copied.

use std::borrow::Cow;

use serde_json::Value;
use tokenizers::{
    AddedToken, DecoderWrapper, PaddingParams, PostProcessorWrapper, PreTokenizerWrapper,
    TruncationParams,
};

use super::added::Added;
use super::classes::Classes;
use super::merges::Merges;
use super::normal::{META, Normal};
use super::scan::Cursor;
use super::split::Rule;
use super::vocabulary::{NONE, Vocabulary};
use super::{Cut, Encoder, Shape, Units, When, text_of};
use crate::detokenizer::byte_letter;

/// What a `tokenizer.json` says.
pub(crate) struct File {
    pub(crate) encoder: Encoder,
    /// As the library writes them: with every setting, in its newest form.
    pub(crate) post_processor: Value,
    pub(crate) decoder: Value,
    pub(crate) truncation: Option<usize>,
}

/// The tokenizer of `json`, if it is of a shape that is known here to the letter. A file that is none at all gives `None`
/// too: the library says what is wrong with it.
pub(crate) fn read(json: &[u8]) -> Option<File> {
    let mut cursor = Cursor::new(std::str::from_utf8(json).ok()?);
    let mut seen = Vec::new();
    let mut model = None;
    let mut added = Vec::new();
    let [mut normalizer, mut pre_tokenizer, mut post_processor, mut decoder] =
        [const { "null" }; 4];
    let mut truncation = None;
    cursor.object(|key, cursor| {
        if seen.contains(&key) {
            return None;
        }
        match key.as_ref() {
            "version" => (cursor.string()? == "1.0").then_some(())?,
            "truncation" => {
                let limit: Option<TruncationParams> = serde_json::from_str(cursor.raw()?).ok()?;
                truncation = limit.map(|limit| limit.max_length);
            }
            "padding" => {
                let _: Option<PaddingParams> = serde_json::from_str(cursor.raw()?).ok()?;
            }
            "added_tokens" => added = added_tokens(cursor)?,
            "normalizer" => normalizer = cursor.raw()?,
            "pre_tokenizer" => pre_tokenizer = cursor.raw()?,
            "post_processor" => post_processor = cursor.raw()?,
            "decoder" => decoder = cursor.raw()?,
            "model" => model = Some(Model::read(cursor)?),
            _ => return None,
        }
        seen.push(key);
        Some(())
    })?;
    cursor.end()?;
    let model = model?;
    for part in [normalizer, pre_tokenizer, post_processor, decoder] {
        Cursor::new(part).distinct()?;
    }
    let normal = Normal::of(&serde_json::from_str(normalizer).ok()?)?;
    let shape = Shape::of(&serde_json::from_str(pre_tokenizer).ok()?, &normal, &model)?;
    // By way of a value, since the library expects of a part's text that it is JSON.
    let part = |raw: &str| serde_json::from_str::<Value>(raw).ok();
    let post_processor: Option<PostProcessorWrapper> =
        serde_json::from_value(part(post_processor)?).ok()?;
    let decoder: Option<DecoderWrapper> = serde_json::from_value(part(decoder)?).ok()?;
    let Model { vocabulary, merges, whole_words, .. } = model;
    let mut tokens = Added::default();
    tokens.add(added, &vocabulary, &normal)?;
    let units = Units::Pairs(merges);
    Some(File {
        encoder: Encoder { vocabulary, units, added: tokens, normal, shape, whole_words },
        post_processor: serde_json::to_value(post_processor).ok()?,
        decoder: serde_json::to_value(decoder).ok()?,
        truncation,
    })
}

/// What an added token says, each once.
const FIELDS: [&str; 7] =
    ["id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"];

fn added_tokens(cursor: &mut Cursor<'_>) -> Option<Vec<AddedToken>> {
    let mut tokens = Vec::new();
    cursor.array(|cursor| {
        let mut token = AddedToken::default();
        let mut fields = [false; 7];
        cursor.object(|key, cursor| {
            let at = FIELDS.iter().position(|field| *field == key)?;
            if std::mem::replace(&mut fields[at], true) {
                return None;
            }
            let field = match at {
                0 => return cursor.number().map(drop),
                1 => {
                    token.content = cursor.string()?.into_owned();
                    return Some(());
                }
                2 => &mut token.single_word,
                3 => &mut token.lstrip,
                4 => &mut token.rstrip,
                5 => &mut token.normalized,
                _ => &mut token.special,
            };
            *field = flag(cursor.raw()?)?;
            Some(())
        })?;
        (fields == [true; 7]).then(|| tokens.push(token))
    })?;
    Some(tokens)
}

fn flag(raw: &str) -> Option<bool> {
    match raw {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// The field `model`.
struct Model {
    vocabulary: Vocabulary,
    merges: Merges,
    /// A merge joins something with a `▁` that follows it.
    crosses: bool,
    byte_fallback: bool,
    whole_words: bool,
}

impl Model {
    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let mut seen = Vec::new();
        let (mut is_bpe, mut byte_fallback, mut whole_words) = (false, false, false);
        let (mut vocabulary, mut merges, mut later) = (None, None, None);
        cursor.object(|key, cursor| {
            if seen.contains(&key) {
                return None;
            }
            match key.as_ref() {
                "type" => is_bpe = cursor.string()? == "BPE",
                "dropout" => (cursor.raw()? == "null").then_some(())?,
                // Where every byte has a token, nothing is unknown.
                "unk_token" => {
                    let _: Option<String> = serde_json::from_str(cursor.raw()?).ok()?;
                }
                "continuing_subword_prefix" | "end_of_word_suffix" => {
                    matches!(cursor.raw()?, "null" | "\"\"").then_some(())?;
                }
                "fuse_unk" => drop(flag(cursor.raw()?)?),
                "byte_fallback" => byte_fallback = flag(cursor.raw()?)?,
                "ignore_merges" => whole_words = flag(cursor.raw()?)?,
                "vocab" => vocabulary = Some(read_vocabulary(cursor)?),
                "merges" => match &vocabulary {
                    Some(vocabulary) => merges = Some(read_merges(cursor, vocabulary)?),
                    None => {
                        later = Some(cursor.clone());
                        cursor.raw()?;
                    }
                },
                _ => return None,
            }
            seen.push(key);
            Some(())
        })?;
        let vocabulary = vocabulary?;
        if let Some(mut cursor) = later {
            merges = Some(read_merges(&mut cursor, &vocabulary)?);
        }
        let (merges, crosses) = merges?;
        is_bpe.then_some(Self { vocabulary, merges, crosses, byte_fallback, whole_words })
    }

    /// The tokens of all bytes, spelled by `spelled`; `None` if one is missing.
    fn bytes(&self, spelled: impl Fn(u8) -> String) -> Option<Box<[u32; 256]>> {
        let mut bytes = Box::new([NONE; 256]);
        for (byte, id) in (0..=255).zip(bytes.iter_mut()) {
            *id = self.vocabulary.id(spelled(byte).as_bytes())?;
        }
        Some(bytes)
    }
}

fn read_vocabulary(cursor: &mut Cursor<'_>) -> Option<Vocabulary> {
    let (mut letters, mut tokens) = (String::new(), Vec::new());
    cursor.object(|token, cursor| {
        let from = u32::try_from(letters.len()).ok()?;
        letters.push_str(&token);
        tokens.push((cursor.number()?, from, u32::try_from(letters.len()).ok()?));
        Some(())
    })?;
    letters.shrink_to_fit();
    Vocabulary::new(letters, &tokens)
}

/// The merges, and whether one of them joins something with a `▁` that follows it.
fn read_merges(cursor: &mut Cursor<'_>, vocabulary: &Vocabulary) -> Option<(Merges, bool)> {
    let mut pairs = Vec::new();
    let mut crosses = false;
    let mut last = 0;
    let mut joined = String::new();
    let mut as_text = None;
    cursor.array(|cursor| {
        let is_text = cursor.peek()? == b'"';
        // All are written the same way.
        if *as_text.get_or_insert(is_text) != is_text {
            return None;
        }
        let line;
        let (mut pair, mut count) = ([Cow::Borrowed(""), Cow::Borrowed("")], 0);
        let (left, right) = if is_text {
            line = cursor.string()?;
            if line.starts_with("#version") {
                return None;
            }
            line.split_once(' ').filter(|(_, right)| !right.contains(' '))?
        } else {
            cursor.array(|cursor| {
                *pair.get_mut(count)? = cursor.string()?;
                count += 1;
                Some(())
            })?;
            if count != 2 {
                return None;
            }
            (&*pair[0], &*pair[1])
        };
        let both = (vocabulary.id(left.as_bytes())?, vocabulary.id(right.as_bytes())?);
        // Merges mostly stand in the order of what they make.
        let is_made = |id| {
            vocabulary.token(id).is_some_and(|token| {
                token.len() == left.len() + right.len()
                    && token.starts_with(left)
                    && token.ends_with(right)
            })
        };
        last = if is_made(last + 1) {
            last + 1
        } else if is_made(last) {
            last
        } else {
            joined.clear();
            joined.push_str(left);
            joined.push_str(right);
            vocabulary.id(joined.as_bytes())?
        };
        crosses |= right.starts_with(META) && !left.is_empty() && !left.ends_with(META);
        pairs.push((both, last));
        Some(())
    })?;
    let mut merges = Merges::for_pairs(pairs.len());
    for ((pair, merged), rank) in pairs.into_iter().zip(0..) {
        merges.insert(pair, rank, merged)?;
    }
    Some((merges, crosses))
}

impl Shape {
    fn of(pre_tokenizer: &Value, normal: &Normal, model: &Model) -> Option<Self> {
        if let Some((numerals, rule)) = byte_level(pre_tokenizer) {
            let classes = Classes::get()?;
            let bytes = model.bytes(|byte| byte_letter(byte).to_string())?;
            return match normal {
                Normal::Nothing | Normal::Nfc => {
                    Some(Self::Bytes { classes, numerals, rule, bytes })
                }
                Normal::Meta { .. } | Normal::Plain(_) => None,
            };
        }
        if !model.byte_fallback || matches!(normal, Normal::Nfc) {
            return None;
        }
        let (prepend, split) = match text_of(pre_tokenizer, "type") {
            _ if pre_tokenizer.is_null() => (None, false),
            // After such a normalizer there is no space at which to split.
            "Split" if matches!(normal, Normal::Meta { .. }) => (pre_tokenizer["pattern"]
                == serde_json::json!({"String": " "})
                && pre_tokenizer["invert"] == false
                && pre_tokenizer["behavior"] == "MergedWithPrevious")
                .then_some((None, false))?,
            "Metaspace" if matches!(normal, Normal::Nothing) => metaspace(pre_tokenizer)?,
            _ => return None,
        };
        let cut = match (split, model.crosses || model.whole_words) {
            (true, _) => Cut::BeforeEach,
            (false, true) => Cut::Never,
            (false, false) => Cut::BeforeRun,
        };
        let bytes = model.bytes(|byte| format!("<0x{byte:02X}>"))?;
        let mut ascii = Box::new([NONE; 128]);
        for (letter, id) in (0_u8..).zip(ascii.iter_mut()) {
            *id = model.vocabulary.id(&[letter]).unwrap_or(NONE);
        }
        Some(Self::Letters { prepend, cut, ascii, bytes: Some(bytes), unknown: NONE })
    }
}

/// Whether numerals are cut out first, and the rule, of a byte-level pre-tokenizer without a space before the text.
fn byte_level(pre_tokenizer: &Value) -> Option<(bool, Rule)> {
    let is_level = |part: &Value, rule: bool| {
        text_of(part, "type") == "ByteLevel"
            && part["add_prefix_space"] == false
            && part["trim_offsets"].is_boolean()
            && part.get("use_regex").map_or(rule, |value| *value == rule)
    };
    if is_level(pre_tokenizer, true) {
        return Some((false, Rule::Spaced));
    }
    let parts = pre_tokenizer.get("pretokenizers")?.as_array()?;
    let [first, level] = parts.as_slice() else { return None };
    if text_of(pre_tokenizer, "type") != "Sequence" {
        return None;
    }
    match text_of(first, "type") {
        "Digits" => (first["individual_digits"] == true && is_level(level, true))
            .then_some((true, Rule::Spaced)),
        "Split" => {
            let whole = first["behavior"] == "Isolated"
                && first["invert"] == false
                && level.get("use_regex").is_some()
                && is_level(level, false);
            let expression = first["pattern"].as_object().filter(|pattern| pattern.len() == 1)?;
            let rule = Rule::of(expression.get("Regex")?.as_str()?)?;
            whole.then_some((false, rule))
        }
        _ => None,
    }
}

/// Whether and when `Metaspace` puts a `▁` before a piece, and whether it splits.
fn metaspace(pre_tokenizer: &Value) -> Option<(Option<When>, bool)> {
    // Older files have other settings for the same: the library knows them.
    let parsed: PreTokenizerWrapper = serde_json::from_value(pre_tokenizer.clone()).ok()?;
    let parsed = serde_json::to_value(parsed).ok()?;
    let prepend = match text_of(&parsed, "prepend_scheme") {
        "never" => When::Never,
        "first" => When::First,
        "always" => When::Always,
        _ => return None,
    };
    (text_of(&parsed, "replacement") == "▁").then_some(())?;
    Some((Some(prepend), parsed["split"].as_bool()?))
}
