//! The gated feed-forward block.

use kernels::{Tensor, ops};

use super::Linear;
use crate::{Result, Scope};

/// `down(silu(gate(x)) * up(x))`.
#[derive(Debug)]
pub struct GatedMlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

impl GatedMlp {
    /// Loads `gate_proj`, `up_proj` and `down_proj`.
    ///
    /// # Errors
    ///
    /// If a tensor is missing or has another shape.
    pub fn load(scope: &Scope<'_>, width: usize, hidden: usize, bias: bool) -> Result<Self> {
        Ok(Self {
            gate_proj: Linear::load(&scope.at("gate_proj"), width, hidden, bias)?,
            up_proj: Linear::load(&scope.at("up_proj"), width, hidden, bias)?,
            down_proj: Linear::load(&scope.at("down_proj"), hidden, width, bias)?,
        })
    }

    /// Applies the block to each row of `[m, width]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let [gate, up] = Linear::forward_each([&self.gate_proj, &self.up_proj], x);
        self.down_proj.forward(&ops::swiglu(&gate, &up))
    }
}
