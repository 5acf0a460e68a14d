//! The models that make what pages are found by.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use documents::Document;
use documents::chunks::{ChunkOptions, chunks};
use documents::picture::Picture;
use index::{Encoder, Grid, Hash, Profile, pooling};
use sha2::{Digest as _, Sha256};
use text::Special;

use super::{Error, Stamp, identity};
use crate::runtime::{EmbedOptions, Embedding, Kinds, LoadedModel, ModelKind, PreparedImage};

/// Tokens of a passage of text at most.
const PASSAGE: usize = 512;
/// Tokens that a model puts around a text at most.
const AROUND: usize = 8;

/// How vectors are made smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MakeOptions {
    /// Of so many vectors of a page one is made, by what is alike on it.
    pub pool: Option<usize>,
    /// Elements of a dense vector that are kept.
    pub dimensions: Option<usize>,
    /// Whether a model that reads pages makes vectors of their tokens too, which are compared as those of looks are.
    pub token_vectors: bool,
}

/// A model that makes vectors of how pages look.
#[derive(Debug)]
struct Looks {
    model: Arc<LoadedModel>,
    encoder: Encoder,
    pool: Option<usize>,
}

/// A model that makes vectors of what pages say.
#[derive(Debug)]
struct Says {
    model: Arc<LoadedModel>,
    dense: Option<Encoder>,
    sparse: Option<Encoder>,
    /// Of vectors of tokens.
    multi: Option<Encoder>,
    options: MakeOptions,
    /// The names of the model's own prompts for passages and for questions, where it has any.
    prompts: [Option<String>; 2],
}

/// The models that make what an index holds: none, one that looks at pages, one that reads them, or both.
#[derive(Debug, Default)]
pub struct Encoders {
    looks: Option<Looks>,
    says: Option<Says>,
    /// Bytes of their files, as far as folders were given.
    bytes: u64,
}

/// What was made of a page.
#[derive(Clone, Debug, Default)]
pub(super) struct Made {
    /// Vectors for late interaction, one after another.
    pub(super) vectors: Vec<f32>,
    pub(super) grid: Option<Grid>,
    pub(super) dense: Vec<Vec<f32>>,
    pub(super) sparse: Vec<(u32, f32)>,
    /// Whether the vectors are of tokens of words, and not of looks.
    pub(super) of_tokens: bool,
}

impl Made {
    /// The same and what another model made.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.vectors.extend(other.vectors);
        self.grid = self.grid.or(other.grid);
        self.dense.extend(other.dense);
        self.sparse.extend(other.sparse);
        self.of_tokens |= other.of_tokens;
        self
    }
}

impl Encoders {
    /// The same and a model, which is called `name` and lies in `folders`: its own and that of its adapter. Sums of its files are
    /// kept in `kept`.
    ///
    /// # Errors
    /// When it makes nothing of pages, or the same as another, or its files cannot be read.
    pub fn and(
        self,
        model: &Arc<LoadedModel>,
        name: &str,
        folders: &[&Path],
        kept: &Path,
        options: MakeOptions,
    ) -> Result<Self, Error> {
        if model.facts().kind != ModelKind::Embedding {
            return Err(Error::Useless { model: name.to_owned() });
        }
        let hash = Hash(identity(folders, kept)?);
        let bytes = self.bytes + Stamp::of(folders)?.bytes();
        Ok(Self { bytes, ..self.and_known(model, name, (hash, None), options)? })
    }

