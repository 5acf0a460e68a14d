//! A matrix as the checkpoint stores it.

use kernels::ops::Pairs;
use kernels::{Indices, QuantizedTensor, Tensor, ops};

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

    /// How many rows there are: the width of a product.
    pub fn rows(&self) -> usize {
        match self {
            Self::Dense(weight) => weight.rows(),
            Self::Quantized(weight) => weight.rows,
        }
    }

    /// How many columns there are: the width of what is multiplied.
    pub fn columns(&self) -> usize {
        match self {
            Self::Dense(weight) => weight.width(),
            Self::Quantized(weight) => weight.columns,
        }
    }

    /// Chosen rows of `x` with chosen ones of the `count` matrices that lie below each other here.
    pub fn gather<'a>(&self, x: &Tensor, count: usize, pairs: impl Into<Pairs<'a>>) -> Tensor {
        match self {
            Self::Dense(weight) => {
                let stack = [count, weight.rows() / count.max(1), weight.width()];
                ops::gather_mm(x, &weight.reshape(&stack), pairs)
            }
            Self::Quantized(weight) => ops::gather_qmm(x, weight, count, pairs),
        }
    }

    /// [`matmul`](Self::matmul) with each of `weights`. Quantized ones are multiplied together: one
    /// parallel region, and one rounding of `x` for each format.
    pub fn matmul_each<const N: usize>(weights: [&Self; N], x: &Tensor) -> [Tensor; N] {
        let mut quantized = Vec::with_capacity(N);
        for weight in weights {
            if let Self::Quantized(weight) = weight {
                quantized.push(&**weight);
            }
        }
        match quantized.try_into() {
            Ok(quantized) => ops::quantized_matmuls::<N>(x, quantized),
            Err(_) => weights.map(|weight| weight.matmul(x)),
        }
    }

    /// The rows at `indices`, `[t, columns]`.
    pub fn take<'a>(&self, indices: impl Into<Indices<'a>>) -> Tensor {
        match self {
            Self::Dense(weight) => ops::take(weight, indices),
            Self::Quantized(weight) => ops::quantized_take(weight, indices),
        }
    }
}
