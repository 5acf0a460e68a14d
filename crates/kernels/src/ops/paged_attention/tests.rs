//! Prompts, single tokens and continuations in one batch, over pages in no order.

use super::{PagedAttention, paged_attention, reference};
use crate::ops::conformance::{activations, assert_close, devices};
use crate::{DType, Device, KvCache, KvLayer, Precision, Span, Tensor};

/// A cache with two layers whose second holds three sequences, and a batch that continues them.
fn filled(device: &Device, layer: KvLayer, dtype: DType) -> (KvCache, Vec<Span>) {
    let mut cache = KvCache::new(device, &[layer, layer], 4, 64, dtype);
    let past = [(0, vec![9, 3, 60]), (5, vec![1, 40]), (13, vec![7, 8, 2, 33])];
    let rows = [11, 1, 3];
    let mut spans = Vec::new();
    let mut from = 0;
    for (sequence, ((start, pages), rows)) in past.into_iter().zip(rows).enumerate() {
        let span = Span { rows: 0..start + rows, start: 0, pages: pages.clone() };
        let shape = [start + rows, layer.kv_heads, layer.key_dim];
        let k = activations(device, 10 + sequence as u64, &shape);
        let shape = [start + rows, layer.kv_heads, layer.value_dim];
        let v = activations(device, 20 + sequence as u64, &shape);
        cache.append(1, &k, &v, &[span]);
        spans.push(Span { rows: from..from + rows, start, pages });
        from += rows;
    }
    (cache, spans)
}

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for (heads, kv_heads, key_dim, value_dim) in [(1, 1, 8, 8), (6, 2, 15, 9), (4, 4, 64, 64)] {
            let layer = KvLayer { kv_heads, key_dim, value_dim };
            for dtype in [DType::F32, DType::F16] {
                let (cache, spans) = filled(&device, layer, dtype);
                let q = activations(&device, 1, &[15, heads, key_dim]);
                for window in [None, Some(1), Some(3), Some(6)] {
                    let how = PagedAttention { layer: 1, scale: 0.4, window };
                    let truth = reference::paged_attention(&q, &cache, &spans, how);
                    assert_close(&paged_attention(&q, &cache, &spans, how), &truth, 1e-5);
                }
            }
        }
    }
}

#[test]
fn what_is_appended_is_read_back() {
    for device in devices(Precision::Exact) {
        let layer = KvLayer { kv_heads: 3, key_dim: 5, value_dim: 2 };
        let mut cache = KvCache::new(&device, &[layer], 4, 8, DType::F32);
        let (k, v) = (activations(&device, 1, &[6, 3, 5]), activations(&device, 2, &[6, 3, 2]));
        let span = Span { rows: 0..6, start: 0, pages: vec![5, 1] };
        cache.append(0, &k, &v, std::slice::from_ref(&span));
        assert_eq!(cache.read(0, &span.pages, 6), (Tensor::to_vec(&k), v.to_vec()));
        assert_eq!(cache.page_bytes(), 4 * 3 * 7 * 4);
    }
}

#[test]
fn a_window_does_not_touch_pages_that_are_gone() {
    for device in devices(Precision::Exact) {
        let layer = KvLayer { kv_heads: 1, key_dim: 8, value_dim: 8 };
        let (cache, mut spans) = filled(&device, layer, DType::F32);
        let q = activations(&device, 1, &[15, 1, 8]);
        let how = PagedAttention { layer: 1, scale: 1.0, window: Some(4) };
        let before = paged_attention(&q, &cache, &spans, how);
        spans[2].pages[..2].fill(Span::GONE);
        assert_close(&paged_attention(&q, &cache, &spans, how), &before, 0.0);
    }
}