    /// The same of a model of which is known what its files sum up to and, if it looks at pages, how long its vectors are.
    ///
    /// # Errors
    /// When it makes nothing of pages, or the same as another.
    pub fn and_known(
        mut self,
        model: &Arc<LoadedModel>,
        name: &str,
        (hash, dim): (Hash, Option<u32>),
        options: MakeOptions,
    ) -> Result<Self, Error> {
        let name = name.to_owned();
        let twice = |other: &LoadedModel, what| {
            Err(Error::Twice { model: name.clone(), other: other.name().to_owned(), what })
        };
        if model.facts().kind != ModelKind::Embedding {
            return Err(Error::Useless { model: name });
        }
        if let Some(said) = model.said() {
            if let Some(other) = &self.looks {
                return twice(&other.model, "vectors of how pages look");
            }
            if let Some(other) = self.says.as_ref().filter(|says| says.multi.is_some()) {
                return twice(&other.model, BOTH);
            }
            let dim = dim.map_or_else(|| dimension(model), Ok)?;
            let encoder = Encoder {
                name,
                model: hash,
                prompt: prompt(said.map(Some)),
                pooling: options.pool.map_or_else(|| "none".to_owned(), pooling::rows_ward_name),
                dim,
            };
            self.looks = Some(Looks { model: Arc::clone(model), encoder, pool: options.pool });
            return Ok(self);
        }
        if let Some(other) = &self.says {
            return twice(&other.model, "vectors of what pages say");
        }
        let facts = model.facts();
        let prompts = model.search_prompts();
        let encoder = |pooling: &str, dim: usize| Encoder {
            name: name.clone(),
            model: hash,
            prompt: prompt([prompts[0].as_deref(), prompts[1].as_deref(), None]),
            pooling: pooling.to_owned(),
            dim: u32::try_from(dim).unwrap_or(u32::MAX),
        };
        let dense = facts.embedding.map(|whole| {
            // How tokens become one vector is the model's own, and in its files.
            encoder("own", options.dimensions.unwrap_or(whole))
        });
        let sparse = facts.token_heads[0].then(|| encoder("max", facts.vocabulary));
        if dense.is_none() && sparse.is_none() {
            return Err(Error::Useless { model: name });
        }
        let mut multi = None;
        if options.token_vectors {
            if !facts.token_heads[1] {
                return Err(Error::NoTokenVectors { model: name });
            }
            if let Some(other) = &self.looks {
                return twice(&other.model, BOTH);
            }
            let pooling = options.pool.map_or_else(|| "none".to_owned(), pooling::rows_ward_name);
            let dim = dim.map_or_else(|| dimension(model), Ok)?;
            multi = Some(encoder(&pooling, dim as usize));
        }
        let model = Arc::clone(model);
        self.says = Some(Says { model, dense, sparse, multi, options, prompts });
        Ok(self)
    }

    /// What an index of theirs is made with. `halves` keeps vectors in 16 bits too.
    pub fn profile(&self, halves: bool) -> Profile {
        let says = self.says.as_ref();
        let looks = self.looks.as_ref().map(|looks| &looks.encoder);
        let vectors = looks.or_else(|| says.and_then(|says| says.multi.as_ref()));
        Profile {
            vectors: vectors.cloned(),
            dense: says.and_then(|says| says.dense.clone()),
            sparse: says.and_then(|says| says.sparse.clone()),
            halves: halves && vectors.is_some(),
        }
    }

    /// Whether pages are looked at.
    pub fn looks(&self) -> bool {
        self.looks.is_some()
    }

    /// Whether what pages say is encoded.
    pub fn says(&self) -> bool {
        self.says.is_some()
    }

    /// Bytes of the files of the models that were given with their folders: what they take in memory, about.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether pages have vectors that are compared one by one: of their looks, or of the tokens of their words.
    pub fn compares(&self) -> bool {
        self.looks() || self.says.as_ref().is_some_and(|says| says.multi.is_some())
    }

    /// The passages of each page, by its number.
    pub(super) fn passages(&self, document: &Document) -> BTreeMap<u32, Vec<String>> {
        let mut pages: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        let Some(Says { model, .. }) = &self.says else { return pages };
        let tokenizer = model.tokenizer();
        // What cannot be counted is taken for long.
        let count = |text: &str| {
            tokenizer.encode(text, Special::OmitLiteral).map_or(text.len(), |tokens| tokens.len())
        };
        let tokens = model.longest_text().min(PASSAGE).saturating_sub(AROUND).max(1);
        let options = ChunkOptions {
            tokens,
            overlap: 0,
            heading_level: 6,
            by_page: true,
            furniture: false,
            count: &count,
        };
        for chunk in chunks(document, &options) {
            if let Some((page, _)) = chunk.places.first() {
                pages.entry(*page).or_default().push(chunk.text);
            }
        }
        pages
    }

