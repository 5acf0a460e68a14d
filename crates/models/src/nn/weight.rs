//! A matrix as the checkpoint stores it.

use kernels::{QuantizedTensor, Tensor, ops};

/// `[rows, columns]` weights, dense or quantized.
#[derive(Debug)]
pub enum Weight {
    /// Floats of any width.
    Dense(Tensor),
    /// One of MLX's quantized formats.
    Quantized(Box<QuantizedTensor>),
}

impl Weight {
    /// `x w^T`: `[m, columns]` to `[m, rows]`.
    pub fn matmul(&self, x: &Tensor) -> Tensor {
        match self {
            Self::Dense(weight) => ops::matmul(x, weight),
            Self::Quantized(weight) => ops::quantized_matmul(x, weight),
        }
    }

    /// The rows at `indices`, `[t, columns]`.
    pub fn take(&self, indices: &[u32]) -> Tensor {
        match self {
            Self::Dense(weight) => ops::take(weight, indices),
            Self::Quantized(weight) => ops::quantized_take(weight, indices),
        }
    }
}
