//! What operations are called with.

use bytes::Bytes;
use kernels::{DType, Device, KvCache, KvLayer, Span, Tensor};

/// Numbers between -0.5 and 0.5.
pub(crate) fn numbers(device: &Device, shape: &[usize]) -> Tensor {
    let len = shape.iter().product();
    device.tensor(shape, (0..len).map(|i| (i * 7919 % 251) as f32 / 251.0 - 0.5).collect())
}

/// A dense weight in `dtype`.
pub(crate) fn dense(device: &Device, [rows, columns]: [usize; 2], dtype: DType) -> Tensor {
    let number = |i: usize| (i * 7919 % 251) as f32 / 251.0 - 0.5;
    let bytes: Vec<u8> = if dtype == DType::BF16 {
        (0..rows * columns).flat_map(|i| half::bf16::from_f32(number(i)).to_le_bytes()).collect()
    } else {
        (0..rows * columns).flat_map(|i| number(i).to_le_bytes()).collect()
    };
    device.wrap(&[rows, columns], dtype, Bytes::from(bytes))
}

/// Heads, heads of keys and values, and their width.
pub(crate) type Heads = [usize; 3];

/// A cache in `f16` with pages of 32 that holds `past + rows` tokens of one sequence, and the span
/// of its last `rows`.
pub(crate) fn cache(
    device: &Device,
    [_, kv_heads, dim]: Heads,
    past: usize,
    rows: usize,
) -> (KvCache, [Span; 1]) {
    let layer = KvLayer { kv_heads, key_dim: dim, value_dim: dim };
    let end = past + rows;
    let pages: Vec<u32> = (0..end.div_ceil(32) as u32).collect();
    let mut cache = KvCache::new(device, &[layer], 32, pages.len(), DType::F16);
    let kv = numbers(device, &[end, kv_heads, dim]);
    cache.append(0, &kv, &kv, &[Span { rows: 0..end, start: 0, pages: pages.clone() }]);
    (cache, [Span { rows: 0..rows, start: past, pages }])
}
