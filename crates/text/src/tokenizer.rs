//! Text to ids and back, as the checkpoint's `tokenizer.json` or `vocab.txt` says.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value, json};
use tokenizers::AddedToken;

use crate::around::{Piece, before_and_after, each, rules};
use crate::detokenizer::{Detokenizer, Plan};
use crate::engine::{Engine, Parts, guarded};
use crate::error::{Error, Result};
use crate::grammar::Vocabulary;

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

/// Two texts as one sequence, as rerankers read them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pair {
    /// The ids of both texts and of what the model's rule puts around and between them.
    pub ids: Vec<u32>,
    /// For each id, the text that it belongs to: 0 or 1. Some models have 0 for both.
    pub types: Vec<u32>,
    /// Where the second text's own ids are.
    second: Range<usize>,
}

impl Pair {
    /// Leaves out the last `count` ids of the second text, and keeps what stands around it. Changes nothing and returns
    /// `false` where the second text has fewer.
    pub fn cut_second(&mut self, count: usize) -> bool {
        if count > self.second.len() {
            return false;
        }
        let from = self.second.end - count;
        self.ids.drain(from..self.second.end);
        self.types.drain(from..self.second.end);
        self.second.end = from;
        true
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
    engine: Engine,
    special: BTreeSet<u32>,
    special_text: Vec<String>,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    /// What two texts become; none if the file's rule is not a fixed sequence.
    pair: Option<Vec<Piece>>,
    named: BTreeMap<&'static str, u32>,
    plan: Option<Plan>,
    vocabulary: usize,
    truncation: Option<usize>,
    model_max_length: Option<usize>,
    /// Made when the first grammar asks for it.
    bytes: OnceLock<Result<Vocabulary, &'static str>>,
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

/// Stands within special tokens that are letters. A noncharacter: no text that is exchanged holds it.
const SHIELD: char = '\u{fdd0}';

/// Classes of tokenizers that number SentencePiece's tokens anew, beginning as these do.
const RENUMBERED: [&str; 8] =
    ["XLM", "MBart", "Nllb", "XGLM", "Camembert", "Barthez", "Plamo", "SeamlessM4T"];

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
        let opened = Engine::open(tokenizer_json)?;
        let inner = match guarded(tokenizer_json.len(), || Inner::new(opened, &config))?? {
            Some(inner) => inner,
            None => Self::inner_of_library(tokenizer_json, &config)?,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The tokenizer of SentencePiece's own file, `tokenizer.model`, with byte-pair encoding or a unigram model.
    ///
    /// The names of special tokens are those of `tokenizer_config.json`, else the file's. The beginning-of-text token is put
    /// before a text unless `add_bos_token` says otherwise. Between special tokens, each piece of text gets the file's
    /// space before it; with `legacy` false only the text's first does.
    ///
    /// # Errors
    /// If the file is damaged, or of a kind that is not followed exactly; and for tokenizers whose ids are not the file's.
    pub fn from_sentencepiece(model: &[u8], tokenizer_config: Option<&[u8]>) -> Result<Self> {
        let mut config = parse_config(tokenizer_config)?;
        let class = config.get("tokenizer_class").and_then(Value::as_str).unwrap_or("");
        if RENUMBERED.iter().any(|name| class.starts_with(name)) {
            return Err(Error::SentencePieceKind { part: "ids that its model numbers otherwise" });
        }
        let first_only = config.get("legacy").and_then(Value::as_bool) == Some(false);
        let opened = guarded(model.len(), || Engine::open_sentencepiece(model, first_only))??;
        for (name, token) in &opened.1.named {
            if token_name(config.get(*name)).is_none() {
                config.insert((*name).to_owned(), token.as_str().into());
            }
        }
        if !config.get("add_bos_token").is_some_and(Value::is_boolean) {
            config.insert("add_bos_token".to_owned(), true.into());
        }
        let inner = guarded(model.len(), || Inner::new(opened, &config))??;
        let inner = inner.ok_or(Error::SentencePieceKind { part: "tokens declared twice" })?;
        Ok(Self { inner: Arc::new(inner) })
    }

    fn inner_of_library(json: &[u8], config: &Map<String, Value>) -> Result<Inner> {
        let opened = Engine::of_library(json)?;
        let inner = guarded(json.len(), || Inner::new(opened, config))??;
        inner.ok_or(Error::UnsupportedPart { part: "post_processor" })
    }

    /// As [`from_json`](Self::from_json), by the library whatever the shape: what the fast way is compared with.
    #[cfg(test)]
    pub(crate) fn by_library(json: &[u8], tokenizer_config: Option<&[u8]>) -> Result<Self> {
        let inner = Self::inner_of_library(json, &parse_config(tokenizer_config)?)?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether the file was of a shape that is read and run without the library.
    #[cfg(test)]
    pub(crate) fn is_own(&self) -> bool {
        matches!(self.inner.engine, Engine::Own(_))
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
        let mut ids = Vec::new();
        for piece in text.split(SHIELD) {
            ids.extend(self.inner.engine.encode(piece, special.literal())?);
        }
        if !special.around() {
            return Ok(ids);
        }
        Ok([&self.inner.prefix, &ids[..], &self.inner.suffix].concat())
    }

    /// The ids of two texts in one sequence, with a type for each id, as cross-encoders read a question and a passage.
    ///
    /// Without [`Special::Add`] or [`Special::AddLiteral`], the second text's ids just follow the first's.
    ///
    /// # Errors
    /// As [`encode`](Self::encode); and if the file's rule for two texts is not a fixed sequence.
    pub fn encode_pair(&self, first: &str, second: &str, special: Special) -> Result<Pair> {
        let encode = |text| self.inner.engine.encode(text, special.literal());
        let (first, second) = (encode(first)?, encode(second)?);
        let plain = [Piece::First(0), Piece::Second(1)];
        let rule = match &self.inner.pair {
            _ if !special.around() => &plain[..],
            Some(rule) => rule,
            None => return Err(Error::UnsupportedPart { part: "post_processor (pair)" }),
        };
        let mut pair = Pair::default();
        for piece in rule {
            let (ids, of) = match piece {
                Piece::Token(id, of) => (std::slice::from_ref(id), *of),
                Piece::First(of) => (&first[..], *of),
                Piece::Second(of) => (&second[..], *of),
            };
            if matches!(piece, Piece::Second(_)) {
                pair.second = pair.ids.len()..pair.ids.len() + ids.len();
            }
            pair.ids.extend_from_slice(ids);
            pair.types.resize(pair.ids.len(), of);
        }
        Ok(pair)
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

    /// The bytes that `id` adds to a text, as its `first` token or a later one; they need not be whole letters. A special
    /// token is spelled out. None if there is no such token, or if what it adds depends on others.
    pub fn bytes(&self, id: u32, first: bool) -> Option<Vec<u8>> {
        let token = self.token(id)?;
        if self.is_special(id) {
            return Some(token.into_bytes());
        }
        Some(self.inner.plan().filter(|plan| plan.is_bytewise())?.bytes(&token, first))
    }

    /// The id of a token, spelled as the vocabulary does.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.engine.id(token)
    }

    /// The number of ids: every id is below it.
    pub fn vocabulary(&self) -> usize {
        self.inner.vocabulary
    }

    /// Whether `id` is a special token, which is not part of an answer's text.
    pub fn is_special(&self, id: u32) -> bool {
        self.inner.special.contains(&id)
    }

    /// The texts of all special tokens.
    pub fn special_texts(&self) -> impl Iterator<Item = &str> {
        self.inner.special_text.iter().map(String::as_str)
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

    /// The token for what the vocabulary cannot spell, as `tokenizer_config.json` names it.
    pub fn unknown(&self) -> Option<u32> {
        self.inner.named.get("unk_token").copied()
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

    /// All tokens as bytes, for grammars.
    pub(crate) fn vocabulary_bytes(&self) -> Result<&Vocabulary> {
        let made = self.inner.bytes.get_or_init(|| {
            let made = guarded(self.inner.vocabulary, || Vocabulary::new(&self.inner));
            // The one failure that it has beside that of the library.
            let part = |error| {
                let Error::UnsupportedPart { part } = error else { return "vocabulary" };
                part
            };
            made.and_then(|made| made).map_err(part)
        });
        made.as_ref().map_err(|&part| Error::UnsupportedPart { part })
    }

    /// `text` marked so that [`encode`](Self::encode) reads every special token that is written out in it as letters, also
    /// where it has become part of a longer text whose own special tokens are tokens: a stranger's words in what a chat
    /// template renders. The marks leave no trace in the ids.
    pub fn shield<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.broken(text, SHIELD)
    }

    /// `text` with a zero-width space after the first character of every special token that is written out in it.
    ///
    /// A chat template mixes its own special tokens with strangers' words in one string, so [`Special::OmitLiteral`]
    /// cannot be used on the result. Disarm a document before it becomes part of a message, and nothing in it can end
    /// the turn or open another. It still looks the same.
    pub fn disarm<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.broken(text, '\u{200b}')
    }

    /// `text` with a character put into every special token.
    fn broken<'a>(&self, text: &'a str, with: char) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        // What is put in makes no new token, unless one holds this very character; none does.
        for token in &self.inner.special_text {
            if text.contains(token.as_str()) {
                let mut letters = token.chars();
                let first: String = letters.next().into_iter().collect();
                text = Cow::Owned(
                    text.replace(token.as_str(), &format!("{first}{with}{}", letters.as_str())),
                );
            }
        }
        text
    }
}

impl Inner {
    /// None if the engine cannot follow the configuration: the library can.
    fn new(opened: (Engine, Parts), config: &Map<String, Value>) -> Result<Option<Self>> {
        let (mut engine, Parts { post_processor, decoder, truncation, .. }) = opened;
        if !add_declared_tokens(&mut engine, config)? {
            return Ok(None);
        }
        let added = engine.added();
        let special: BTreeSet<u32> =
            added.iter().filter(|(_, token)| token.special).map(|(&id, _)| id).collect();
        let special_text: Vec<String> = special
            .iter()
            .filter_map(|id| added.get(id))
            .map(|token| token.content.clone())
            .filter(|t| !t.is_empty())
            .collect();
        let named: BTreeMap<&'static str, u32> = NAMED
            .into_iter()
            .filter_map(|name| Some((name, engine.id(&token_name(config.get(name))?)?)))
            .collect();
        let rules = rules(&post_processor);
        let Some((mut prefix, mut suffix)) = surroundings(&engine, rules.as_ref())? else {
            return Ok(None);
        };
        let mut pair = rules.map(|(_, pair)| pair);
        let before = (prefix.clone(), suffix.clone());
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
        if (&prefix, &suffix) != (&before.0, &before.1) {
            pair = Some(each(&prefix, &suffix));
        }
        let model_max_length = config
            .get("model_max_length")
            .and_then(Value::as_f64)
            .filter(|&length| (1.0..1e9).contains(&length))
            .map(|length| length as usize);
        Ok(Some(Self {
            special,
            special_text,
            prefix,
            suffix,
            pair,
            named,
            plan: Plan::new(&decoder)?,
            vocabulary: engine.ids(),
            truncation,
            model_max_length,
            bytes: OnceLock::new(),
            engine,
        }))
    }

