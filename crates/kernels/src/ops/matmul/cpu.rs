//! Each task takes some rows of the weight and all rows of the activations, or, where there are
//! many of both, a block of them. The kernel and the order of its sums are in
//! [`dot`](crate::cpu::simd::dot).

use crate::Tensor;
use crate::cpu::SharedMut;
use crate::cpu::simd::dispatch;
use crate::cpu::simd::dot::{Corner, Dots, WORTH_WIDENING, panel_len};

/// Bytes of the weight that a task reads when there are few rows of activations: some
/// microseconds' worth.
const STREAM: usize = 96 * 1024;

/// Up to how many rows of activations a task takes all of them.
const FEW: usize = 12;

/// Rows of the weight in a task, whose widened block must fit into the second-level cache.
const PANEL: usize = 32;

/// Rows of activations in a task, if there are more than a few.
const ROWS: usize = 256;

pub(super) fn matmul(x: &Tensor, w: &Tensor) -> Tensor {
    let (m, k, n) = (x.shape()[0], x.width(), w.shape()[0]);
    let cpu = x.cpu();
    let mut out = cpu.buffer(m * n);
    if k == 0 {
        out.fill(0.0);
        return Tensor::from_buffer(&[m, n], out);
    }
    let (data, weight, dtype) = (x.data(), w.bytes(), w.dtype());
    let row_bytes = k * dtype.size();
    let widened = m >= WORTH_WIDENING;
    let (rows, columns) = if m > FEW {
        (ROWS, PANEL)
    } else {
        (m.max(1), (STREAM / row_bytes).next_multiple_of(8).max(8))
    };
    let blocks = m.div_ceil(rows);
    let parts = SharedMut::new(&mut out);
    cpu.pool().run(blocks * n.div_ceil(columns), |task| {
        let (block, panel) = (task % blocks, task / blocks);
        let (first, last) = (panel * columns, ((panel + 1) * columns).min(n));
        let (top, bottom) = (block * rows, ((block + 1) * rows).min(m));
        let mut panel = cpu.buffer(if widened { panel_len(last - first, k) } else { 0 });
        let dots = Dots {
            x: &data[top * k..bottom * k],
            k,
            w: &weight[first * row_bytes..last * row_bytes],
            dtype,
            panel: &mut panel,
            out: Corner { all: &parts, stride: n, at: top * n + first },
        };
        dispatch(cpu.isa(), dots);
    });
    Tensor::from_buffer(&[m, n], out)
}
