//! Prompts, single tokens and continuations in one batch, over pages in no order.

use super::{PagedAttention, paged_attention, reference};
use crate::ops::conformance::{activations, assert_close, cpu_devices, devices};
use crate::{DType, Device, KvCache, KvFormat, KvLayer, KvQuantization, Precision, Span, Tensor};

/// A cache with two layers whose second holds three sequences, and a batch that continues them.
fn filled(device: &Device, layer: KvLayer, format: impl Into<KvFormat>) -> (KvCache, Vec<Span>) {
    let mut cache = KvCache::new(device, &[layer, layer], 4, 64, format);
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
            for dtype in [DType::F32, DType::F16, DType::BF16] {
                let (cache, spans) = filled(&device, layer, dtype);
                let q = activations(&device, 1, &[15, heads, key_dim]);
                for window in [None, Some(1), Some(3), Some(6)] {
                    let how = PagedAttention { layer: 1, scale: 0.4, window, sinks: None };
                    let truth = reference::paged_attention(&q, &cache, &spans, how);
                    let fast = paged_attention(&q, &cache, &spans, how);
                    assert_close(&fast, &truth, tolerance(dtype));
                }
            }
        }
    }
}

/// Every width of codes, in every type that they are decoded to.
fn codes() -> Vec<KvFormat> {
    let mut all = Vec::new();
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        for (bits, group_size) in [(8, 64), (4, 64), (4, 32), (8, 32)] {
            let quantization = Some(KvQuantization { bits, group_size });
            all.push(KvFormat { dtype, quantization });
        }
    }
    all
}

#[test]
fn codes_agree_with_the_reference() {
    for device in devices(Precision::Exact) {
        for (heads, kv_heads, key_dim, value_dim) in [(6, 2, 64, 128), (4, 4, 64, 64)] {
            let layer = KvLayer { kv_heads, key_dim, value_dim };
            for format in codes() {
                let (cache, spans) = filled(&device, layer, format);
                let q = activations(&device, 1, &[15, heads, key_dim]);
                for window in [None, Some(3)] {
                    let how = PagedAttention { layer: 1, scale: 0.4, window, sinks: None };
                    let truth = reference::paged_attention(&q, &cache, &spans, how);
                    let fast = paged_attention(&q, &cache, &spans, how);
                    // Decoded numbers are rounded to `bf16` as well.
                    assert_close(&fast, &truth, 2.0 * tolerance(format.dtype));
                }
            }
        }
    }
}

/// The codes of keys and values are those of the format's definition, whole pages or not.
#[test]
fn what_is_coded_is_read_back_as_the_reference_codes_it() {
    for device in devices(Precision::Exact) {
        for format in codes() {
            let Some(how) = format.quantization else { panic!("no codes") };
            let layer = KvLayer { kv_heads: 3, key_dim: 64, value_dim: 192 };
            for page_size in [4, 5, 32] {
                let mut cache = KvCache::new(&device, &[layer], page_size, 8, format);
                let k = activations(&device, 1, &[6, 3, 64]);
                let v = activations(&device, 2, &[6, 3, 192]);
                let span = Span { rows: 0..6, start: 0, pages: vec![5, 1] };
                // Other rows first, and then those that count, the second of them alone.
                cache.append(
                    0,
                    &v.reshape(&[18, 3, 64]),
                    &activations(&device, 3, &[18, 3, 192]),
                    &[Span { rows: 0..18, start: 0, pages: vec![5, 1, 0, 2, 3] }],
                );
                cache.append(0, &k, &v, std::slice::from_ref(&span));
                let (keys, values) = cache.read(0, &span.pages, 6);
                for (read, from) in [(keys, k), (values, v)] {
                    // MLX rounds what it codes, and what it decodes, to the cache's type.
                    let (scales, wrong) = match (&device, format.dtype) {
                        (_, DType::F32) => (DType::F32, 1e-6),
                        (Device::Cpu(_), _) => (DType::F16, 1e-6),
                        (Device::Mlx(_), dtype) => (dtype, 6e-3),
                    };
                    let coded = reference::coded(&from.to_vec(), how, scales);
                    // A number in the middle between two codes may become either.
                    let step = 2.0 / ((1 << how.bits) - 1) as f32 + wrong;
                    let close = |limit| {
                        let both = read.iter().zip(&coded);
                        both.filter(|(a, b)| (*a - *b).abs() <= limit).count()
                    };
                    let rounds = wrong > 1e-6;
                    let most = if rounds { 0 } else { read.len() * 99 / 100 };
                    let counts = (close(step), close(wrong));
                    assert!(counts.0 == read.len() && counts.1 > most, "{counts:?} on {device:?}");
                }
                let bytes = (format.bytes(64) + format.bytes(192)) * 3;
                if page_size == 32 {
                    assert_eq!(cache.page_bytes(), bytes * 32);
                }
            }
        }
    }
}

