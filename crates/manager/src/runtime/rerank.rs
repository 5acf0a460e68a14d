//! How well texts answer a question, as a cross-encoder sees it.

use checkpoint::Activation;
use engine::pack;
use models::{Batch, Classifier, activate};
use text::{Pair, Special};
use tokio::sync::oneshot;

use super::device::{Command, ModelKind};
use super::embed::BATCH_TOKENS;
use super::error::Error;
use super::load::LoadedModel;

/// How texts are judged.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RerankOptions {
    /// Cuts documents that are too long together with the question, instead of refusing them.
    pub truncate: bool,
    /// Leaves scores as the network gives them, whatever the checkpoint's files put after it.
    pub logits: bool,
}

/// What a document is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Relevance {
    /// The higher, the better it answers. Between 0 and 1, unless the checkpoint says otherwise or logits were asked for.
    pub score: f32,
    /// Tokens of the pair, special ones included; absent where a server elsewhere judged, which does not say it.
    pub tokens: Option<usize>,
    /// Whether the document was cut.
    pub truncated: bool,
}

impl LoadedModel {
    /// The most tokens that a question and a document may have together.
    pub fn longest_pair(&self) -> usize {
        self.tokenizer.model_max_length().unwrap_or(usize::MAX).min(self.facts.context)
    }

    /// A score for each of `documents`, in order. Blocks.
    ///
    /// A logit becomes a score by the function that sentence-transformers' files name; by the logistic function where they
    /// name none.
    ///
    /// # Errors
    ///
    /// If this is no reranker, or a document is too long.
    pub fn rerank(
        &self,
        query: &str,
        documents: &[String],
        options: RerankOptions,
    ) -> Result<Vec<Relevance>, Error> {
        self.expect(ModelKind::Classifier, "rerank")?;
        let labels = self.facts.labels.unwrap_or(0);
        if labels != 1 {
            return Err(Error::NoScore { model: self.name.clone(), labels });
        }
        let function = match self.score {
            _ if options.logits => Activation::Identity,
            Some(function) => function,
            None => Activation::Sigmoid,
        };
        let limit = self.longest_pair();
        let (mut pairs, mut out) = (Vec::new(), Vec::new());
        for (index, document) in documents.iter().enumerate() {
            let pair = self.tokenizer.encode_pair(query, document, Special::AddLiteral);
            let mut pair = pair.map_err(|error| self.text_error(error))?;
            let tokens = pair.ids.len();
            let truncated = tokens > limit;
            if truncated {
                // The question and the marks around both texts stay.
                let fits = options.truncate && pair.cut_second(tokens - limit);
                if !fits {
                    return Err(Error::TextTooLong { index, tokens, limit });
                }
            }
            out.push(Relevance { score: 0.0, tokens: Some(pair.ids.len()), truncated });
            pairs.push(pair);
        }
        let lengths: Vec<_> = pairs.iter().map(|pair| pair.ids.len()).collect();
        for batch in pack(&lengths, BATCH_TOKENS) {
            let scores = self.classify(pairs[batch.clone()].to_vec(), function)?;
            for ((index, out), scores) in batch.clone().zip(&mut out[batch]).zip(scores) {
                out.score = scores.first().copied().unwrap_or(f32::NAN);
                if !out.score.is_finite() {
                    return Err(Error::NotANumber { index });
                }
            }
        }
        Ok(out)
    }

    fn classify(&self, pairs: Vec<Pair>, function: Activation) -> Result<Vec<Vec<f32>>, Error> {
        let (reply, answer) = oneshot::channel();
        self.runtime.send(Command::Classify { model: self.id, pairs, function, reply })?;
        answer.blocking_recv().map_err(|_| Error::Gone)?
    }
}

/// `function` of the logits of each pair.
pub(super) fn judge(
    classifier: &dyn Classifier,
    pairs: &[Pair],
    function: Activation,
) -> Vec<Vec<f32>> {
    let mut batch = Batch::default();
    for Pair { ids, types, .. } in pairs {
        batch.push_pair(ids, types);
    }
    let logits = classifier.classify(&classifier.forward(&batch), &batch.spans);
    let scores = activate(function, &logits);
    scores.chunks_exact(logits.width().max(1)).map(<[f32]>::to_vec).collect()
}
