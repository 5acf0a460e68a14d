//! Text to ids and back, as the checkpoint's `tokenizer.json` or `vocab.txt` says.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value, json};
use tokenizers::{AddedToken, Model, Tokenizer as Library};

use crate::detokenizer::{Detokenizer, Plan};
use crate::error::{Error, Result};

/// What to do about the model's special tokens (beginning of text, end of turn, separators) when encoding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Special {
    /// Put the model's own around the text (BOS, `[CLS]` ... `[SEP]`), and read those written in the text as tokens.
    Add,
    /// Put nothing around; read those written in the text as tokens. This is for what a chat template has rendered.
    Omit,
    /// Put the model's own around, but take the text literally: a stranger's `[SEP]` or `<|im_end|>` is mere letters.
    AddLiteral,
    /// Put nothing around and take the text literally.
    OmitLiteral,
}

impl Special {
    fn around(self) -> bool {
        matches!(self, Self::Add | Self::AddLiteral)
    }

    fn literal(self) -> bool {
        matches!(self, Self::AddLiteral | Self::OmitLiteral)
    }
}

/// A model's tokenizer. Cheap to clone, shared between threads.
///
/// Nothing is ever truncated or padded, whatever the file asks for: see [`Tokenizer::truncation`].
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    library: Library,
    /// The same, but blind for special tokens in text; made when first asked for.
    literal: OnceLock<Library>,
    special: BTreeSet<u32>,
    special_text: Vec<String>,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    named: BTreeMap<&'static str, u32>,
    plan: Option<Plan>,
    vocabulary: usize,
    truncation: Option<usize>,
    model_max_length: Option<usize>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocabulary", &self.inner.vocabulary)
            .finish_non_exhaustive()
    }
}

/// The entries of `tokenizer_config.json` that name a token.
const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token"];

impl Tokenizer {
    /// The tokenizer of a `tokenizer.json`, with what `tokenizer_config.json` adds to it.
    ///
    /// From the configuration come the added tokens that `tokenizer.json` lacks, the names of tokens (BOS, EOS, ...),
    /// and `add_bos_token` / `add_eos_token`, which win over the rule in `tokenizer.json` where they are given.
    ///
    /// # Errors
    /// If a file is not what it should be, if the two disagree on an id, or if the rule for special tokens around a text
    /// is not a fixed prefix and suffix.
    pub fn from_json(tokenizer_json: &[u8], tokenizer_config: Option<&[u8]>) -> Result<Self> {
        let config = parse_config(tokenizer_config)?;
        let library = guarded(tokenizer_json.len(), || Library::from_bytes(tokenizer_json))?
            .map_err(|source| Error::Tokenizer { source })?;
        guarded(tokenizer_json.len(), || Inner::new(library, &config))?
            .map(|inner| Self { inner: Arc::new(inner) })
    }

