//! Texts made into vectors.

use std::collections::BTreeMap;
use std::ops::Range;

use documents::picture::Picture;
use engine::{Passage, Refusal, pack};
use models::Preprocess;
use text::{Image, Special};
use tokio::sync::oneshot;

use super::device::{Command, EncodeReply, ModelKind, Said, Wanted};
use super::error::Error;
use super::load::LoadedModel;
use super::look::{placed, read, resized};

/// Tokens that one forward pass holds: enough to keep the cores busy, and little enough that a
/// conversation does not wait long.
pub const BATCH_TOKENS: usize = 1024;

/// What texts are to a model that finds pages.
const QUERY: &str = "query";
const DOCUMENT: &str = "document";

/// How texts become vectors.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EmbedOptions {
    /// The name of one of the checkpoint's prompts (`query`, `passage`), put before each text. For a model that finds pages by
    /// their looks `query`, which is what is said without it, or `document`, a text that is to be found.
    pub prompt: Option<String>,
    /// Cuts texts that are too long, instead of refusing them.
    pub truncate: bool,
    /// Keeps so many elements of an embedding, for models that were trained so that these say most.
    pub dimensions: Option<usize>,
    /// What to make of each text.
    pub kinds: Kinds,
}

/// What can be made of a text, in one pass. None of it is asked for: what the model makes by itself, one vector, or a vector for
/// each of its tokens if it makes no other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Kinds {
    /// One vector.
    pub dense: bool,
    /// A weight for each of its tokens that matters, for lexical search.
    pub sparse: bool,
    /// A vector for each of its tokens, for late interaction.
    pub multi: bool,
}

impl Kinds {
    /// What a model makes by itself.
    pub const OWN: Self = Self { dense: false, sparse: false, multi: false };
}

impl Default for Kinds {
    fn default() -> Self {
        Self { dense: true, sparse: false, multi: false }
    }
}

/// What was made of one text. What was not asked for is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embedding {
    /// The elements of its vector.
    pub vector: Vec<f32>,
    /// The weights of its tokens that have any, special ones excepted.
    pub sparse: BTreeMap<u32, f32>,
    /// A vector of each token after the first; of a page, of each token.
    pub multi: Vec<Vec<f32>>,
    /// Where the places of an image lie among those, if they lie in rows.
    pub places: Option<Places>,
    /// Tokens of the text, special ones included; absent where a server elsewhere made it, which does not say it.
    pub tokens: Option<usize>,
    /// Whether the text was cut.
    pub truncated: bool,
}

/// The places of an image, row by row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Places {
    /// Which vector is the first place's.
    pub start: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Places {
    /// Those of a passage of one image.
    fn of(passage: &Passage) -> Option<Self> {
        let [image] = &passage.images[..] else { return None };
        let ([height, width], start) = (image.picture.grid, image.positions.start);
        // Of some networks a grid counts parts, and not tokens.
        (height * width == image.positions.len()).then_some(Self { start, height, width })
    }
}

/// An image of a page as a network will see it: resized, and among the words that stand around it.
#[derive(Clone, Debug)]
pub struct PreparedImage(Passage);

impl PreparedImage {
    /// The bytes that it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let pictures = self.0.images.iter().map(|image| image.picture.bytes());
        pictures.sum::<usize>() + size_of_val(self.0.tokens.as_slice())
    }

    /// Of its pixels and of how they stand: the same for the same image and the same preprocessing.
    pub fn digest(&self) -> [u8; 32] {
        self.0.images.first().map_or([0; 32], |image| image.digest)
    }
}

impl LoadedModel {
    /// What is said around the image of a page, before a query and after it, by a model that finds pages by their looks.
    pub fn said(&self) -> Option<[&'static str; 3]> {
        let Said { image, query: [before, after] } = self.facts.retrieval?;
        Some([image, before, after])
    }

    /// The most tokens that a text may have.
    pub fn longest_text(&self) -> usize {
        let own = self.sentence.as_ref().and_then(|files| files.max_seq_length);
        own.unwrap_or(self.facts.context).min(self.facts.context)
    }

    /// The names of the prompts that the checkpoint knows.
    pub fn prompts(&self) -> Vec<&str> {
        let files = self.sentence.as_ref();
        files.map_or_else(Vec::new, |files| files.prompts.keys().map(String::as_str).collect())
    }

