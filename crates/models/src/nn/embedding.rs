//! The token table, read in both directions.

use kernels::{Indices, Tensor};

use super::Weight;
use crate::scope::bf16;
use crate::{Result, Scope};

/// A table of one row per token.
#[derive(Debug)]
pub struct Embedding {
    weight: Weight,
}

impl Embedding {
    /// Loads `weight: [rows, width]` of a network whose output head may be this table, read backwards:
    /// it is if the checkpoint has no `lm_head`.
    ///
    /// # Errors
    ///
    /// If the tensor is missing or has another shape.
    pub fn load(scope: &Scope<'_>, rows: usize, width: usize) -> Result<Self> {
        if scope.checkpoint_has("lm_head") {
            return Self::table(scope, rows, width);
        }
        Ok(Self { weight: scope.weight(rows, width)? })
    }

    /// Loads `weight: [rows, width]`, to take rows from.
    ///
    /// # Errors
    ///
    /// If the tensor is missing or has another shape.
    pub fn table(scope: &Scope<'_>, rows: usize, width: usize) -> Result<Self> {
        Ok(Self { weight: scope.rows(rows, width)? })
    }

    /// Tokens to rows: `[t]` to `[t, width]`.
    pub fn forward<'a>(&self, tokens: impl Into<Indices<'a>>) -> Tensor {
        self.weight.take(tokens)
    }

    /// Rows to logits over tokens, `[m, width]` to `[m, rows]`: the tied output head.
    pub fn unembed(&self, hidden: &Tensor) -> Tensor {
        self.weight.matmul(hidden)
    }
}

/// `x` with the eight significant bits of `bf16`, in which many networks were trained: their
/// constants are of that type, too.
pub(crate) fn rounded(x: f32) -> f32 {
    f32::from_bits(u32::from(bf16(x)) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_rounded_to_nearest_even() {
        assert_eq!(rounded(1152.0_f32.sqrt()), 34.0);
        assert_eq!(rounded(8.0), 8.0);
        assert_eq!(rounded(1.0 + 1.0 / 256.0), 1.0);
        assert_eq!(rounded(1.0 + 3.0 / 256.0), 1.0 + 2.0 / 128.0);
        assert!(rounded(f32::NAN).is_nan());
    }
}
