//! Row by row, in parallel where there is enough to do.

use super::Gelu;
use crate::Tensor;

pub(super) fn gelu(x: &Tensor, form: Gelu) -> Tensor {
    let mut out = x.cpu().buffer(x.elements());
    let (data, width) = (x.data(), x.width());
    x.cpu().pool().run_rows(&mut out, width, |rows, out| {
        for (out, &x) in out.iter_mut().zip(&data[rows.start * width..]) {
            *out = form.apply(x);
        }
    });
    Tensor::from_buffer(x.shape(), out)
}