    /// The WordPiece tokenizer of a WordPiece checkpoint that has only a `vocab.txt`, one token a line.
    ///
    /// `do_lower_case`, `strip_accents`, `tokenize_chinese_chars` and the names of the special tokens come from
    /// `tokenizer_config.json`, with the usual defaults (lower case, accents as the case, Chinese characters apart).
    ///
    /// # Errors
    /// If the vocabulary is not UTF-8 or lacks a special token.
    pub fn from_vocab(vocab_txt: &[u8], tokenizer_config: Option<&[u8]>) -> Result<Self> {
        let config = parse_config(tokenizer_config)?;
        let text = std::str::from_utf8(vocab_txt)
            .map_err(|error| Error::Vocabulary { offset: error.valid_up_to() })?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let mut vocabulary = Map::new();
        for (id, line) in text.split('\n').enumerate() {
            vocabulary.insert(line.strip_suffix('\r').unwrap_or(line).to_owned(), id.into());
        }
        let token = |name: &str, default: &str| -> Result<(String, Value)> {
            let token = token_name(config.get(name)).unwrap_or_else(|| default.to_owned());
            match vocabulary.get(&token) {
                Some(id) => Ok((token, id.clone())),
                None => Err(Error::MissingToken { token }),
            }
        };
        let unknown = token("unk_token", "[UNK]")?;
        let first = token("cls_token", "[CLS]")?;
        let last = token("sep_token", "[SEP]")?;
        let mut special = vec![unknown.clone(), first.clone(), last.clone()];
        special.extend(
            [token("pad_token", "[PAD]"), token("mask_token", "[MASK]")].into_iter().flatten(),
        );
        special.sort_by_key(|(_, id)| id.as_u64());
        special.dedup();
        let added: Vec<Value> = special
            .iter()
            .map(|(content, id)| {
                json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                       "normalized": false, "special": true})
            })
            .collect();
        let of_first = json!({"SpecialToken": {"id": first.0, "type_id": 0}});
        let of_last = json!({"SpecialToken": {"id": last.0, "type_id": 0}});
        let text = json!({"Sequence": {"id": "A", "type_id": 0}});
        let flag = |name: &str| config.get(name).and_then(Value::as_bool).unwrap_or(true);
        let file = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": {"type": "BertNormalizer", "clean_text": true,
                           "handle_chinese_chars": flag("tokenize_chinese_chars"),
                           "strip_accents": config.get("strip_accents").and_then(Value::as_bool),
                           "lowercase": flag("do_lower_case")},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [of_first, text, of_last],
                "pair": [of_first, text, of_last, {"Sequence": {"id": "B", "type_id": 1}},
                         {"SpecialToken": {"id": last.0, "type_id": 1}}],
                "special_tokens": {
                    first.0.as_str(): {"id": first.0, "ids": [first.1], "tokens": [first.0]},
                    last.0.as_str(): {"id": last.0, "ids": [last.1], "tokens": [last.0]},
                },
            },
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
            "model": {"type": "WordPiece", "unk_token": unknown.0, "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, "vocab": vocabulary},
        });
        Self::from_json(file.to_string().as_bytes(), tokenizer_config)
    }

    /// The ids of `text`.
    ///
    /// # Errors
    /// If the tokenizer has no way to spell the text (a vocabulary without bytes and without an unknown token).
    pub fn encode(&self, text: &str, special: Special) -> Result<Vec<u32>> {
        let library = if special.literal() { self.inner.literal() } else { &self.inner.library };
        let encoding = guarded(text.len(), || library.encode_fast(text, false))?
            .map_err(|source| Error::Encode { bytes: text.len(), source })?;
        if !special.around() {
            return Ok(encoding.get_ids().to_vec());
        }
        Ok([&self.inner.prefix, encoding.get_ids(), &self.inner.suffix].concat())
    }

    /// The ids of each text, in order. No text is padded to another's length.
    ///
    /// # Errors
    /// The first text's that fails.
    pub fn encode_batch<S: AsRef<str>>(
        &self,
        texts: &[S],
        special: Special,
    ) -> Result<Vec<Vec<u32>>> {
        texts.iter().map(|text| self.encode(text.as_ref(), special)).collect()
    }

    /// The text of `ids`: exactly what a [`Detokenizer`] gives that is fed the same ids.
    ///
    /// An id without a token gives no text: models pad their output to more rows than there are tokens.
    ///
    /// # Errors
    /// If the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let mut detokenizer = self.detokenizer();
        if !skip_special {
            detokenizer = detokenizer.keep_special();
        }
        let mut text = String::new();
        for &id in ids {
            text += &detokenizer.push(id)?;
        }
        text += &detokenizer.finish()?;
        Ok(text)
    }

    /// A decoder for a stream of ids; it leaves special tokens out unless told to keep them.
    pub fn detokenizer(&self) -> Detokenizer {
        Detokenizer::new(self.inner.clone())
    }

    /// How the vocabulary spells `id`: not yet text (`Ġthe`, `▁the`, `##ing`, `<0x0A>`).
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.token(id)
    }

    /// The id of a token, spelled as the vocabulary does.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.library.token_to_id(token)
    }

    /// The number of ids: every id is below it.
    pub fn vocabulary(&self) -> usize {
        self.inner.vocabulary
    }

    /// Whether `id` is a special token, which is not part of an answer's text.
    pub fn is_special(&self, id: u32) -> bool {
        self.inner.special.contains(&id)
    }

    /// The ids that [`Special::Add`] puts before and after a text.
    pub fn around(&self) -> (&[u32], &[u32]) {
        (&self.inner.prefix, &self.inner.suffix)
    }

    /// The beginning-of-text token that `tokenizer_config.json` names.
    pub fn bos(&self) -> Option<u32> {
        self.inner.named.get("bos_token").copied()
    }

    /// The end token that `tokenizer_config.json` names. `generation_config.json` may know more of them.
    pub fn eos(&self) -> Option<u32> {
        self.inner.named.get("eos_token").copied()
    }

    /// The padding token that `tokenizer_config.json` names.
    pub fn pad(&self) -> Option<u32> {
        self.inner.named.get("pad_token").copied()
    }

    /// The length, special tokens included, to which `tokenizer.json` would have truncated every text.
    pub fn truncation(&self) -> Option<usize> {
        self.inner.truncation
    }

    /// `model_max_length` of `tokenizer_config.json`, unless it is the huge number that stands for "unknown".
    pub fn model_max_length(&self) -> Option<usize> {
        self.inner.model_max_length
    }

    /// The first special token that is written out in `text`, if any.
    pub fn special_in<'a>(&'a self, text: &str) -> Option<&'a str> {
        self.inner.special_text.iter().map(String::as_str).find(|token| text.contains(token))
    }

    /// `text` with a zero-width space after the first character of every special token that is written out in it.
    ///
    /// A chat template mixes its own special tokens with strangers' words in one string, so [`Special::OmitLiteral`]
    /// cannot be used on the result. Disarm a document before it becomes part of a message, and nothing in it can end
    /// the turn or open another. It still looks the same.
    pub fn disarm<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        // What is put in makes no new token, unless one holds this very character; none does.
        for token in &self.inner.special_text {
            if text.contains(token.as_str()) {
                let mut letters = token.chars();
                let first: String = letters.next().into_iter().collect();
                text = Cow::Owned(
                    text.replace(token.as_str(), &format!("{first}\u{200b}{}", letters.as_str())),
                );
            }
        }
        text
    }
}

