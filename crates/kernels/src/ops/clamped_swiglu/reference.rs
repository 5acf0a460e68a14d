//! The definition.
#![cfg(test)]

use super::Clamp;
use crate::Tensor;

pub(super) fn clamped_swiglu(gate: &Tensor, up: &Tensor, clamp: Clamp) -> Tensor {
    let out = gate.to_vec().iter().zip(up.to_vec()).map(|(&g, u)| clamp.apply(g, u)).collect();
    gate.device().tensor(gate.shape(), out)
}

impl Clamp {
    pub(super) fn apply(self, gate: f32, up: f32) -> f32 {
        let (alpha, limit) = (f64::from(self.alpha), f64::from(self.limit));
        let (gate, up) = (f64::from(gate).min(limit), f64::from(up).clamp(-limit, limit));
        (gate / (1.0 + (-alpha * gate).exp()) * (up + 1.0)) as f32
    }
}
