//! Each task takes some rows of the weight and all rows of the activations, or, where there are
//! many of both, a block of them. The kernel and the order of its sums are in
//! [`dot`](crate::cpu::simd::dot).
//!
//! Unless numbers are to be exact, both operands are rounded to `bf16` where the machine multiplies
//! pairs of those faster; a weight in `bf16` is read as it lies. There the kernel is
//! [`dot_pairs`](crate::cpu::simd::dot_pairs).

use crate::cpu::SharedMut;
use crate::cpu::simd::dot::{Corner, Dots, WORTH_WIDENING, panel_len};
use crate::cpu::simd::dot_pairs::{DotPairs, PADDING};
use crate::cpu::simd::pairs::Narrow;
use crate::cpu::simd::{dispatch, dispatch_pairs};
use crate::{DType, Tensor};

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
    if cpu.multiplies_pairs() && matches!(dtype, DType::F32 | DType::BF16) {
        in_pairs(x, w, &mut out);
        return Tensor::from_buffer(&[m, n], out);
    }
    let row_bytes = k * dtype.size();
    let widened = m >= WORTH_WIDENING;
    let (rows, columns) = block(m, row_bytes);
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

/// Rows of activations and of the weight in a task.
fn block(m: usize, row_bytes: usize) -> (usize, usize) {
    if m > FEW {
        (ROWS, PANEL)
    } else {
        (m.max(1), (STREAM / row_bytes).next_multiple_of(8).max(8))
    }
}

/// The product of activations and a weight in `f32` or `bf16`, rounded to `bf16`.
fn in_pairs(x: &Tensor, w: &Tensor, out: &mut [f32]) {
    let (m, k, n) = (x.shape()[0], x.width(), w.shape()[0]);
    let (cpu, data, weight, dtype) = (x.cpu(), x.data(), w.bytes(), w.dtype());
    // Pairs of a row with padding.
    let stride = k.next_multiple_of(PADDING) / 2;
    let narrow = |from: &[f32], to: &mut [f32]| {
        let (to, padding) = to.split_at_mut(k.div_ceil(2));
        padding.fill(0.0);
        dispatch_pairs(cpu.isa(), Narrow { from, scale: 1.0, to });
    };
    let mut pairs = cpu.buffer(m * stride);
    cpu.pool().run_rows(&mut pairs, stride, |rows, to| {
        let from = data[rows.start * k..rows.end * k].chunks_exact(k);
        from.zip(to.chunks_exact_mut(stride)).for_each(|(from, to)| narrow(from, to));
    });
    let row_bytes = k * dtype.size();
    let (rows, columns) = block(m, row_bytes);
    let blocks = m.div_ceil(rows);
    let parts = SharedMut::new(out);
    cpu.pool().run(blocks * n.div_ceil(columns), |task| {
        let (block, panel) = (task % blocks, task / blocks);
        let (first, last) = (panel * columns, ((panel + 1) * columns).min(n));
        let (top, bottom) = (block * rows, ((block + 1) * rows).min(m));
        let x = &pairs[top * stride..bottom * stride];
        let w = &weight[first * row_bytes..last * row_bytes];
        let out = Corner { all: &parts, stride: n, at: top * n + first };
        if dtype == DType::BF16 {
            let dots = DotPairs { x, x_stride: stride, k, w, w_stride: row_bytes, out };
            dispatch_pairs(cpu.isa(), dots);
            return;
        }
        let mut row = cpu.buffer(k);
        let mut panel = cpu.buffer((last - first) * stride);
        for (bytes, to) in w.chunks_exact(row_bytes).zip(panel.chunks_exact_mut(stride)) {
            for (to, bytes) in row.iter_mut().zip(bytes.as_chunks().0) {
                *to = f32::from_le_bytes(*bytes);
            }
            narrow(&row, to);
        }
        let w = bytes_of(&panel);
        let dots = DotPairs { x, x_stride: stride, k, w, w_stride: 4 * stride, out };
        dispatch_pairs(cpu.isa(), dots);
    });
}

/// The memory of numbers.
fn bytes_of(numbers: &[f32]) -> &[u8] {
    #[expect(unsafe_code, reason = "numbers are read as bytes")]
    // SAFETY: every byte of a number is initialized, and a byte needs no alignment.
    unsafe {
        std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers))
    }
}
