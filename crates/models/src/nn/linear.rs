//! `y = x w^T + b`, with whatever the checkpoint stores as `w`.

use kernels::{Tensor, ops};

use super::Weight;
use crate::{Result, Scope};

/// A linear map.
#[derive(Debug)]
pub struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
    adapter: Option<Box<LowRank>>,
}

/// What an adapter adds: `scale * (x a^T) b^T`, beside a weight that stays as it is.
#[derive(Debug)]
struct LowRank {
    /// `[rank, inputs]`
    a: Tensor,
    /// `[outputs, rank]`
    b: Tensor,
    scale: f32,
}

impl Linear {
    /// Loads `weight: [outputs, inputs]`, and `bias: [outputs]` if the layer has one, and what an
    /// adapter adds to it.
    ///
    /// # Errors
    ///
    /// If a tensor is missing or has another shape.
    pub fn load(scope: &Scope<'_>, inputs: usize, outputs: usize, bias: bool) -> Result<Self> {
        let weight = scope.weight(outputs, inputs)?;
        let bias = if bias { Some(scope.vector("bias", outputs)?) } else { None };
        let low_rank = scope.low_rank(outputs, inputs)?;
        let adapter = low_rank.map(|(a, b, scale)| Box::new(LowRank { a, b, scale }));
        Ok(Self { weight, bias, adapter })
    }

    /// Applies the map to each row: `[m, inputs]` to `[m, outputs]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let [y] = Self::forward_each([self], x);
        y
    }

    /// Applies several maps to the same rows: [`forward`](Self::forward) of each, at less cost.
    pub fn forward_each<const N: usize>(maps: [&Self; N], x: &Tensor) -> [Tensor; N] {
        let mut rest = maps.iter();
        Weight::matmul_each(maps.map(|map| &map.weight), x).map(|mut y| {
            let Some(map) = rest.next() else { return y };
            if let Some(bias) = &map.bias {
                y = ops::add(&y, bias);
            }
            if let Some(LowRank { a, b, scale }) = map.adapter.as_deref() {
                let narrow = ops::scale(&ops::matmul(x, a), *scale);
                y = ops::add(&y, &ops::matmul(&narrow, b));
            }
            y
        })
    }
}