    /// What `options` ask for of each text, in order. Blocks.
    ///
    /// # Errors
    ///
    /// If this is no embedding model or does not make what is asked for, or a text is too long.
    pub fn embed(&self, texts: &[String], options: &EmbedOptions) -> Result<Vec<Embedding>, Error> {
        self.expect(ModelKind::Embedding, "embed")?;
        let said = self.facts.retrieval.map(|said| around(said, options)).transpose()?;
        let prefix = if said.is_none() { self.prefix(options)? } else { String::new() };
        let wanted = self.wanted(options)?;
        let limit = self.longest_text();
        let mut passages = Vec::with_capacity(texts.len());
        let mut out: Vec<Embedding> = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let lowered = self.sentence.as_ref().is_some_and(|files| files.do_lower_case);
            let text = if lowered { text.to_lowercase() } else { text.clone() };
            let mut tokens = match said {
                Some(around) => self.around(&text, around)?,
                None => self.query(&format!("{prefix}{text}"))?,
            };
            if tokens.is_empty() {
                let (name, value) = ("document", format!("text {index}, which is empty"));
                return Err(Error::Parameter { name, value, expected: "a text of words" });
            }
            let truncated = tokens.len() > limit;
            if truncated {
                if !options.truncate {
                    return Err(Error::TextTooLong { index, tokens: tokens.len(), limit });
                }
                // The end mark stays, as it does where the reference cuts.
                let end = self.tokenizer.around().1.to_vec();
                tokens.truncate(limit.saturating_sub(end.len()));
                tokens.extend(end);
            }
            out.push(Embedding { tokens: Some(tokens.len()), truncated, ..Embedding::default() });
            passages.push(tokens.into());
        }
        self.make(&passages, &wanted, &mut out)?;
        Ok(out)
    }

    /// A vector for each token of each of `images`, as pages that are to be found. Blocks.
    ///
    /// # Errors
    ///
    /// If this model makes no such vectors of images, or an image cannot be read or has too many tokens.
    pub fn embed_images(&self, images: &[Image]) -> Result<Vec<Embedding>, Error> {
        let prepare = |(index, image): (usize, &Image)| self.prepared(image, index);
        let images = images.iter().enumerate().map(prepare).collect::<Result<Vec<_>, _>>()?;
        self.embed_prepared(&images)
    }

    /// An image of a page as [`embed_prepared`](Self::embed_prepared) takes it: so images can be decoded and resized by other
    /// threads while the device computes.
    ///
    /// # Errors
    ///
    /// As [`embed_images`](Self::embed_images).
    pub fn prepare_image(&self, image: &Image) -> Result<PreparedImage, Error> {
        self.prepared(image, 0)
    }

    /// The same of pixels.
    ///
    /// # Errors
    ///
    /// As [`embed_images`](Self::embed_images).
    pub fn prepare_picture(&self, picture: Picture) -> Result<PreparedImage, Error> {
        let (said, vision) = self.looks()?;
        let picture = resized(vision, picture, &|| "a page".to_owned())?;
        self.checked(placed(&said, vision.token(), vec![picture]), 0)
    }

    fn prepared(&self, image: &Image, index: usize) -> Result<PreparedImage, Error> {
        let (said, vision) = self.looks()?;
        let picture = read(vision, image, index)?;
        self.checked(placed(&said, vision.token(), vec![picture]), index)
    }

    /// What is said around the image of a page, in tokens, and how an image is resized.
    fn looks(&self) -> Result<(Vec<u32>, &dyn Preprocess), Error> {
        self.expect(ModelKind::Embedding, "embed")?;
        let (Some(Said { image: said, .. }), Some(vision)) =
            (self.facts.retrieval, &self.facts.vision)
        else {
            return Err(Refusal::Blind { images: 1 }.into());
        };
        let said = self.tokenizer.encode(said, Special::Omit);
        Ok((said.map_err(|error| self.text_error(error))?, &**vision))
    }

    fn checked(&self, passage: Passage, index: usize) -> Result<PreparedImage, Error> {
        let (tokens, limit) = (passage.tokens.len(), self.facts.context);
        if tokens > limit {
            return Err(Error::ImageTooLong { index, tokens, limit });
        }
        Ok(PreparedImage(passage))
    }

    /// The vectors of images of pages, in order, which were prepared for this model. Blocks.
    ///
    /// # Errors
    ///
    /// If they cannot be computed.
    pub fn embed_prepared(&self, images: &[PreparedImage]) -> Result<Vec<Embedding>, Error> {
        self.expect(ModelKind::Embedding, "embed")?;
        let passages: Vec<Passage> = images.iter().map(|image| image.0.clone()).collect();
        let blank = |passage: &Passage| Embedding {
            tokens: Some(passage.tokens.len()),
            places: Places::of(passage),
            ..Embedding::default()
        };
        let mut out: Vec<_> = passages.iter().map(blank).collect();
        self.make(&passages, &Wanted { multi: true, ..Wanted::default() }, &mut out)?;
        Ok(out)
    }

    /// The words of a query, and which of its vectors are made of each: of what stands before and after it, none is.
    ///
    /// # Errors
    ///
    /// If it cannot be made into tokens.
    pub fn query_words(&self, text: &str) -> Result<Vec<(String, Range<usize>)>, Error> {
        let before = self.facts.retrieval.map_or(0, |said| said.query[0].len());
        let mut spans = Vec::new();
        let mut at = 0;
        for (index, &token) in self.query(text)?.iter().enumerate() {
            let bytes = self.tokenizer.bytes(token, index == 0).map_or(0, |bytes| bytes.len());
            spans.push(at..at + bytes);
            at += bytes;
        }
        let mut words = Vec::new();
        for word in text.split_whitespace() {
            let start = before + (word.as_ptr() as usize - text.as_ptr() as usize);
            let end = start + word.len();
            let of = |span: &Range<usize>| span.start < end && span.end > start;
            let first = spans.iter().position(of);
            let last = spans.iter().rposition(of);
            if let (Some(first), Some(last)) = (first, last) {
                words.push((word.to_owned(), first..last + 1));
            }
        }
        Ok(words)
    }

    /// The tokens of a text; of a query, for a model that finds pages.
    fn query(&self, text: &str) -> Result<Vec<u32>, Error> {
        let fail = |error| self.text_error(error);
        match self.facts.retrieval {
            Some(Said { query, .. }) => self.around(text, query),
            None => self.tokenizer.encode(text, Special::AddLiteral).map_err(fail),
        }
    }

    /// The tokens of a text with what stands before and after it.
    fn around(&self, text: &str, [before, after]: [&str; 2]) -> Result<Vec<u32>, Error> {
        let fail = |error| self.text_error(error);
        let text = format!("{before}{text}");
        let mut tokens = self.tokenizer.encode(&text, Special::OmitLiteral).map_err(fail)?;
        tokens.extend(self.tokenizer.encode(after, Special::Omit).map_err(fail)?);
        Ok(tokens)
    }

    /// The names of the prompts for texts that are to be found, and for questions, where the model has any.
    pub fn search_prompts(&self) -> [Option<String>; 2] {
        if self.facts.retrieval.is_some() {
            return [DOCUMENT, QUERY].map(|name| Some(name.to_owned()));
        }
        let own = self.prompts();
        let named = |names: [&str; 3]| {
            let name = names.iter().find(|name| own.contains(name));
            name.map(|name| (*name).to_owned())
        };
        [
            named(["passage", DOCUMENT, "search_document"]),
            named([QUERY, "search_query", "s2p_query"]),
        ]
    }

    /// Makes what is `wanted` of each passage, and puts it into `out`.
    fn make(
        &self,
        passages: &[Passage],
        wanted: &Wanted,
        out: &mut [Embedding],
    ) -> Result<(), Error> {
        // Texts of like length are neighbours in a batch only if the caller put them so: a packed
        // batch wastes nothing on short ones.
        let lengths: Vec<_> = passages.iter().map(|passage| passage.tokens.len()).collect();
        for batch in pack(&lengths, BATCH_TOKENS) {
            let passages = passages[batch.clone()].to_vec();
            let EncodeReply { dense, sparse, multi } = self.encode(passages, wanted.clone())?;
            let (mut dense, mut sparse, mut multi) =
                (dense.into_iter(), sparse.into_iter(), multi.into_iter());
            for (index, out) in batch.clone().zip(&mut out[batch]) {
                out.vector = dense.next().unwrap_or_default();
                out.sparse = sparse.next().unwrap_or_default();
                out.multi = multi.next().unwrap_or_default();
                let mut numbers =
                    out.vector.iter().chain(out.sparse.values()).chain(out.multi.iter().flatten());
                if !numbers.all(|x| x.is_finite()) {
                    return Err(Error::NotANumber { index });
                }
            }
        }
        Ok(())
    }

    fn encode(&self, passages: Vec<Passage>, wanted: Wanted) -> Result<EncodeReply, Error> {
        let (reply, answer) = oneshot::channel();
        self.runtime.send(Command::Encode { model: self.id, passages, wanted, reply })?;
        answer.blocking_recv().map_err(|_| Error::Gone)?
    }

    /// What the device is to make, if the model can.
    fn wanted(&self, options: &EmbedOptions) -> Result<Wanted, Error> {
        let EmbedOptions { kinds, dimensions, .. } = *options;
        let [sparse, multi] = self.facts.token_heads;
        let dense = self.facts.embedding.is_some();
        let kinds = if kinds == Kinds::OWN {
            Kinds { dense, multi: multi && !dense, sparse: false }
        } else {
            kinds
        };
        if kinds.dense && !dense {
            let (name, value) = ("kind", "dense".to_owned());
            let expected = "multi: the model makes vectors of tokens only";
            return Err(Error::Parameter { name, value, expected });
        }
        for (asked, has, kind, file) in [
            (kinds.sparse, sparse, "weights of tokens", "sparse_linear.pt"),
            (kinds.multi, multi, "vectors of tokens", "colbert_linear.pt"),
        ] {
            if asked && !has {
                return Err(Error::NoSuchVectors { model: self.name.clone(), kind, file });
            }
        }
        if let Some(dimensions) = dimensions {
            let fail = |expected| {
                Err(Error::Parameter {
                    name: "dimensions",
                    value: dimensions.to_string(),
                    expected,
                })
            };
            if !kinds.dense {
                return fail("absent: only embeddings of whole texts can be cut");
            }
            if !(1..=self.facts.embedding.unwrap_or(0)).contains(&dimensions) {
                return fail("between 1 and the length of the model's embeddings");
            }
            if self.facts.lengths.as_ref().is_some_and(|list| !list.contains(&dimensions)) {
                return fail("one of `matryoshka_dimensions` in the model's config.json");
            }
        }
        let special = || {
            let tokenizer = &self.tokenizer;
            let named = [tokenizer.bos(), tokenizer.eos(), tokenizer.pad(), tokenizer.unknown()];
            let around = tokenizer.around();
            let mut special: Vec<_> = named.into_iter().flatten().collect();
            special.extend(around.0.iter().chain(around.1));
            special
        };
        let sparse = kinds.sparse.then(special);
        Ok(Wanted { dense: kinds.dense, sparse, multi: kinds.multi, dimensions })
    }

    fn prefix(&self, options: &EmbedOptions) -> Result<String, Error> {
        let Some(files) = &self.sentence else {
            return match &options.prompt {
                None => Ok(String::new()),
                Some(name) => Err(unknown_prompt(name)),
            };
        };
        let name = options.prompt.as_ref().or(files.default_prompt_name.as_ref());
        let Some(name) = name else { return Ok(String::new()) };
        files.prompts.get(name).cloned().ok_or_else(|| unknown_prompt(name))
    }
}

/// What stands around texts for a model that finds pages by their looks: what it says around queries, or nothing around texts
/// that are to be found.
fn around(said: Said, options: &EmbedOptions) -> Result<[&'static str; 2], Error> {
    match options.prompt.as_deref() {
        None | Some(QUERY) => Ok(said.query),
        Some(DOCUMENT) => Ok(["", ""]),
        Some(other) => {
            let (name, value) = ("prompt", other.to_owned());
            Err(Error::Parameter { name, value, expected: "query or document" })
        }
    }
}

fn unknown_prompt(name: &str) -> Error {
    let expected = "the name of a prompt in config_sentence_transformers.json";
    Error::Parameter { name: "prompt", value: name.to_owned(), expected }
}
