//! How well a model foretells a text, and how far a fast way of computing strays from an exact one.

use std::ops::AddAssign;

use text::Special;

use super::device::{ForwardReply, ModelKind};
use super::error::Error;
use super::load::LoadedModel;

/// How well a model foretold tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Tokens that were to be foretold.
    pub tokens: usize,
    /// The sum of their negative log-likelihoods, in nats.
    pub nll: f64,
}

impl Score {
    /// `exp(nll / tokens)`: among how many equally likely tokens the model seems to choose.
    pub fn perplexity(&self) -> f64 {
        (self.nll / self.tokens as f64).exp()
    }
}

impl AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.nll += other.nll;
    }
}

/// Two ways of computing the same tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Comparison {
    /// The way that is judged.
    pub score: Score,
    /// The way it is compared with.
    pub reference: Score,
    /// The sum of the Kullback-Leibler divergences of the judged distributions from the reference's, in nats.
    pub divergence: f64,
    /// The largest of them.
    pub worst: f64,
    /// Tokens at which both find the same one likeliest.
    pub agreed: usize,
}

impl AddAssign for Comparison {
    fn add_assign(&mut self, other: Self) {
        self.score += other.score;
        self.reference += other.reference;
        self.divergence += other.divergence;
        self.worst = self.worst.max(other.worst);
        self.agreed += other.agreed;
    }
}

impl LoadedModel {
    /// The tokens of `text`, cut into windows of `context` tokens, the last of which may be shorter. Each begins with
    /// what the model puts before a text, and is to be foretold without knowledge of those before it.
    ///
    /// # Errors
    ///
    /// If the model is no decoder, the context does not suit it, or the text has fewer than two tokens.
    pub fn windows(&self, text: &str, context: usize) -> Result<Vec<Vec<u32>>, Error> {
        if self.facts.kind != ModelKind::Language {
            let (model, is) = (self.name.clone(), "an embedding model");
            return Err(Error::WrongKind { model, is, asked: "foretell text" });
        }
        let fail = |source| Error::Text { path: self.path.clone(), source };
        let encode = |text: &str, special| self.tokenizer.encode(text, special).map_err(fail);
        let (bare, empty) = (encode(text, Special::OmitLiteral)?, encode("", Special::AddLiteral)?);
        // What stands around nothing and before the first token is what stands before a text.
        let whole = encode(text, Special::AddLiteral)?;
        let before = whole.iter().zip(&empty).take_while(|(a, b)| a == b).count();
        let room = context.saturating_sub(before);
        if room < 2 || context > self.facts.context {
            return Err(Error::Parameter {
                name: "context",
                value: context.to_string(),
                expected: "from a few tokens to the model's own context",
            });
        }
        if bare.len() < 2 {
            return Err(engine::Refusal::EmptyPrompt.into());
        }
        let window = |tokens: &[u32]| [&empty[..before], tokens].concat();
        Ok(bare.chunks(room).filter(|tokens| tokens.len() + before > 1).map(window).collect())
    }

    /// Foretells each token of `window` but the first. Blocks.
    ///
    /// # Errors
    ///
    /// If the window does not fit the model.
    pub fn score(&self, window: &[u32]) -> Result<Score, Error> {
        let reply = self.forward(window, false)?;
        let mut score = Score::default();
        for (logits, next) in rows(&reply, window) {
            score += foretell(&log_softmax(logits), next);
        }
        Ok(score)
    }

    /// Foretells each token of `window` but the first, beside `reference`, the same model computed in another way.
    /// Blocks.
    ///
    /// # Errors
    ///
    /// If the window does not fit the model.
    pub fn compare(&self, reference: &Self, window: &[u32]) -> Result<Comparison, Error> {
        let (judged, truth) = (self.forward(window, false)?, reference.forward(window, false)?);
        let mut all = Comparison::default();
        for ((a, next), (b, _)) in rows(&judged, window).zip(rows(&truth, window)) {
            let (a, b) = (log_softmax(a), log_softmax(b));
            let divergence: f64 = a.iter().zip(&b).map(|(a, b)| b.exp() * (b - a)).sum();
            all += Comparison {
                score: foretell(&a, next),
                reference: foretell(&b, next),
                divergence,
                worst: divergence,
                agreed: usize::from(likeliest(&a) == likeliest(&b)),
            };
        }
        Ok(all)
    }
}

/// The logits of each token of `window` but the last, and the token that follows.
fn rows<'a>(reply: &'a ForwardReply, window: &'a [u32]) -> impl Iterator<Item = (&'a [f32], u32)> {
    reply.rows.chunks_exact(reply.width.max(1)).zip(window.iter().skip(1).copied())
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - most).exp()).sum();
    logits.iter().map(|&x| f64::from(x - most) - sum.ln()).collect()
}

fn foretell(log_likelihoods: &[f64], next: u32) -> Score {
    Score { tokens: 1, nll: -log_likelihoods[next as usize] }
}

fn likeliest(log_likelihoods: &[f64]) -> Option<usize> {
    (0..log_likelihoods.len()).max_by(|&a, &b| log_likelihoods[a].total_cmp(&log_likelihoods[b]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undecided_model_chooses_among_all() {
        let even = log_softmax(&[7.0; 8]);
        let mut score = foretell(&even, 3);
        score += foretell(&even, 0);
        assert!((score.perplexity() - 8.0).abs() < 1e-9);
    }

    #[test]
    fn a_certain_model_is_not_surprised() {
        let sure = log_softmax(&[0.0, 1000.0, 0.0]);
        assert!((foretell(&sure, 1).perplexity() - 1.0).abs() < 1e-9);
        assert_eq!(likeliest(&sure), Some(1));
    }
}
