//! How well documents fit a question by late interaction: each vector of the question with its best match in the document.

use text::Image;

use super::embed::{EmbedOptions, Embedding, Kinds};
use super::error::Error;
use super::load::LoadedModel;
use super::rerank::{Relevance, RerankOptions};

/// Documents whose vectors are held at once.
const AT_ONCE: usize = 16;
/// Sums that are kept side by side, so that a processor adds several numbers at once.
const LANES: usize = 16;

/// What is compared with a question.
#[derive(Clone, Debug)]
pub enum Compared {
    /// A text.
    Text(String),
    /// The image of a page.
    Image(Image),
}

/// How documents are judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scoring {
    /// A network reads the question and the document together.
    CrossEncoder,
    /// The best matches of the question's vectors are added up, as those of ColPali are.
    MaxSimSum,
    /// The mean of them, as bge-m3 has it.
    MaxSimMean,
}

impl Scoring {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::CrossEncoder => "cross-encoder",
            Self::MaxSimSum => "maxsim-sum",
            Self::MaxSimMean => "maxsim-mean",
        }
    }
}

impl LoadedModel {
    /// How it judges documents: an encoder that makes vectors of tokens compares these, everything else is taken for a
    /// cross-encoder.
    pub fn scoring(&self) -> Scoring {
        match (self.facts.retrieval, self.facts.token_heads) {
            (Some(_), _) => Scoring::MaxSimSum,
            (None, [_, true]) => Scoring::MaxSimMean,
            (None, [_, false]) => Scoring::CrossEncoder,
        }
    }

    /// A score for each of `documents`, in order, by what this model is. Blocks.
    ///
    /// # Errors
    ///
    /// If this model judges nothing, sees no images, or a document is too long.
    pub fn judge(
        &self,
        query: &str,
        documents: &[Compared],
        options: RerankOptions,
    ) -> Result<Vec<Relevance>, Error> {
        match self.scoring() {
            Scoring::CrossEncoder => {
                let images = documents.iter().filter(|it| matches!(it, Compared::Image(_))).count();
                if images > 0 {
                    return Err(engine::Refusal::Blind { images }.into());
                }
                let texts = documents.iter().map(|document| match document {
                    Compared::Text(text) => text.clone(),
                    Compared::Image(_) => String::new(),
                });
                self.rerank(query, &texts.collect::<Vec<_>>(), options)
            }
            scoring @ (Scoring::MaxSimSum | Scoring::MaxSimMean) => {
                self.interact(query, documents, (scoring, options.truncate))
            }
        }
    }

    fn interact(
        &self,
        query: &str,
        documents: &[Compared],
        (scoring, truncate): (Scoring, bool),
    ) -> Result<Vec<Relevance>, Error> {
        let [passage, question] = self.search_prompts();
        let kinds = Kinds { dense: false, sparse: false, multi: true };
        let of = |prompt| EmbedOptions { prompt, truncate, dimensions: None, kinds };
        // A question that is too long is never cut: what is lost of it nobody would see.
        let asked = EmbedOptions { truncate: false, ..of(question) };
        let asked = self.embed(&[query.to_owned()], &asked)?.pop().unwrap_or_default();
        let passage = of(passage);
        let mut out = Vec::with_capacity(documents.len());
        let mut begun = 0;
        for documents in documents.chunks(AT_ONCE) {
            let (mut texts, mut images, mut places) = (Vec::new(), Vec::new(), Vec::new());
            for document in documents {
                places.push(match document {
                    Compared::Text(text) => {
                        texts.push(text.clone());
                        (texts.len() - 1, false)
                    }
                    Compared::Image(image) => {
                        images.push(image.clone());
                        (images.len() - 1, true)
                    }
                });
            }
            // Errors name a document by its place among all.
            let place = |image: bool, at: usize| {
                let found = places.iter().position(|place| *place == (at, image));
                begun + found.unwrap_or(at)
            };
            let texts = self.embed(&texts, &passage).map_err(|e| e.at(|at| place(false, at)))?;
            let images = if images.is_empty() {
                Vec::new()
            } else {
                self.embed_images(&images).map_err(|e| e.at(|at| place(true, at)))?
            };
            for (at, is_image) in &places {
                let of: &Embedding = if *is_image { &images[*at] } else { &texts[*at] };
                let score = max_sim(&asked.multi, &of.multi, scoring);
                if !score.is_finite() {
                    return Err(Error::NotANumber { index: place(*is_image, *at) });
                }
                let tokens = asked.tokens.zip(of.tokens).map(|(question, document)| {
                    // The question is read once.
                    if out.is_empty() { question + document } else { document }
                });
                out.push(Relevance { score, tokens, truncated: of.truncated });
            }
            begun += documents.len();
        }
        Ok(out)
    }
}

/// `Σ_i max_j q_i · p_j`, or its mean; the least number there is for a document without vectors.
fn max_sim(query: &[Vec<f32>], document: &[Vec<f32>], scoring: Scoring) -> f32 {
    let best = |query: &Vec<f32>| {
        let products = document.iter().map(|vector| product(query, vector));
        products.fold(f32::NEG_INFINITY, f32::max)
    };
    let sum: f32 = query.iter().map(best).sum();
    match scoring {
        Scoring::MaxSimMean => sum / query.len().max(1) as f32,
        Scoring::MaxSimSum | Scoring::CrossEncoder => sum,
    }
}

/// The product of two vectors, in so many sums and always in the same order.
fn product(a: &[f32], b: &[f32]) -> f32 {
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_match_of_each_vector_counts() {
        let query = [vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0]];
        let document = [vec![0.5, -1.0, 0.0], vec![0.25, 0.75, 9.0]];
        assert_eq!(max_sim(&query, &document, Scoring::MaxSimSum), 1.25);
        assert_eq!(max_sim(&query, &document, Scoring::MaxSimMean), 0.625);
        // Nothing is padded: where all are worse than nothing, it is less than nothing.
        assert_eq!(max_sim(&query, &[vec![-1.0, -2.0, 0.0]], Scoring::MaxSimSum), -3.0);
        assert!(!max_sim(&query, &[], Scoring::MaxSimSum).is_finite());
    }

    #[test]
    fn products_are_what_they_are_one_by_one() {
        for length in [0, 1, 15, 16, 17, 128, 1023] {
            let number = |seed: usize| move |i: usize| ((i * seed) % 13) as f32 - 6.0;
            let a: Vec<f32> = (0..length).map(number(7)).collect();
            let b: Vec<f32> = (0..length).map(number(5)).collect();
            // Whole numbers are exact in any order.
            let expected: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert_eq!(product(&a, &b), expected, "{length}");
        }
    }
}
