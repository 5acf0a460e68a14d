//! `y = x w^T + b`, with whatever the checkpoint stores as `w`.

use kernels::{Tensor, ops};

use super::Weight;
use crate::{Result, Scope};

/// A linear map.
#[derive(Debug)]
pub struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
}

impl Linear {
    /// Loads `weight: [outputs, inputs]`, and `bias: [outputs]` if the layer has one.
    ///
    /// # Errors
    ///
    /// If a tensor is missing or has another shape.
    pub fn load(scope: &Scope<'_>, inputs: usize, outputs: usize, bias: bool) -> Result<Self> {
        let weight = scope.weight(outputs, inputs)?;
        let bias = if bias { Some(scope.vector("bias", outputs)?) } else { None };
        Ok(Self { weight, bias })
    }

    /// Applies the map to each row: `[m, inputs]` to `[m, outputs]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let [y] = Self::forward_each([self], x);
        y
    }

    /// Applies several maps to the same rows: [`forward`](Self::forward) of each, at less cost.
    pub fn forward_each<const N: usize>(maps: [&Self; N], x: &Tensor) -> [Tensor; N] {
        let mut biases = maps.iter().map(|map| &map.bias);
        Weight::matmul_each(maps.map(|map| &map.weight), x).map(|y| match biases.next() {
            Some(Some(bias)) => ops::add(&y, bias),
            _ => y,
        })
    }
}
