//! The token table, read in both directions.

use kernels::Tensor;

use super::Weight;
use crate::{Result, Scope};

/// A table of one row per token.
#[derive(Debug)]
pub struct Embedding {
    weight: Weight,
}

impl Embedding {
    /// Loads `weight: [rows, width]`.
    ///
    /// # Errors
    ///
    /// If the tensor is missing or has another shape.
    pub fn load(scope: &Scope<'_>, rows: usize, width: usize) -> Result<Self> {
        Ok(Self { weight: scope.weight(rows, width)? })
    }

    /// Tokens to rows: `[t]` to `[t, width]`.
    pub fn forward(&self, tokens: &[u32]) -> Tensor {
        self.weight.take(tokens)
    }

    /// Rows to logits over tokens, `[m, width]` to `[m, rows]`: the tied output head.
    pub fn unembed(&self, hidden: &Tensor) -> Tensor {
        self.weight.matmul(hidden)
    }
}