impl Inner {
    fn new(mut library: Library, config: &Map<String, Value>) -> Result<Self> {
        let truncation = library.get_truncation().map(|limit| limit.max_length);
        library.with_truncation(None).map_err(|source| Error::Tokenizer { source })?;
        library.with_padding(None);
        library.set_encode_special_tokens(false);
        add_declared_tokens(&mut library, config)?;

        let added = library.get_added_tokens_decoder();
        let special: BTreeSet<u32> =
            added.iter().filter(|(_, token)| token.special).map(|(&id, _)| id).collect();
        let special_text: Vec<String> = special
            .iter()
            .filter_map(|id| added.get(id))
            .map(|token| token.content.clone())
            .filter(|t| !t.is_empty())
            .collect();
        let highest = library.get_vocab(true).into_values().max();
        let named: BTreeMap<&'static str, u32> = NAMED
            .into_iter()
            .filter_map(|name| Some((name, library.token_to_id(&token_name(config.get(name))?)?)))
            .collect();
        let (mut prefix, mut suffix) = surroundings(&library)?;
        if let (Some(wanted), Some(&bos)) =
            (config.get("add_bos_token").and_then(Value::as_bool), named.get("bos_token"))
        {
            prefix.retain(|&id| id != bos);
            if wanted {
                prefix.insert(0, bos);
            }
        }
        if let (Some(wanted), Some(&eos)) =
            (config.get("add_eos_token").and_then(Value::as_bool), named.get("eos_token"))
        {
            suffix.retain(|&id| id != eos);
            if wanted {
                suffix.push(eos);
            }
        }
        let decoder = match library.get_decoder() {
            Some(decoder) => serde_json::to_value(decoder)
                .map_err(|source| Error::Tokenizer { source: source.into() })?,
            None => Value::Null,
        };
        let plan = Plan::new(&decoder)?;
        let model_max_length = config
            .get("model_max_length")
            .and_then(Value::as_f64)
            .filter(|&length| (1.0..1e9).contains(&length))
            .map(|length| length as usize);
        Ok(Self {
            literal: OnceLock::new(),
            special,
            special_text,
            prefix,
            suffix,
            named,
            plan,
            vocabulary: highest.map_or(0, |id| id as usize + 1),
            truncation,
            model_max_length,
            library,
        })
    }

