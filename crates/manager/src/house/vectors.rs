//! Vectors and judgements, from whoever makes them: a model of this machine or a server elsewhere.

use std::sync::Arc;
use std::time::Instant;

use text::Image;

use super::choose::Turn;
use super::{Error, House, apart};
use crate::config::Candidate;
use crate::flight::{self, Step};
use crate::route::{Receipt, Wish};
use crate::runtime::{
    Compared, EmbedOptions, Embedding, Kinds, LoadedModel, Relevance, RerankOptions, Scoring,
};
use crate::stats::Sample;

/// What was made of texts or images.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// The model that made it; with the name of its server, if it is elsewhere.
    pub model: String,
    /// One for each, in order.
    pub embeddings: Vec<Embedding>,
    /// Tokens of all, if whoever made them says it.
    pub tokens: Option<usize>,
    /// Who made it, and who was passed over for what reason.
    pub receipt: Receipt,
}

/// What documents are worth.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The model that judged; with the name of its server, if it is elsewhere.
    pub model: String,
    /// One for each, in order.
    pub relevances: Vec<Relevance>,
    /// How it judged; of a server elsewhere that is not known.
    pub scoring: Option<Scoring>,
    /// Tokens of all, if whoever judged says it.
    pub tokens: Option<usize>,
    /// Who judged, and who was passed over for what reason.
    pub receipt: Receipt,
}

/// Who made what, and of how many tokens.
struct Made<T> {
    model: String,
    all: Vec<T>,
    tokens: Option<usize>,
}

impl House {
    /// Makes vectors of `texts`. `model` is a model, a task, or `REMOTE:MODEL`; with `strict`, nobody but the first who could may
    /// answer.
    ///
    /// # Errors
    ///
    /// If there is no such model, nobody can make such vectors, or a text is too long.
    pub async fn embed(
        self: &Arc<Self>,
        model: &str,
        texts: Vec<String>,
        options: EmbedOptions,
        strict: bool,
    ) -> Result<Embedded, Error> {
        let (texts, options) = (&Arc::from(texts), &Arc::new(options));
        let at = |turn| self.embed_at(turn, texts, options);
        let (made, receipt) = self.counted((model, strict), "embeddings", at).await?;
        let Made { model, all, tokens } = made;
        Ok(Embedded { model, embeddings: all, tokens, receipt })
    }

    async fn embed_at(
        self: &Arc<Self>,
        turn: Turn,
        texts: &Arc<[String]>,
        options: &Arc<EmbedOptions>,
    ) -> Result<Made<Embedding>, Error> {
        let most = turn.at_once(texts.len());
        match turn.candidate {
            Candidate::Local(name) => {
                let lease = self.lease_or(&name, turn.fallback, 0).await?;
                let (texts, options) = (Arc::clone(texts), Arc::clone(options));
                apart(move || {
                    let mut all = Vec::with_capacity(texts.len());
                    let mut numbers = 0;
                    for texts in texts.chunks(few(&lease, &options, most)) {
                        let made = lease.tried(lease.embed(texts, &options))?;
                        bounded(&made, &mut numbers)?;
                        all.extend(made);
                    }
                    let tokens = all.iter().map(|embedding| embedding.tokens).sum();
                    Ok(Made { model: lease.name().to_owned(), all, tokens })
                })
                .await
            }
            Candidate::Remote { remote, model } => {
                let backend = self.backend(&remote).ok_or(Error::Lost)?;
                let (mut all, mut tokens) = (Vec::with_capacity(texts.len()), Some(0_usize));
                for texts in texts.chunks(most) {
                    let made = backend.embed(&model, texts, options).await?;
                    tokens = tokens.zip(made.tokens).map(|(sum, more)| sum.saturating_add(more));
                    let vectors = made.vectors.into_iter();
                    all.extend(vectors.map(|vector| Embedding { vector, ..Embedding::default() }));
                }
                let model = format!("{remote}:{model}");
                flight::note(|| Step::Sent { to: model.clone() });
                Ok(Made { model, all, tokens })
            }
        }
    }

    /// Makes vectors of `images`, as pages that are to be found. Only models of this machine do. `model` and `strict` as for
    /// [`embed`](Self::embed).
    ///
    /// # Errors
    ///
    /// If there is no such model, nobody can make such vectors, or an image cannot be read.
    pub async fn embed_images(
        self: &Arc<Self>,
        model: &str,
        images: Vec<Image>,
        strict: bool,
    ) -> Result<Embedded, Error> {
        let images = &Arc::new(images);
        let at = |turn: Turn| async move {
            let name = match turn.candidate {
                Candidate::Local(name) => name,
                Candidate::Remote { remote, .. } => return Err(Error::NoImagesThere { remote }),
            };
            let lease = self.lease_or(&name, turn.fallback, 0).await?;
            let images = Arc::clone(images);
            apart(move || {
                let (mut all, mut numbers) = (Vec::with_capacity(images.len()), 0);
                for images in images.chunks(FEW) {
                    let made = lease.tried(lease.embed_images(images))?;
                    bounded(&made, &mut numbers)?;
                    all.extend(made);
                }
                let tokens = all.iter().map(|embedding| embedding.tokens).sum();
                Ok(Made { model: lease.name().to_owned(), all, tokens })
            })
            .await
        };
        let (made, receipt) = self.counted((model, strict), "embeddings", at).await?;
        let Made { model, all, tokens } = made;
        Ok(Embedded { model, embeddings: all, tokens, receipt })
    }

