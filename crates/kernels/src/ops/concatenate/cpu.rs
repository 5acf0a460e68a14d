//! A copy of each part's row.

use crate::Tensor;

pub(super) fn concatenate(parts: &[&Tensor], shape: &[usize]) -> Tensor {
    let cpu = parts[0].cpu();
    let width: usize = parts.iter().map(|part| part.width()).sum();
    let mut out = cpu.buffer(shape.iter().product());
    let parts: Vec<_> = parts.iter().map(|part| (part.data(), part.width())).collect();
    cpu.pool().run_rows(&mut out, width, |rows, out| {
        for (row, mut out) in rows.zip(out.chunks_exact_mut(width.max(1))) {
            for (data, size) in &parts {
                let (here, rest) = out.split_at_mut(*size);
                here.copy_from_slice(&data[row * size..][..*size]);
                out = rest;
            }
        }
    });
    Tensor::from_buffer(shape, out)
}
