//! Texts made into vectors.

use engine::pack;
use text::Special;
use tokio::sync::oneshot;

use super::device::{Command, EncodeReply, ModelKind};
use super::error::Error;
use super::load::LoadedModel;

/// Tokens that one forward pass holds: enough to keep the cores busy, and little enough that a
/// conversation does not wait long.
pub const BATCH_TOKENS: usize = 1024;

/// How texts become vectors.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EmbedOptions {
    /// The name of one of the checkpoint's prompts (`query`, `passage`), put before each text.
    pub prompt: Option<String>,
    /// Cuts texts that are too long, instead of refusing them.
    pub truncate: bool,
}

/// The vector of one text.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Its elements.
    pub vector: Vec<f32>,
    /// Tokens of the text, special ones included.
    pub tokens: usize,
    /// Whether the text was cut.
    pub truncated: bool,
}

impl LoadedModel {
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

    /// One vector for each text, in order. Blocks.
    ///
    /// # Errors
    ///
    /// If this is no embedding model, or a text is too long.
    pub fn embed(&self, texts: &[String], options: &EmbedOptions) -> Result<Vec<Embedding>, Error> {
        self.expect(ModelKind::Embedding, "embed")?;
        let prefix = self.prefix(options)?;
        let limit = self.longest_text();
        let mut passages = Vec::with_capacity(texts.len());
        let mut out: Vec<Embedding> = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let lowered = self.sentence.as_ref().is_some_and(|files| files.do_lower_case);
            let text = if lowered { text.to_lowercase() } else { text.clone() };
            let text = format!("{prefix}{text}");
            let encoded = self.tokenizer.encode(&text, Special::AddLiteral);
            let mut tokens = encoded.map_err(|error| self.text_error(error))?;
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
            out.push(Embedding { vector: Vec::new(), tokens: tokens.len(), truncated });
            passages.push(tokens);
        }
        // Texts of like length are neighbours in a batch only if the caller put them so: a packed
        // batch wastes nothing on short ones.
        let lengths: Vec<_> = passages.iter().map(Vec::len).collect();
        for batch in pack(&lengths, BATCH_TOKENS) {
            let passages: Vec<_> = passages[batch.clone()].to_vec();
            let vectors = self.encode(passages)?;
            for ((index, out), vector) in batch.clone().zip(&mut out[batch]).zip(vectors) {
                if vector.iter().any(|x| !x.is_finite()) {
                    return Err(Error::NotANumber { index });
                }
                out.vector = vector;
            }
        }
        Ok(out)
    }

    fn encode(&self, passages: Vec<Vec<u32>>) -> Result<EncodeReply, Error> {
        let (reply, answer) = oneshot::channel();
        self.runtime.send(Command::Encode { model: self.id, passages, reply })?;
        answer.blocking_recv().map_err(|_| Error::Gone)?
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

fn unknown_prompt(name: &str) -> Error {
    let expected = "the name of a prompt in config_sentence_transformers.json";
    Error::Parameter { name: "prompt", value: name.to_owned(), expected }
}
