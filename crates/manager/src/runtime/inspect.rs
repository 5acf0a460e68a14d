//! Numbers for whoever compares us with a reference.

use tokio::sync::oneshot;

use super::device::{Command, ForwardReply};
use super::error::Error;
use super::load::LoadedModel;

impl LoadedModel {
    /// One pass over `tokens` alone: the logits of every row (`[tokens, vocabulary]`), or the
    /// hidden states of an embedding model, and with `taps` every named activation. Blocks.
    ///
    /// # Errors
    ///
    /// If there are no tokens, too many, or one that the network does not know.
    pub fn forward(&self, tokens: &[u32], taps: bool) -> Result<ForwardReply, Error> {
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
        let tokens = tokens.to_vec();
        self.runtime.send(Command::Forward { model: self.id, tokens, taps, reply })?;
        answer.blocking_recv().map_err(|_| Error::Gone)?
    }
}