    /// A page as the model that looks at pages takes it; nothing if there is none.
    pub(super) fn prepare(&self, picture: Picture) -> Result<Option<PreparedImage>, Error> {
        let looks = self.looks.as_ref();
        Ok(looks.map(|looks| looks.model.prepare_picture(picture)).transpose()?)
    }

    /// Makes what an index holds of pages: an image of each, and its passages.
    pub(super) fn pages(
        &self,
        pages: &[(Option<PreparedImage>, &[String])],
    ) -> Vec<Result<Made, Error>> {
        let mut made: Vec<Result<Made, Error>> =
            pages.iter().map(|_| Ok(Made::default())).collect();
        if let Some(looks) = &self.looks {
            let places: Vec<usize> = pages
                .iter()
                .enumerate()
                .filter(|(_, (image, _))| image.is_some())
                .map(|(at, _)| at)
                .collect();
            let images: Vec<PreparedImage> =
                places.iter().filter_map(|at| pages[*at].0.clone()).collect();
            for (at, vectors) in places.into_iter().zip(looks.pages(&images)) {
                made[at] = vectors;
            }
        }
        if let Some(says) = &self.says {
            for (made, (_, passages)) in made.iter_mut().zip(pages) {
                let Ok(of) = made else { continue };
                if let Err(error) = says.page(passages, of) {
                    *made = Err(error);
                }
            }
        }
        made
    }

    /// The words of a question, and which of its vectors for late interaction are made of each.
    ///
    /// # Errors
    /// When it cannot be made into tokens.
    pub fn words(&self, question: &str) -> Result<Vec<(String, Range<usize>)>, Error> {
        match &self.looks {
            Some(looks) => Ok(looks.model.query_words(question)?),
            None => Ok(Vec::new()),
        }
    }

    /// Makes what a question is asked with: vectors for late interaction one after another, a dense one, weights.
    pub(super) fn question(&self, question: &str) -> Result<Made, Error> {
        let texts = [question.to_owned()];
        let mut made = Made::default();
        if let Some(looks) = &self.looks {
            made.vectors = vectors(&looks.model, &texts)?.concat().concat();
        }
        if let Some(says) = &self.says {
            for of in says.embed(&texts, 1)? {
                made.dense.extend((!of.vector.is_empty()).then_some(of.vector));
                made.sparse = of.sparse.into_iter().collect();
                made.vectors.extend(of.multi.into_iter().flatten());
                made.of_tokens = says.multi.is_some();
            }
        }
        Ok(made)
    }
}

impl Looks {
    /// A page that fails does not take the others of its batch with it.
    fn pages(&self, images: &[PreparedImage]) -> Vec<Result<Made, Error>> {
        match self.model.embed_prepared(images) {
            Ok(all) => all.into_iter().map(|embedding| self.made(embedding)).collect(),
            Err(error) if images.len() <= 1 => vec![Err(error.into())],
            Err(_) => {
                images.iter().flat_map(|image| self.pages(std::slice::from_ref(image))).collect()
            }
        }
    }

    fn made(&self, embedding: Embedding) -> Result<Made, Error> {
        let vectors = embedding.multi.concat();
        if let Some(factor) = self.pool {
            let vectors = pooling::rows_ward(&vectors, self.encoder.dim as usize, factor)?;
            return Ok(Made { vectors, ..Made::default() });
        }
        let number = |number: usize| u16::try_from(number).ok();
        let grid = embedding.places.and_then(|places| {
            Some(Grid {
                start: u32::try_from(places.start).ok()?,
                height: number(places.height)?,
                width: number(places.width)?,
            })
        });
        Ok(Made { vectors, grid, ..Made::default() })
    }
}

