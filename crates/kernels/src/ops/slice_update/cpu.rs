//! A copy of each row from where it comes.

use crate::Tensor;

pub(super) fn slice_update(x: &Tensor, updates: &[(usize, Tensor)]) -> Tensor {
    let (data, width) = (x.data(), x.width());
    let updates: Vec<_> =
        updates.iter().map(|(start, update)| (*start, update.rows(), update.data())).collect();
    let mut out = x.cpu().buffer(x.elements());
    x.cpu().pool().run_rows(&mut out, width, |rows, out| {
        for (row, out) in rows.zip(out.chunks_exact_mut(width.max(1))) {
            let before = updates.partition_point(|(start, ..)| *start <= row);
            let from = match before.checked_sub(1).map(|last| updates[last]) {
                Some((start, n, update)) if row < start + n => &update[(row - start) * width..],
                _ => &data[row * width..],
            };
            out.copy_from_slice(&from[..width]);
        }
    });
    Tensor::from_buffer(x.shape(), out)
}
