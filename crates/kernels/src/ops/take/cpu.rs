//! Copies activations, widens mapped rows.

use half::slice::{HalfBitsSliceExt as _, HalfFloatSliceExt as _};
use half::{bf16, f16};

use crate::tensor::Storage;
use crate::{DType, Tensor};

pub(super) fn take(table: &Tensor, indices: &[u32]) -> Tensor {
    let n = table.width();
    let mut out = table.cpu().buffer(indices.len() * n);
    for (out, &index) in out.chunks_exact_mut(n.max(1)).zip(indices) {
        let from = index as usize * n;
        match table.storage() {
            Storage::Owned(buffer) => out.copy_from_slice(&buffer[from..][..n]),
            Storage::Mapped(_, bytes) => {
                let size = table.dtype().size();
                widen(table.dtype(), &bytes[from * size..][..n * size], out);
            }
            Storage::Mlx(_) => unreachable!("a table on MLX is read there"),
        }
    }
    Tensor::from_buffer(&[indices.len(), n], out)
}

/// Widens little-endian floats; a mapped row may lie at any address, so 16-bit ones go through a
/// small aligned copy.
#[track_caller]
fn widen(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    let mut bits = [0_u16; 256];
    match dtype {
        DType::F32 => {
            for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                *out = f32::from_le_bytes(*bytes);
            }
        }
        DType::F16 | DType::BF16 => {
            for (out, bytes) in out.chunks_mut(bits.len()).zip(bytes.chunks(2 * bits.len())) {
                let bits = &mut bits[..out.len()];
                for (bits, bytes) in bits.iter_mut().zip(bytes.as_chunks().0) {
                    *bits = u16::from_le_bytes(*bytes);
                }
                if dtype == DType::F16 {
                    bits.reinterpret_cast::<f16>().convert_to_f32_slice(out);
                } else {
                    bits.reinterpret_cast::<bf16>().convert_to_f32_slice(out);
                }
            }
        }
        DType::U8 | DType::U32 => panic!("take: rows of {dtype:?}"),
    }
}