/// Over a cache of `bf16` queries and weights are rounded too, each to one part in 512.
fn tolerance(dtype: DType) -> f32 {
    if dtype == DType::BF16 { 6e-3 } else { 1e-5 }
}

#[test]
fn a_page_that_was_copied_is_put_back_to_the_bit() {
    let floats = [DType::F32, DType::F16, DType::BF16].map(KvFormat::from);
    for device in devices(Precision::Exact) {
        let layer = KvLayer { kv_heads: 3, key_dim: 64, value_dim: 128 };
        for format in floats.into_iter().chain(codes()) {
            let new = || KvCache::new(&device, &[layer, layer], 4, 64, format);
            let (mut cache, mut other) = (new(), new());
            let span = Span { rows: 0..10, start: 0, pages: vec![5, 1, 40] };
            for of in 0..2 {
                let [k, v] = [(1, 64), (2, 128)]
                    .map(|(seed, dim)| activations(&device, seed + of as u64, &[10, 3, dim]));
                cache.append(of, &k, &v, std::slice::from_ref(&span));
            }
            let copies: Vec<_> =
                span.pages.iter().map(|&page| cache.copy_of(page).unwrap()).collect();
            let others = [33, 9, 2];
            for (page, copy) in others.into_iter().zip(&copies) {
                assert!(cache.put_back(page, copy) && other.put_back(page, copy));
            }
            for of in 0..2 {
                let truth = cache.read(of, &span.pages, 10);
                assert_eq!(cache.read(of, &others, 10), truth, "{format:?}");
                assert_eq!(other.read(of, &others, 10), truth, "{format:?}");
            }
            let copy = &copies[0];
            assert_eq!(other.copy_of(33).as_ref(), Some(copy));
            assert!(!other.put_back(64, copy), "there is no such page");
            assert!(!other.put_back(3, &copy[1..]) && !other.put_back(3, &[]), "no copy");
            assert_eq!(new().copy_of(0), None, "nothing was written");
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
        let how = PagedAttention { layer: 1, scale: 1.0, window: Some(4), sinks: None };
        let before = paged_attention(&q, &cache, &spans, how);
        spans[2].pages[..2].fill(Span::GONE);
        assert_close(&paged_attention(&q, &cache, &spans, how), &before, 0.0);
    }
}

/// A sequence of `end` tokens in pages of 16, and queries for its last `rows`.
fn one(device: &Device, layer: KvLayer, end: usize, rows: usize, heads: usize) -> Sequence {
    paged(device, (layer, heads), (end, rows), (16, DType::F16))
}

/// The same, in pages of so many tokens, stored as `dtype`.
fn paged(
    device: &Device,
    (layer, heads): (KvLayer, usize),
    (end, rows): (usize, usize),
    (size, format): (usize, impl Into<KvFormat>),
) -> Sequence {
    let pages: Vec<u32> = (0..end.div_ceil(size) as u32).rev().collect();
    let mut cache = KvCache::new(device, &[layer], size, pages.len(), format);
    let k = activations(device, 3, &[end, layer.kv_heads, layer.key_dim]);
    let v = activations(device, 4, &[end, layer.kv_heads, layer.value_dim]);
    cache.append(0, &k, &v, &[Span { rows: 0..end, start: 0, pages: pages.clone() }]);
    let q = activations(device, 5, &[rows, heads, layer.key_dim]);
    Sequence { cache, q, span: Span { rows: 0..rows, start: end - rows, pages } }
}

struct Sequence {
    cache: KvCache,
    q: Tensor,
    span: Span,
}

/// Around the boundaries of blocks, segments and tiles, with windows that begin anywhere.
#[test]
fn a_long_past_agrees_with_the_reference() {
    let layer = KvLayer { kv_heads: 2, key_dim: 9, value_dim: 12 };
    for device in devices(Precision::Exact) {
        for (end, rows) in [(31, 1), (33, 2), (511, 1), (513, 5), (1100, 1), (1024, 40), (545, 33)]
        {
            let Sequence { cache, q, span } = one(&device, layer, end, rows, 6);
            let spans = std::slice::from_ref(&span);
            for window in [None, Some(1), Some(100), Some(530)] {
                let how = PagedAttention { layer: 0, scale: 0.5, window, sinks: None };
                let truth = reference::paged_attention(&q, &cache, spans, how);
                assert_close(&paged_attention(&q, &cache, spans, how), &truth, 1e-5);
            }
        }
    }
}

/// Pages that are read where they are, and others.
#[test]
fn pages_of_every_size_and_type_agree_with_the_reference() {
    for layer in [
        KvLayer { kv_heads: 2, key_dim: 64, value_dim: 64 },
        KvLayer { kv_heads: 1, key_dim: 7, value_dim: 33 },
    ] {
        for device in devices(Precision::Exact) {
            for (size, dtype) in [
                (32, DType::BF16),
                (64, DType::BF16),
                (5, DType::BF16),
                (32, DType::F32),
                (32, DType::F16),
                (96, DType::F16),
            ] {
                for (end, rows) in [(1, 1), (64, 1), (77, 13), (545, 3)] {
                    let Sequence { cache, q, span } =
                        paged(&device, (layer, layer.kv_heads * 4), (end, rows), (size, dtype));
                    let spans = std::slice::from_ref(&span);
                    for window in [None, Some(45)] {
                        let how = PagedAttention { layer: 0, scale: 0.3, window, sinks: None };
                        let truth = reference::paged_attention(&q, &cache, spans, how);
                        let fast = paged_attention(&q, &cache, spans, how);
                        assert_close(&fast, &truth, tolerance(dtype));
                    }
                }
            }
        }
    }
}

/// Codes that are decoded a group at a time, at every place in a group where a past may end.
#[test]
fn whole_groups_of_codes_agree_with_the_reference() {
    let layer = KvLayer { kv_heads: 2, key_dim: 64, value_dim: 128 };
    for device in devices(Precision::Exact) {
        for format in codes() {
            for (end, rows) in [(1, 1), (33, 2), (64, 1), (77, 13), (545, 3)] {
                for window in [None, Some(45)] {
                    let Sequence { cache, q, span } =
                        paged(&device, (layer, 8), (end, rows), (32, format));
                    let spans = std::slice::from_ref(&span);
                    let how = PagedAttention { layer: 0, scale: 0.3, window, sinks: None };
                    let truth = reference::paged_attention(&q, &cache, spans, how);
                    let fast = paged_attention(&q, &cache, spans, how);
                    assert_close(&fast, &truth, 2.0 * tolerance(format.dtype));
                }
            }
        }
    }
}

/// Whole, in chunks and token by token; divided among threads or not.
#[test]
fn a_row_is_the_same_to_the_bit_whatever_rows_are_beside_it() {
    let layer = KvLayer { kv_heads: 2, key_dim: 16, value_dim: 8 };
    let heads = 6;
    let mut fused: Option<Vec<f32>> = None;
    for device in cpu_devices(Precision::Exact) {
        let (end, rows) = (1060, 70);
        let Sequence { cache, q, span } = one(&device, layer, end, rows, heads);
        let how = PagedAttention { layer: 0, scale: 0.5, window: Some(900), sinks: None };
        let all = paged_attention(&q, &cache, std::slice::from_ref(&span), how).to_vec();
        for part in [0..1, 3..5, 1..17, 60..70, 69..70, 2..68] {
            let width = heads * layer.key_dim;
            let queries = q.to_vec()[part.start * width..part.end * width].to_vec();
            let queries = device.tensor(&[part.len(), heads, layer.key_dim], queries);
            let start = span.start + part.start;
            let span = Span { rows: 0..part.len(), start, pages: span.pages.clone() };
            let some = paged_attention(&queries, &cache, &[span], how).to_vec();
            let width = heads * layer.value_dim;
            assert_eq!(some, all[part.start * width..part.end * width], "{part:?} on {device:?}");
        }
        if device.as_cpu().unwrap().isa() != crate::Isa::Portable {
            assert_eq!(fused.get_or_insert_with(|| all.clone()), &all, "{device:?}");
        }
    }
}

#[test]
fn nan_is_not_hidden_and_stays_in_its_head() {
    let layer = KvLayer { kv_heads: 1, key_dim: 8, value_dim: 4 };
    for device in devices(Precision::Exact) {
        let Sequence { cache, q, span } = one(&device, layer, 600, 3, 2);
        let mut queries = q.to_vec();
        queries[8] = f32::NAN;
        let q = device.tensor(&[3, 2, 8], queries);
        let how = PagedAttention { layer: 0, scale: 0.5, window: None, sinks: None };
        let y = paged_attention(&q, &cache, &[span], how).to_vec();
        assert!(y[4..8].iter().all(|y| y.is_nan()), "{device:?}");
        assert!(y[..4].iter().chain(&y[8..]).all(|y| y.is_finite()), "{device:?}");
    }
}

#[test]
fn what_other_sequences_left_in_a_page_is_not_read() {
    let layer = KvLayer { kv_heads: 1, key_dim: 32, value_dim: 32 };
    for device in devices(Precision::Exact) {
        let codes = |dtype| {
            let quantization = Some(KvQuantization { bits: 4, group_size: 32 });
            KvFormat { dtype, quantization }
        };
        for (format, size) in [
            (KvFormat::from(DType::F32), 16),
            (codes(DType::F32), 16),
            (codes(DType::F32), 32),
            (codes(DType::BF16), 32),
        ] {
            let mut cache = KvCache::new(&device, &[layer], size, 1, format);
            let span = |rows, start| Span { rows, start, pages: vec![0] };
            let nan = device.tensor(&[16, 1, 32], vec![f32::NAN; 512]);
            cache.append(0, &nan, &nan, &[span(0..16, 0)]);
            let kv = activations(&device, 1, &[3, 1, 32]);
            let how = PagedAttention { layer: 0, scale: 0.5, window: None, sinks: None };
            let y = paged_attention(&kv, &cache, &[span(0..3, 0)], how).to_vec();
            assert!(y.iter().all(|y| y.is_nan()), "{format:?} on {device:?}");
            cache.append(0, &kv, &kv, &[span(0..3, 0)]);
            let y = paged_attention(&kv, &cache, &[span(0..3, 0)], how).to_vec();
            assert!(y.iter().all(|y| y.is_finite()), "{format:?} on {device:?}");
        }
    }
}

#[test]
fn large_scores_do_not_overflow() {
    let layer = KvLayer { kv_heads: 1, key_dim: 8, value_dim: 8 };
    for device in devices(Precision::Exact) {
        let Sequence { cache, q, span } = one(&device, layer, 700, 2, 2);
        let spans = std::slice::from_ref(&span);
        let how = PagedAttention { layer: 0, scale: 1e4, window: None, sinks: None };
        let truth = reference::paged_attention(&q, &cache, spans, how);
        assert_close(&paged_attention(&q, &cache, spans, how), &truth, 1e-2);
    }
}

#[test]
fn an_empty_batch_gives_nothing() {
    let layer = KvLayer { kv_heads: 1, key_dim: 8, value_dim: 6 };
    for device in devices(Precision::Exact) {
        let cache = KvCache::new(&device, &[layer], 16, 1, DType::F16);
        let q = activations(&device, 1, &[0, 2, 8]);
        let how = PagedAttention { layer: 0, scale: 1.0, window: None, sinks: None };
        assert_eq!(paged_attention(&q, &cache, &[], how).shape(), [0, 12]);
        assert_eq!(paged_attention(&q, &cache, &[Span::default()], how).shape(), [0, 12]);
    }
}

/// Sinks that take much, little and nearly nothing, in whole and divided pasts.
#[test]
fn sinks_agree_with_the_reference() {
    let layer = KvLayer { kv_heads: 2, key_dim: 16, value_dim: 12 };
    for device in devices(Precision::Exact) {
        let sinks = device.tensor(&[6], vec![0.0, 3.0, -30.0, 1.5, 90.0, -1.0]);
        for (end, rows) in [(1, 1), (33, 2), (77, 13), (1100, 1)] {
            let Sequence { cache, q, span } = one(&device, layer, end, rows, 6);
            let spans = std::slice::from_ref(&span);
            for window in [None, Some(20)] {
                let how = PagedAttention { layer: 0, scale: 0.5, window, sinks: Some(&sinks) };
                let truth = reference::paged_attention(&q, &cache, spans, how);
                assert_close(&paged_attention(&q, &cache, spans, how), &truth, 1e-5);
            }
        }
    }
}

/// What a sink takes is missing: with values of one, the weights add up to the share of the keys.
#[test]
fn a_sink_takes_its_share() {
    let layer = KvLayer { kv_heads: 1, key_dim: 4, value_dim: 3 };
    for device in devices(Precision::Exact) {
        let mut cache = KvCache::new(&device, &[layer], 4, 1, DType::F32);
        let (k, v) = (vec![0.0; 12], vec![1.0; 9]);
        let (k, v) = (device.tensor(&[3, 1, 4], k), device.tensor(&[3, 1, 3], v));
        let span = Span { rows: 0..3, start: 0, pages: vec![0] };
        cache.append(0, &k, &v, std::slice::from_ref(&span));
        let sinks = device.tensor(&[1], vec![0.0]);
        let how = PagedAttention { layer: 0, scale: 1.0, window: None, sinks: Some(&sinks) };
        // All scores are zero, so row `r` gives its `r + 1` keys all but one part of `r + 2`.
        let y = paged_attention(&k, &cache, &[span], how).to_vec();
        for (i, y) in y.iter().enumerate() {
            let seen = (i / 3 + 1) as f32;
            assert!((y - seen / (seen + 1.0)).abs() < 1e-6, "{i}: {y} on {device:?}");
        }
    }
}
