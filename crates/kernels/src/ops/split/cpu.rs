//! A copy of each row's part.

use std::ops::Range;

use crate::Tensor;

pub(super) fn columns(x: &Tensor, columns: Range<usize>, shape: &[usize]) -> Tensor {
    let (data, width, size) = (x.data(), x.width(), columns.len());
    let mut out = x.cpu().buffer(x.rows() * size);
    x.cpu().pool().run_rows(&mut out, size, |rows, out| {
        let from = data[rows.start * width..rows.end * width].chunks_exact(width.max(1));
        for (out, from) in out.chunks_exact_mut(size.max(1)).zip(from) {
            out.copy_from_slice(&from[columns.clone()]);
        }
    });
    Tensor::from_buffer(shape, out)
}
