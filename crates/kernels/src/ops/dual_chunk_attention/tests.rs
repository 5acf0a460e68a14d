//! Prompts and tokens that begin and end anywhere in a chunk.

use super::{DualChunk, dual_chunk_attention, reference};
use crate::ops::conformance::{activations, assert_close, devices};
use crate::ops::{PagedAttention, paged_attention};
use crate::{DType, Device, KvCache, KvLayer, Precision, Span};

/// A cache with one sequence of `end` tokens in pages of 4.
fn filled(device: &Device, layer: KvLayer, end: usize) -> (KvCache, Vec<u32>) {
    let pages: Vec<u32> = (0..end.div_ceil(4) as u32).rev().collect();
    let mut cache = KvCache::new(device, &[layer], 4, pages.len(), DType::F32);
    let k = activations(device, 3, &[end, layer.kv_heads, layer.key_dim]);
    let v = activations(device, 4, &[end, layer.kv_heads, layer.value_dim]);
    cache.append(0, &k, &v, &[Span { rows: 0..end, start: 0, pages: pages.clone() }]);
    (cache, pages)
}

#[test]
fn agrees_with_the_reference() {
    let layer = KvLayer { kv_heads: 2, key_dim: 9, value_dim: 12 };
    for device in devices(Precision::Exact) {
        for (end, rows, chunk) in
            [(1, 1, 8), (8, 8, 8), (9, 1, 8), (20, 20, 8), (70, 33, 13), (600, 3, 200), (40, 40, 1)]
        {
            let (cache, pages) = filled(&device, layer, end);
            let span = Span { rows: 0..rows, start: end - rows, pages };
            let spans = std::slice::from_ref(&span);
            let forms = [1, 2, 5].map(|seed| activations(&device, seed, &[rows, 6, 9]));
            let forms = [&forms[0], &forms[1], &forms[2]];
            let how = DualChunk { layer: 0, scale: 0.5, chunk };
            let truth = reference::dual_chunk_attention(forms, &cache, spans, how);
            assert_close(&dual_chunk_attention(forms, &cache, spans, how), &truth, 1e-5);
        }
    }
}

/// Forms that are all the same make no difference: it is plain attention.
#[test]
fn equal_forms_are_plain_attention() {
    let layer = KvLayer { kv_heads: 1, key_dim: 8, value_dim: 8 };
    for device in devices(Precision::Exact) {
        let (cache, pages) = filled(&device, layer, 50);
        let span = Span { rows: 0..50, start: 0, pages };
        let spans = std::slice::from_ref(&span);
        let q = activations(&device, 1, &[50, 2, 8]);
        let how = DualChunk { layer: 0, scale: 0.5, chunk: 7 };
        let plain = PagedAttention { layer: 0, scale: 0.5, window: None, sinks: None };
        let truth = paged_attention(&q, &cache, spans, plain);
        assert_close(&dual_chunk_attention([&q; 3], &cache, spans, how), &truth, 1e-5);
    }
}

#[test]
fn an_empty_batch_gives_nothing() {
    let layer = KvLayer { kv_heads: 1, key_dim: 8, value_dim: 6 };
    for device in devices(Precision::Exact) {
        let cache = KvCache::new(&device, &[layer], 16, 1, DType::F16);
        let q = activations(&device, 1, &[0, 2, 8]);
        let how = DualChunk { layer: 0, scale: 1.0, chunk: 4 };
        assert_eq!(dual_chunk_attention([&q; 3], &cache, &[], how).shape(), [0, 12]);
    }
}
