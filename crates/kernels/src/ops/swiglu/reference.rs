//! The definition.
#![cfg(test)]

use crate::Tensor;

pub(super) fn swiglu(gate: &Tensor, up: &Tensor) -> Tensor {
    let silu = |x: f32| x / (1.0 + (-x).exp());
    let out = gate.to_vec().iter().zip(up.to_vec()).map(|(&g, u)| silu(g) * u).collect();
    gate.device().tensor(gate.shape(), out)
}
