//! Normalization layers.

use kernels::{Tensor, ops};

use crate::{Result, Scope};

/// Root-mean-square normalization.
#[derive(Debug)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f32,
}

impl RmsNorm {
    /// Loads `weight: [width]`.
    ///
    /// # Errors
    ///
    /// If the tensor is missing or has another shape.
    pub fn load(scope: &Scope<'_>, width: usize, eps: f32) -> Result<Self> {
        Ok(Self { weight: scope.vector("weight", width)?, eps })
    }

    /// Loads `weight: [width]`, to which one is added.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_from_one(scope: &Scope<'_>, width: usize, eps: f32) -> Result<Self> {
        let weight = scope.vector("weight", width)?;
        Ok(Self { weight: ops::add(&weight, &scope.ones(weight.dtype(), width)), eps })
    }

    /// Normalizes each row of `[.., width]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        ops::rms_norm(x, &self.weight, self.eps)
    }
}

/// Normalization to zero mean and unit variance.
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Option<Tensor>,
    eps: f32,
}

impl LayerNorm {
    /// Loads `weight: [width]` and `bias: [width]`, or `gamma` and `beta`, as checkpoints that
    /// were first trained with TensorFlow call them.
    ///
    /// # Errors
    ///
    /// If a tensor is missing or has another shape.
    pub fn load(scope: &Scope<'_>, width: usize, eps: f32) -> Result<Self> {
        let (weight, bias) =
            if scope.has("gamma") { ("gamma", "beta") } else { ("weight", "bias") };
        let (weight, bias) = (scope.vector(weight, width)?, scope.vector(bias, width)?);
        Ok(Self { weight, bias: Some(bias), eps })
    }

    /// Loads `weight: [width]`, and `bias` only if there is to be one.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_as(scope: &Scope<'_>, width: usize, eps: f32, bias: bool) -> Result<Self> {
        if bias {
            return Self::load(scope, width, eps);
        }
        Ok(Self { weight: scope.vector("weight", width)?, bias: None, eps })
    }

    /// Normalizes each row of `[.., width]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        ops::layer_norm(x, &self.weight, self.bias.as_ref(), self.eps)
    }
}