    pub(crate) fn token(&self, id: u32) -> Option<String> {
        self.engine.token(id)
    }

    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.engine.id(token)
    }

    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    /// The number of ids.
    pub(crate) fn count(&self) -> usize {
        self.vocabulary
    }

    pub(crate) fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// The library's own decoding of everything at once.
    pub(crate) fn decode_whole(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        self.engine.decode_whole(ids, skip_special)
    }
}

/// Adds the tokens of `added_tokens_decoder` (id to token) that `tokenizer.json` lacks or does not call special.
/// False if the engine cannot.
fn add_declared_tokens(engine: &mut Engine, config: &Map<String, Value>) -> Result<bool> {
    let Some(declared) = config.get("added_tokens_decoder").and_then(Value::as_object) else {
        return Ok(true);
    };
    let mut declared: Vec<(u32, &Map<String, Value>)> = declared
        .iter()
        .filter_map(|(id, token)| Some((id.parse().ok()?, token.as_object()?)))
        .collect();
    declared.sort_by_key(|&(id, _)| id);
    let known = engine.added();
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
        if !engine.add(added)? {
            return Ok(false);
        }
        match engine.id(content) {
            Some(found) if found == id => {}
            Some(found) => {
                return Err(Error::TokenId { token: content.to_owned(), declared: id, found });
            }
            None => return Err(Error::MissingToken { token: content.to_owned() }),
        }
    }
    Ok(true)
}

/// What the file's post-processor puts before and after a text. None if that is only known to the library.
fn surroundings(
    engine: &Engine,
    rules: Option<&(Vec<Piece>, Vec<Piece>)>,
) -> Result<Option<(Vec<u32>, Vec<u32>)>> {
    let Some((bare, full)) = engine.probe()? else {
        return Ok(rules.and_then(|(single, _)| before_and_after(single)));
    };
    if bare.is_empty() {
        // A vocabulary that cannot spell even this letter: nothing tells prefix from suffix.
        return if full.is_empty() {
            Ok(Some((full, bare)))
        } else {
            Err(Error::UnsupportedPart { part: "post_processor" })
        };
    }
    let at = full
        .windows(bare.len())
        .position(|window| window == bare)
        .ok_or(Error::UnsupportedPart { part: "post_processor" })?;
    let suffix = full[at + bare.len()..].to_vec();
    Ok(Some((full[..at].to_vec(), suffix)))
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