    fn literal(&self) -> &Library {
        self.literal.get_or_init(|| {
            let mut library = self.library.clone();
            library.set_encode_special_tokens(true);
            library
        })
    }

    pub(crate) fn token(&self, id: u32) -> Option<String> {
        self.library
            .get_added_vocabulary()
            .simple_id_to_token(id)
            .or_else(|| self.library.get_model().id_to_token(id))
    }

    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    pub(crate) fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// The library's own decoding of everything at once.
    pub(crate) fn decode_whole(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        guarded(ids.len(), || self.library.decode(ids, skip_special))?
            .map_err(|source| Error::Decode { tokens: ids.len(), source })
    }
}

/// Adds the tokens of `added_tokens_decoder` (id to token) that `tokenizer.json` lacks or does not call special.
fn add_declared_tokens(library: &mut Library, config: &Map<String, Value>) -> Result<()> {
    let Some(declared) = config.get("added_tokens_decoder").and_then(Value::as_object) else {
        return Ok(());
    };
    let mut declared: Vec<(u32, &Map<String, Value>)> = declared
        .iter()
        .filter_map(|(id, token)| Some((id.parse().ok()?, token.as_object()?)))
        .collect();
    declared.sort_by_key(|&(id, _)| id);
    let known = library.get_added_tokens_decoder();
    for (id, token) in declared {
        let flag = |name: &str| token.get(name).and_then(Value::as_bool).unwrap_or(false);
        let Some(content) = token.get("content").and_then(Value::as_str) else { continue };
        let special = flag("special");
        if known.get(&id).is_some_and(|old| old.content == content && (old.special || !special)) {
            continue;
        }
        let added = AddedToken::from(content, special)
            .single_word(flag("single_word"))
            .lstrip(flag("lstrip"))
            .rstrip(flag("rstrip"))
            .normalized(token.get("normalized").and_then(Value::as_bool).unwrap_or(!special));
        let outcome =
            if special { library.add_special_tokens([added]) } else { library.add_tokens([added]) };
        outcome.map_err(|source| Error::Tokenizer { source })?;
        match library.token_to_id(content) {
            Some(found) if found == id => {}
            Some(found) => {
                return Err(Error::TokenId { token: content.to_owned(), declared: id, found });
            }
            None => return Err(Error::MissingToken { token: content.to_owned() }),
        }
    }
    Ok(())
}

/// What the file's post-processor puts before and after a text.
fn surroundings(library: &Library) -> Result<(Vec<u32>, Vec<u32>)> {
    let ids = |special| {
        library
            .encode_fast("a", special)
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|source| Error::Encode { bytes: 1, source })
    };
    let (bare, full) = (ids(false)?, ids(true)?);
    if bare.is_empty() {
        // A vocabulary that cannot spell even this letter: nothing tells prefix from suffix.
        return if full.is_empty() {
            Ok((full, bare))
        } else {
            Err(Error::UnsupportedPart { part: "post_processor" })
        };
    }
    let at = full
        .windows(bare.len())
        .position(|window| window == bare)
        .ok_or(Error::UnsupportedPart { part: "post_processor" })?;
    let suffix = full[at + bare.len()..].to_vec();
    Ok((full[..at].to_vec(), suffix))
}

/// `tokenizer_config.json`; an absent one is empty.
pub(crate) fn parse_config(bytes: Option<&[u8]>) -> Result<Map<String, Value>> {
    let Some(bytes) = bytes else { return Ok(Map::new()) };
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(config)) => Ok(config),
        Ok(_) => Err(Error::Config { source: None }),
        Err(source) => Err(Error::Config { source: Some(source) }),
    }
}

/// A token given as a string or as an `AddedToken` object.
pub(crate) fn token_name(value: Option<&Value>) -> Option<String> {
    let value = value?;
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}

/// The library indexes and unwraps in places that a hostile file can reach: a panic there is an error here.
fn guarded<T>(bytes: usize, call: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| Error::Library { bytes })
}
