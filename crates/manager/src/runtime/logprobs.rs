//! How likely the network thought what it wrote, with the tokens as text.

use engine::Logprobs;

use super::generate::Generation;
use super::load::LoadedModel;

/// A token of an answer and how likely it was: logarithms of probabilities, of the network's own logits, before bias,
/// penalties, constraint and temperature.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprobs {
    /// The token that was chosen.
    pub chosen: TokenLogprob,
    /// The likeliest tokens at its place, likeliest first; as many as were asked for. The chosen one need not be there.
    pub likeliest: Vec<TokenLogprob>,
}

/// A token and how likely it was.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// The token.
    pub token: u32,
    /// What it adds to the text; no whole letters, perhaps. A special token is spelled out.
    pub bytes: Vec<u8>,
    /// The logarithm of its probability; negative infinity if there was none.
    pub logprob: f32,
}

impl LoadedModel {
    /// What `logprobs` say of `token`, which is the `first` of an answer or a later one.
    pub(super) fn worded(&self, token: u32, logprobs: &Logprobs, first: bool) -> TokenLogprobs {
        let spelled = |token: u32, logprob| {
            let bytes = self.tokenizer.bytes(token, first).unwrap_or_default();
            TokenLogprob { token, bytes, logprob }
        };
        let likeliest = logprobs.likeliest.iter();
        TokenLogprobs {
            chosen: spelled(token, logprobs.chosen),
            likeliest: likeliest.map(|&(token, logprob)| spelled(token, logprob)).collect(),
        }
    }
}

impl Generation {
    /// How likely the tokens were that came since this was last asked, in order; nothing if that was not asked for. The
    /// token that ended the answer is not among them. Those of a piece are there when the piece is.
    pub fn take_logprobs(&mut self) -> Vec<TokenLogprobs> {
        std::mem::take(&mut self.logprobs)
    }
}
