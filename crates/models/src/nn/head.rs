//! The output head: a map of its own, or the token table read backwards.

use kernels::Tensor;

use super::{Embedding, Linear};
use crate::{Result, Scope};

/// Hidden states to logits.
#[derive(Debug)]
pub struct Head(Option<Linear>);

impl Head {
    /// Loads `lm_head` at `root`, `[vocabulary, width]`, unless the head is `tied` to the token
    /// table. Where the configuration is silent, the tensors speak. A copy of the table that a tied
    /// checkpoint carries all the same is left alone.
    ///
    /// # Errors
    ///
    /// If the tensor is missing or has another shape.
    pub fn load(
        root: &Scope<'_>,
        tied: Option<bool>,
        width: usize,
        vocabulary: usize,
    ) -> Result<Self> {
        let scope = root.at("lm_head");
        if tied.unwrap_or_else(|| !root.has("lm_head")) {
            scope.ignore_all();
            return Ok(Self(None));
        }
        Ok(Self(Some(Linear::load(&scope, width, vocabulary, false)?)))
    }

    /// Logits `[m, vocabulary]` of `hidden: [m, width]`; `table` is what a tied head reads.
    pub fn forward(&self, hidden: &Tensor, table: &Embedding) -> Tensor {
        match &self.0 {
            Some(head) => head.forward(hidden),
            None => table.unembed(hidden),
        }
    }
}
