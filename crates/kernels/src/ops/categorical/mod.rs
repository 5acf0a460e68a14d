//! One token for each row of logits: the likeliest, or one drawn with a number that comes in.
//!
//! | operand    | shape       | element type |
//! | ---------- | ----------- | ------------ |
//! | `logits`   | `[rows, n]` | any float    |
//! | `tokens`   | `[rows]`    | `U32`, below `n` |
//! | `outcomes` | `[rows]`    | `U32`: the token, or `n` and the place of the first NaN |
//!
//! With a temperature of 0 the token is the first of the largest logits. Else its weight is
//! `exp((logit - max) / temperature)`. Of these are kept those of at least `min_p`, then the `top_k`
//! largest, then the smallest set of the largest that has at least `top_p` of what is left. The
//! token is the first at which the running sum of kept weights exceeds the share `uniform` of their
//! sum: in the order of tokens, or, if `top_p` cuts, in that of weights. Equal weights are ordered by
//! token. If the largest logit is not finite, the token is the first that has it.
//!
//! MLX sums in `f32`, the CPU in `f64`: where `uniform` falls within some 1e-6 of a border between
//! two tokens, they may choose differently. MLX's own `random.categorical` draws its own numbers.

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

pub use cpu::Candidates;

use crate::Tensor;
use crate::tensor::Backend;

/// How a row's token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f32,
    /// Keeps so many of the likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the likeliest tokens that together have this probability; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens with at least this share of the likeliest token's probability; 0 keeps all.
    pub min_p: f32,
    /// Chance, in `[0, 1)`.
    pub uniform: f64,
}

impl Draw {
    /// The likeliest token.
    pub const LIKELIEST: Self =
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, uniform: 0.0 };

    /// How far below the largest logit one may be that `min_p` keeps; not above zero. What has no
    /// weight in `f32` is never kept.
    pub(crate) fn floor(&self) -> f32 {
        self.temperature * self.min_p.max(f32::MIN_POSITIVE).ln()
    }
}

/// What was chosen, perhaps not computed yet.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Indices into a table of tokens in any case: 0 where there is a NaN.
    pub tokens: Tensor,
    outcomes: Tensor,
    vocabulary: usize,
}

impl Choice {
    fn new(tokens: Tensor, outcomes: Tensor, vocabulary: usize) -> Self {
        Self { tokens, outcomes, vocabulary }
    }

    /// For each row the token, or the place of the first NaN. Waits for the device.
    pub fn read(&self) -> Vec<Result<u32, u32>> {
        let end = self.vocabulary as u32;
        let outcomes = self.outcomes.to_u32().into_iter();
        outcomes
            .map(|outcome| if outcome < end { Ok(outcome) } else { Err(outcome - end) })
            .collect()
    }

    /// What must be computed.
    pub(crate) fn outcomes(&self) -> &Tensor {
        &self.outcomes
    }
}

/// Chooses a token for each row.
///
/// # Panics
///
/// If there are not as many `draws` as rows, or no tokens.
#[track_caller]
pub fn categorical(logits: &Tensor, draws: &[Draw]) -> Choice {
    let &[rows, n] = logits.shape() else { panic!("categorical: shape {:?}", logits.shape()) };
    assert_eq!(rows, draws.len(), "categorical: draws");
    assert!(n > 0, "categorical: no tokens");
    match logits.backend() {
        Backend::Cpu => cpu::categorical(logits, draws),
        Backend::Mlx(_) => mlx::categorical(logits, draws),
    }
}
