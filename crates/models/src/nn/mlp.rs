//! The gated feed-forward block.

use kernels::ops::Gelu;
use kernels::{Tensor, ops};

use super::Linear;
use crate::{Result, Scope};

/// `down(silu(gate(x)) * up(x))`, or with another function in silu's place.
#[derive(Debug)]
pub struct GatedMlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    gelu: Option<Gelu>,
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
            gelu: None,
        })
    }

    /// With this function of the gate instead of silu.
    #[must_use]
    pub fn with_gelu(self, form: Gelu) -> Self {
        Self { gelu: Some(form), ..self }
    }

    /// Applies the block to each row of `[m, width]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let [gate, up] = Linear::forward_each([&self.gate_proj, &self.up_proj], x);
        let inner = match self.gelu {
            None => ops::swiglu(&gate, &up),
            Some(form) => ops::multiply(&ops::gelu(&gate, form), &up),
        };
        self.down_proj.forward(&inner)
    }
}

/// The same with `gate_up_proj`: one map for both, the gate's rows first.
#[derive(Debug)]
pub struct FusedMlp {
    gate_up_proj: Linear,
    down_proj: Linear,
    hidden: usize,
}

impl FusedMlp {
    /// Loads `gate_up_proj` and `down_proj`.
    ///
    /// # Errors
    ///
    /// If a tensor is missing or has another shape.
    pub fn load(scope: &Scope<'_>, width: usize, hidden: usize) -> Result<Self> {
        let both = hidden.saturating_mul(2);
        Ok(Self {
            gate_up_proj: Linear::load(&scope.at("gate_up_proj"), width, both, false)?,
            down_proj: Linear::load(&scope.at("down_proj"), hidden, width, false)?,
            hidden,
        })
    }

    /// Applies the block to each row of `[m, width]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let [gate, up] = ops::split(&self.gate_up_proj.forward(x), [self.hidden; 2]);
        self.down_proj.forward(&ops::swiglu(&gate, &up))
    }
}
