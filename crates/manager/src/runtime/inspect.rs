//! Numbers for whoever compares us with a reference.

use std::path::Path;

use checkpoint::{Dtype, NewTensor};
use engine::Passage;
use kernels::{DType, Device};
use models::{Batch, Cache, Decoder};
use tokio::sync::oneshot;

use super::device::{Command, ForwardReply, Slot};
use super::error::Error;
use super::generate::Prompt;
use super::load::LoadedModel;

impl LoadedModel {
    /// One pass over `tokens` alone: the logits of every row (`[tokens, vocabulary]`), or the
    /// hidden states of an embedding model, and with `taps` every named activation. Blocks.
    ///
    /// # Errors
    ///
    /// If there are no tokens, too many, or one that the network does not know.
    pub fn forward(&self, tokens: &[u32], taps: bool) -> Result<ForwardReply, Error> {
        self.forward_passage(tokens.to_vec().into(), taps)
    }

    /// The same of a prompt, and the images in it.
    ///
    /// # Errors
    ///
    /// As [`forward`](Self::forward), and as [`encode_prompt`](Self::encode_prompt).
    pub fn forward_prompt(&self, prompt: &Prompt, taps: bool) -> Result<ForwardReply, Error> {
        self.forward_passage(self.passage(prompt)?.0, taps)
    }

    fn forward_passage(&self, passage: Passage, taps: bool) -> Result<ForwardReply, Error> {
        let tokens = &passage.tokens;
        let vocabulary = self.facts.vocabulary;
        if tokens.is_empty() {
            return Err(engine::Refusal::EmptyPrompt.into());
        }
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocabulary) {
            return Err(engine::Refusal::UnknownToken { token, vocabulary }.into());
        }
        if tokens.len() > self.facts.context {
            let (prompt, limit) = (tokens.len(), self.facts.context);
            return Err(engine::Refusal::TooLong { prompt, max_tokens: 0, limit }.into());
        }
        let (reply, answer) = oneshot::channel();
        self.runtime.send(Command::Forward { model: self.id, passage, taps, reply })?;
        answer.blocking_recv().map_err(|_| Error::Gone)?
    }
}

impl ForwardReply {
    /// Writes everything to a safetensors file, as `F32` under its own names.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let bytes =
            |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
        let shape = vec![self.rows.len() / self.width.max(1), self.width];
        let mut owned = vec![(self.name, shape, bytes(&self.rows))];
        owned.extend(
            self.taps
                .iter()
                .map(|(name, shape, values)| (name.as_str(), shape.clone(), bytes(values))),
        );
        let tensors: Vec<_> = owned
            .iter()
            .map(|(name, shape, bytes)| NewTensor { name, dtype: Dtype::F32, shape, bytes })
            .collect();
        Ok(checkpoint::write(path, &tensors, &Default::default())?)
    }
}

/// One pass over `passage` alone, with all that can be seen on the way.
pub(super) fn forward(slot: &Slot, device: &Device, passage: &Passage, taps: bool) -> ForwardReply {
    const PAGE: usize = 32;
    let mut batch = Batch::default();
    let pages = passage.tokens.len().div_ceil(PAGE);
    if taps {
        batch.record();
    }
    let vision = match slot {
        Slot::Language(language) => language.engine.decoder().vision(),
        Slot::Embedding(embedder, _) => embedder.encoder.vision(),
        Slot::Classifier(classifier, _) => classifier.vision(),
    };
    passage.push(&mut batch, (0..pages as u32).collect(), vision);
    let (name, out) = match slot {
        Slot::Language(language) => {
            let decoder: &dyn Decoder = language.engine.decoder();
            // Codes are what is judged; without them nothing is rounded.
            let format = match language.format.quantization {
                Some(_) => language.format,
                None => DType::F32.into(),
            };
            let mut cache = Cache::new(device, &decoder.layers(), PAGE, pages, format);
            ("logits", decoder.unembed(&decoder.forward(&batch, &mut cache)))
        }
        Slot::Embedding(embedder, _) => ("last_hidden_state", embedder.encoder.forward(&batch)),
        Slot::Classifier(classifier, _) => ("last_hidden_state", classifier.forward(&batch)),
    };
    let taps = batch.recorded().into_iter();
    let taps = taps.map(|(name, tensor)| (name, tensor.shape().to_vec(), tensor.to_vec()));
    ForwardReply { name, width: out.width(), rows: out.to_vec(), taps: taps.collect() }
}
