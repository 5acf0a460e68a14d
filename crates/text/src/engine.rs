//! Who turns words into ids: [`bpe`] where it knows the file's shape exactly, else the library.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tokenizers::{AddedToken, Model as _, Tokenizer as Library};

use crate::bpe;
use crate::bpe::sentencepiece::Refusal;
use crate::error::{Error, Result};

pub(crate) enum Engine {
    Own(Box<bpe::Encoder>),
    Library {
        library: Box<Library>,
        /// The same, but blind for special tokens in text; made when first asked for.
        literal: OnceLock<Box<Library>>,
    },
}

/// What stands in a `tokenizer.json` beside the engine.
pub(crate) struct Parts {
    pub(crate) post_processor: Value,
    pub(crate) decoder: Value,
    pub(crate) truncation: Option<usize>,
    /// Tokens by the names that `tokenizer_config.json` has for them.
    pub(crate) named: Vec<(&'static str, String)>,
}

impl Engine {
    pub(crate) fn open(json: &[u8]) -> Result<(Self, Parts)> {
        // Small parts of the file are the library's to parse, there too.
        let file = guarded(json.len(), || bpe::read(json)).ok().flatten();
        if let Some(bpe::File { encoder, post_processor, decoder, truncation }) = file {
            let parts = Parts { post_processor, decoder, truncation, named: Vec::new() };
            // A decoder that cannot be fed token by token is the library's business.
            if crate::detokenizer::Plan::new(&parts.decoder)?.is_some() {
                return Ok((Self::Own(Box::new(encoder)), parts));
            }
        }
        Self::of_library(json)
    }

    /// Of a `tokenizer.model`.
    pub(crate) fn open_sentencepiece(model: &[u8], first_only: bool) -> Result<(Self, Parts)> {
        let model =
            bpe::sentencepiece::read(model, first_only).map_err(|refusal| match refusal {
                Refusal::Damaged(what) => Error::SentencePiece { what },
                Refusal::Unsupported(part) => Error::SentencePieceKind { part },
            })?;
        let replace = json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "});
        let mut steps = vec![replace, json!({"type": "ByteFallback"}), json!({"type": "Fuse"})];
        if model.prefix {
            steps.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        let decoder = json!({"type": "Sequence", "decoders": steps});
        let named = [
            ("unk_token", model.unknown),
            ("bos_token", model.begin),
            ("eos_token", model.end),
            ("pad_token", model.pad),
        ];
        let named = named.into_iter().filter_map(|(name, token)| Some((name, token?))).collect();
        let parts = Parts { post_processor: Value::Null, decoder, truncation: None, named };
        Ok((Self::Own(Box::new(model.encoder)), parts))
    }

    /// The slow truth: the library, whatever the shape.
    pub(crate) fn of_library(json: &[u8]) -> Result<(Self, Parts)> {
        let mut library = guarded(json.len(), || Library::from_bytes(json))?
            .map_err(|source| Error::Tokenizer { source })?;
        let truncation = library.get_truncation().map(|limit| limit.max_length);
        library.with_truncation(None).map_err(|source| Error::Tokenizer { source })?;
        library.with_padding(None);
        library.set_encode_special_tokens(false);
        let value = |part: serde_json::Result<Value>| {
            part.map_err(|source| Error::Tokenizer { source: source.into() })
        };
        let decoder = library.get_decoder().map(serde_json::to_value);
        let decoder = decoder.map_or(Ok(Value::Null), value)?;
        let post_processor = library.get_post_processor().map(serde_json::to_value);
        let post_processor = post_processor.map_or(Ok(Value::Null), value)?;
        let parts = Parts { post_processor, decoder, truncation, named: Vec::new() };
        Ok((Self::Library { library: Box::new(library), literal: OnceLock::new() }, parts))
    }

    /// The tokens that stand beside the vocabulary.
    pub(crate) fn added(&self) -> BTreeMap<u32, AddedToken> {
        match self {
            Self::Own(encoder) => encoder.added().clone(),
            Self::Library { library, .. } => {
                let tokens = library.get_added_tokens_decoder();
                tokens.iter().map(|(&id, token)| (id, token.clone())).collect()
            }
        }
    }

    /// Adds a token, which gets the next number. `Ok(false)` if this engine cannot tell which: take the library.
    pub(crate) fn add(&mut self, token: AddedToken) -> Result<bool> {
        match self {
            Self::Own(encoder) => Ok(encoder.add(token).is_some()),
            Self::Library { library, .. } => {
                let outcome = if token.special {
                    library.add_special_tokens([token])
                } else {
                    library.add_tokens([token])
                };
                outcome.map(|_| true).map_err(|source| Error::Tokenizer { source })
            }
        }
    }

    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        match self {
            Self::Own(encoder) => encoder.id(token),
            Self::Library { library, .. } => library.token_to_id(token),
        }
    }

    pub(crate) fn token(&self, id: u32) -> Option<String> {
        match self {
            Self::Own(encoder) => encoder.token(id).map(str::to_owned),
            Self::Library { library, .. } => library
                .get_added_vocabulary()
                .simple_id_to_token(id)
                .or_else(|| library.get_model().id_to_token(id)),
        }
    }

    /// One more than the highest id.
    pub(crate) fn ids(&self) -> usize {
        match self {
            Self::Own(encoder) => encoder.ids() as usize,
            Self::Library { library, .. } => {
                library.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1)
            }
        }
    }

    /// The ids of `text`, with nothing around it. Special tokens in it are text if `literal`.
    pub(crate) fn encode(&self, text: &str, literal: bool) -> Result<Vec<u32>> {
        match self {
            Self::Own(encoder) => guarded(text.len(), || encoder.encode(text, literal)),
            Self::Library { .. } => self.encode_by_library(text, literal, false),
        }
    }

    /// The ids of "a", and what the file's rule makes of it. Only the library applies rules by itself.
    pub(crate) fn probe(&self) -> Result<Option<(Vec<u32>, Vec<u32>)>> {
        match self {
            Self::Own(_) => Ok(None),
            Self::Library { .. } => Ok(Some((
                self.encode_by_library("a", false, false)?,
                self.encode_by_library("a", false, true)?,
            ))),
        }
    }

    fn encode_by_library(&self, text: &str, blind: bool, around: bool) -> Result<Vec<u32>> {
        let Self::Library { library, literal } = self else { return Ok(Vec::new()) };
        let library = if blind {
            literal.get_or_init(|| {
                let mut library = library.clone();
                library.set_encode_special_tokens(true);
                library
            })
        } else {
            library
        };
        let encoding = guarded(text.len(), || library.encode_fast(text, around))?;
        encoding
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|source| Error::Encode { bytes: text.len(), source })
    }

    /// The library's own decoding of everything at once; only asked of a tokenizer whose decoder has no plan.
    pub(crate) fn decode_whole(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        match self {
            Self::Own(_) => Err(Error::UnsupportedPart { part: "decoder" }),
            Self::Library { library, .. } => {
                guarded(ids.len(), || library.decode(ids, skip_special))?
                    .map_err(|source| Error::Decode { tokens: ids.len(), source })
            }
        }
    }
}

/// The library indexes and unwraps in places that a hostile file can reach: a panic there is an error here.
pub(crate) fn guarded<T>(bytes: usize, call: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| Error::Library { bytes })
}