    /// Judges how well documents answer a question, by a cross-encoder or by late interaction, as the model is. Servers elsewhere
    /// are asked of texts only. `model` and `strict` as for [`embed`](Self::embed).
    ///
    /// # Errors
    ///
    /// If there is no such model, nobody can judge, or a document is too long.
    pub async fn rerank(
        self: &Arc<Self>,
        model: &str,
        (query, documents): (String, Vec<Compared>),
        options: RerankOptions,
        strict: bool,
    ) -> Result<Judged, Error> {
        let asked = &Arc::new((query, documents));
        let at = |turn: Turn| async move {
            let most = turn.at_once(asked.1.len());
            match turn.candidate {
                Candidate::Local(name) => {
                    let lease = self.lease_or(&name, turn.fallback, 0).await?;
                    let asked = Arc::clone(asked);
                    apart(move || {
                        let (mut all, scoring) = (Vec::new(), lease.scoring());
                        for documents in asked.1.chunks(most) {
                            let relevances = lease.judge(&asked.0, documents, options);
                            let relevances = lease.tried(relevances)?.into_iter();
                            all.extend(relevances.map(|of| (of, Some(scoring))));
                        }
                        let tokens = all.iter().map(|(relevance, _)| relevance.tokens).sum();
                        Ok(Made { model: lease.name().to_owned(), all, tokens })
                    })
                    .await
                }
                Candidate::Remote { remote, model } => {
                    let backend = self.backend(&remote).ok_or(Error::Lost)?;
                    let Some(texts) = texts(&asked.1) else {
                        return Err(Error::NoImagesThere { remote });
                    };
                    let (mut all, mut tokens) = (Vec::with_capacity(texts.len()), Some(0_usize));
                    let relevance =
                        |score| (Relevance { score, tokens: None, truncated: false }, None);
                    for documents in texts.chunks(most) {
                        let judged = backend.rerank(&model, &asked.0, documents, options).await?;
                        tokens =
                            tokens.zip(judged.tokens).map(|(sum, more)| sum.saturating_add(more));
                        all.extend(judged.scores.into_iter().map(relevance));
                    }
                    let model = format!("{remote}:{model}");
                    flight::note(|| Step::Sent { to: model.clone() });
                    Ok(Made { model, all, tokens })
                }
            }
        };
        let (made, receipt) = self.counted((model, strict), "rerank", at).await?;
        let Made { model, all, tokens } = made;
        let (relevances, scoring): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        let scoring = scoring.first().copied().flatten();
        Ok(Judged { model, relevances, scoring, tokens, receipt })
    }

    /// As [`walk`](Self::walk), and what it took is written down.
    async fn counted<T, F: Future<Output = Result<Made<T>, Error>>>(
        self: &Arc<Self>,
        (asked, strict): (&str, bool),
        kind: &str,
        ask: impl Fn(Turn) -> F,
    ) -> Result<(Made<T>, Receipt), Error> {
        self.recorded(asked, self.sampled((asked, strict), kind, ask)).await
    }

    async fn sampled<T, F: Future<Output = Result<Made<T>, Error>>>(
        self: &Arc<Self>,
        (asked, strict): (&str, bool),
        kind: &str,
        ask: impl Fn(Turn) -> F,
    ) -> Result<(Made<T>, Receipt), Error> {
        let begun = Instant::now();
        let wish = Wish { asked: asked.to_owned(), strict, ..Wish::default() };
        let (made, receipt) = self.walk(&wish, kind, ask).await?;
        let sample = Sample {
            fallback: receipt.is_fallback(),
            prompt_tokens: made.tokens.unwrap_or(0) as u64,
            total: begun.elapsed(),
            ..Sample::default()
        };
        let task = receipt.task.as_deref().unwrap_or(kind);
        self.stats().add(task, &receipt.answered.to_string(), &sample);
        flight::note(|| Step::Ended {
            reason: "stop",
            prompt_tokens: made.tokens,
            cached_tokens: None,
            completion_tokens: 0,
        });
        Ok((made, receipt))
    }
}

/// Texts and images of which vectors of tokens are made at once, so that there are never many more than are returned.
const FEW: usize = 16;
/// Numbers of vectors of tokens in one answer: 128 MiB.
const MOST_NUMBERS: usize = 32 << 20;

/// How many texts are taken at once: few, if a vector is made of each of their tokens.
fn few(model: &LoadedModel, options: &EmbedOptions, most: usize) -> usize {
    let own = options.kinds == Kinds::OWN && model.facts().embedding.is_none();
    if options.kinds.multi || own { most.min(FEW) } else { most }
}

/// Refuses vectors of tokens beyond what is returned at once.
fn bounded(made: &[Embedding], numbers: &mut usize) -> Result<(), Error> {
    *numbers += made.iter().flat_map(|of| &of.multi).map(Vec::len).sum::<usize>();
    if *numbers > MOST_NUMBERS {
        return Err(Error::TooManyVectors { most: MOST_NUMBERS });
    }
    Ok(())
}

/// Documents that are all texts.
fn texts(documents: &[Compared]) -> Option<Vec<String>> {
    let text = |document: &Compared| match document {
        Compared::Text(text) => Some(text.clone()),
        Compared::Image(_) => None,
    };
    documents.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_tokens_are_bounded_over_all_inputs() {
        let made = [Embedding { multi: vec![vec![0.5; 3]; 2], ..Embedding::default() }];
        let mut numbers = MOST_NUMBERS - 6;
        assert!(bounded(&made, &mut numbers).is_ok());
        assert_eq!(numbers, MOST_NUMBERS);
        let error = bounded(&made, &mut numbers).unwrap_err();
        assert_eq!(
            (error.kind(), error.hint().as_deref()),
            (crate::Kind::Invalid, Some("send fewer at once"))
        );
        // Single vectors are not counted.
        let single = [Embedding { vector: vec![0.5; 9], ..Embedding::default() }];
        assert!(bounded(&single, &mut 0).is_ok());
    }
}
