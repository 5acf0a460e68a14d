//! Row by row, in parallel where there is enough to do.

use crate::Tensor;

pub(super) fn swiglu(gate: &Tensor, up: &Tensor) -> Tensor {
    let mut out = gate.cpu().buffer(gate.elements());
    let (g, u) = (gate.data(), up.data());
    let width = gate.width();
    gate.cpu().pool().run_rows(&mut out, width, |rows, out| {
        let range = rows.start * width..rows.end * width;
        for ((out, &g), u) in out.iter_mut().zip(&g[range.clone()]).zip(&u[range]) {
            *out = g / (1.0 + (-g).exp()) * u;
        }
    });
    Tensor::from_buffer(gate.shape(), out)
}
