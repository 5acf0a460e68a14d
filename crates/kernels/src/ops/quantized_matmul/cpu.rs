//! Each task takes some rows of the weight, decodes one at a time and meets it with every row of
//! the activations.

use super::reference::decode_row;
use crate::cpu::SharedMut;
use crate::{QuantizedTensor, Tensor};

/// Rows of the weight that one task takes.
const GRAIN: usize = 8;

pub(super) fn quantized_matmul(x: &Tensor, w: &QuantizedTensor) -> Tensor {
    let (m, k, n) = (x.rows(), x.width(), w.rows);
    let mut out = x.cpu().buffer(m * n);
    let data = x.data();
    let parts = SharedMut::new(&mut out);
    x.cpu().pool().run_ranges(n, GRAIN, |columns| {
        let mut row = vec![0.0; k];
        for column in columns {
            decode_row(w, column, &mut row);
            for (i, x) in data.chunks_exact(k).enumerate() {
                let at = i * n + column;
                #[expect(unsafe_code, reason = "tasks write disjoint columns")]
                // SAFETY: each task has columns of its own.
                let out = unsafe { parts.part(at..at + 1) };
                out[0] = x.iter().zip(&row).map(|(x, w)| x * w).sum();
            }
        }
    });
    Tensor::from_buffer(&[m, n], out)
}