impl Says {
    fn embed(&self, texts: &[String], which: usize) -> Result<Vec<Embedding>, Error> {
        let options = EmbedOptions {
            prompt: self.prompts[which].clone(),
            truncate: false,
            dimensions: self.options.dimensions,
            kinds: Kinds {
                dense: self.dense.is_some(),
                sparse: self.sparse.is_some(),
                multi: self.multi.is_some(),
            },
        };
        Ok(self.model.embed(texts, &options)?)
    }

    fn page(&self, passages: &[String], made: &mut Made) -> Result<(), Error> {
        let mut weights: BTreeMap<u32, f32> = BTreeMap::new();
        // A page of an index that compares vectors has one at least: of a blank one, that of its end.
        let blank = [String::new()];
        let passages = if self.multi.is_some() && passages.is_empty() { &blank } else { passages };
        for embedding in self.embed(passages, 0)? {
            if self.dense.is_some() {
                made.dense.push(embedding.vector);
            }
            // As within a text, the largest weight of a token counts.
            for (token, weight) in embedding.sparse {
                let most = weights.entry(token).or_default();
                *most = most.max(weight);
            }
            made.vectors.extend(embedding.multi.into_iter().flatten());
        }
        made.sparse = weights.into_iter().collect();
        if let (Some(encoder), Some(factor)) = (&self.multi, self.options.pool) {
            made.vectors = pooling::rows_ward(&made.vectors, encoder.dim as usize, factor)?;
        }
        Ok(())
    }
}

/// The models that made an index, by the names they had, and how.
pub fn makers(profile: &Profile) -> (Vec<String>, MakeOptions) {
    let mut names: Vec<String> = Vec::new();
    for encoder in [&profile.vectors, &profile.dense, &profile.sparse].into_iter().flatten() {
        if !names.contains(&encoder.name) {
            names.push(encoder.name.clone());
        }
    }
    let pooling = profile.vectors.as_ref().and_then(|encoder| encoder.pooling.rsplit_once('/'));
    let options = MakeOptions {
        pool: pooling.and_then(|(_, factor)| factor.parse().ok()),
        dimensions: profile.dense.as_ref().map(|encoder| encoder.dim as usize),
        // No model that looks at pages makes vectors of other kinds.
        token_vectors: profile.vectors.as_ref().is_some_and(|vectors| {
            let others = [&profile.dense, &profile.sparse].into_iter().flatten();
            others.into_iter().any(|other| other.model == vectors.model)
        }),
    };
    (names, options)
}

/// What a model that looks and one that reads both make, if that is asked of the second.
const BOTH: &str = "vectors that are compared one by one";

/// How long the vectors of tokens are.
fn dimension(model: &LoadedModel) -> Result<u32, Error> {
    let made = vectors(model, &["a".to_owned()])?;
    let dim = made.iter().flatten().next().map_or(0, Vec::len);
    Ok(u32::try_from(dim).unwrap_or(u32::MAX))
}

/// The vectors of the tokens of each question.
fn vectors(model: &LoadedModel, questions: &[String]) -> Result<Vec<Vec<Vec<f32>>>, Error> {
    let kinds = Kinds { dense: false, sparse: false, multi: true };
    let made = model.embed(questions, &EmbedOptions { kinds, ..EmbedOptions::default() })?;
    Ok(made.into_iter().map(|made| made.multi).collect())
}

/// Stands for what is put around pages and questions.
fn prompt(parts: [Option<&str>; 3]) -> Hash {
    let mut sha256 = Sha256::new();
    for part in parts {
        let text = part.unwrap_or_default();
        sha256.update([u8::from(part.is_some())]);
        sha256.update((text.len() as u64).to_le_bytes());
        sha256.update(text);
    }
    Hash(sha256.finalize().into())
}
