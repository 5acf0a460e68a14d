//! Attention of decoders and encoders, softmax and activations; items are floating-point
//! operations of the two products.
//!
//! `cargo bench -p kernels --bench attention`

use std::hint::black_box;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use kernels::ops::{self, Gelu, Mask, PagedAttention};
use kernels::{CpuOptions, Device, KvCache, KvFormat, KvLayer, KvQuantization, Span, Tensor};

fn main() {
    divan::main();
}

/// Query heads, key/value heads and their width: models of 0.5B and 7B (grouped), and an old 7B.
const SMALL: [usize; 3] = [14, 2, 64];
const GROUPED: [usize; 3] = [28, 4, 128];
const SINGLE: [usize; 3] = [32, 32, 128];

fn device(threads: usize) -> Device {
    Device::cpu(CpuOptions { threads: Some(threads), ..CpuOptions::default() }).expect("a device")
}

fn numbers(device: &Device, shape: &[usize]) -> Tensor {
    let len = shape.iter().product();
    device.tensor(shape, (0..len).map(|i| (i * 7919 % 251) as f32 / 251.0 - 0.5).collect())
}

/// `rows` new tokens after `past` tokens, in pages of 32.
fn decoder(bencher: Bencher<'_, '_>, threads: usize, shape: [usize; 3], past: usize, rows: usize) {
    let device = device(threads);
    let format = device.cache_dtype().into();
    attend(bencher, (&device, format), shape, past, rows);
}

/// The same over codes of so many bits.
fn codes(bencher: Bencher<'_, '_>, bits: usize, shape: [usize; 3], past: usize, rows: usize) {
    let device = device(1);
    let quantization = Some(KvQuantization { bits, group_size: 64 });
    let format = KvFormat { dtype: device.cache_dtype(), quantization };
    attend(bencher, (&device, format), shape, past, rows);
}

fn attend(
    bencher: Bencher<'_, '_>,
    (device, format): (&Device, KvFormat),
    shape: [usize; 3],
    past: usize,
    rows: usize,
) {
    let [heads, kv_heads, dim] = shape;
    let layer = KvLayer { kv_heads, key_dim: dim, value_dim: dim };
    let end = past + rows;
    let pages: Vec<u32> = (0..end.div_ceil(32) as u32).collect();
    let mut cache = KvCache::new(device, &[layer], 32, pages.len(), format);
    let kv = numbers(device, &[end, kv_heads, dim]);
    cache.append(0, &kv, &kv, &[Span { rows: 0..end, start: 0, pages: pages.clone() }]);
    let q = numbers(device, &[rows, heads, dim]);
    let spans = [Span { rows: 0..rows, start: past, pages }];
    let how = PagedAttention { layer: 0, scale: 0.125, window: None, sinks: None };
    let pairs = (0..rows).map(|row| past + row + 1).sum::<usize>() * heads;
    bencher
        .counter(ItemsCount::new(4 * pairs * dim))
        .counter(BytesCount::new(2 * end * kv_heads * format.bytes(dim)))
        .bench_local(|| ops::paged_attention(black_box(&q), &cache, &spans, how));
}

#[divan::bench_group(sample_count = 20)]
mod decode {
    use super::*;

    #[divan::bench(args = [512, 4096, 32768])]
    fn small_1_thread(bencher: Bencher<'_, '_>, past: usize) {
        decoder(bencher, 1, SMALL, past, 1);
    }

    #[divan::bench(args = [512, 4096, 32768])]
    fn small_2_threads(bencher: Bencher<'_, '_>, past: usize) {
        decoder(bencher, 2, SMALL, past, 1);
    }

    #[divan::bench(args = [512, 8192])]
    fn grouped_1_thread(bencher: Bencher<'_, '_>, past: usize) {
        decoder(bencher, 1, GROUPED, past, 1);
    }

    #[divan::bench(args = [512, 8192])]
    fn single_1_thread(bencher: Bencher<'_, '_>, past: usize) {
        decoder(bencher, 1, SINGLE, past, 1);
    }
}

/// Over codes of 8 and 4 bits, 1 thread.
#[divan::bench_group(sample_count = 20)]
mod decode_codes {
    use super::*;

    #[divan::bench(args = [(8, 4096), (4, 4096), (8, 32768), (4, 32768)])]
    fn small(bencher: Bencher<'_, '_>, (bits, past): (usize, usize)) {
        codes(bencher, bits, SMALL, past, 1);
    }

    #[divan::bench(args = [(8, 8192), (4, 8192)])]
    fn grouped(bencher: Bencher<'_, '_>, (bits, past): (usize, usize)) {
        codes(bencher, bits, GROUPED, past, 1);
    }

    #[divan::bench(args = [(8, 8192), (4, 8192)])]
    fn single(bencher: Bencher<'_, '_>, (bits, past): (usize, usize)) {
        codes(bencher, bits, SINGLE, past, 1);
    }

    #[divan::bench(args = [(8, 7680), (4, 7680)])]
    fn small_512_rows(bencher: Bencher<'_, '_>, (bits, past): (usize, usize)) {
        codes(bencher, bits, SMALL, past, 512);
    }
}

#[divan::bench_group(sample_count = 10)]
mod prefill {
    use super::*;

    #[divan::bench(args = [0, 512, 7680])]
    fn small_512_rows_1_thread(bencher: Bencher<'_, '_>, past: usize) {
        decoder(bencher, 1, SMALL, past, 512);
    }

    #[divan::bench(args = [0, 7680])]
    fn small_512_rows_2_threads(bencher: Bencher<'_, '_>, past: usize) {
        decoder(bencher, 2, SMALL, past, 512);
    }

    #[divan::bench(args = [0, 3584])]
    fn grouped_512_rows_1_thread(bencher: Bencher<'_, '_>, past: usize) {
        decoder(bencher, 1, GROUPED, past, 512);
    }
}

#[divan::bench_group(sample_count = 10)]
mod encoders {
    use super::*;

    /// 32 sequences of 128 tokens: heads and their width of MiniLM and of BERT base.
    #[divan::bench(args = [(12, 32), (12, 64)])]
    fn full_1_thread(bencher: Bencher<'_, '_>, (heads, dim): (usize, usize)) {
        let device = device(1);
        let rows = 32 * 128;
        let q = numbers(&device, &[rows, heads, dim]);
        let sequences: Vec<_> = (0..32).map(|i| i * 128..(i + 1) * 128).collect();
        bencher.counter(ItemsCount::new(4 * rows * 128 * heads * dim)).bench_local(|| {
            let q = black_box(&q);
            ops::scaled_dot_product_attention(q, q, q, &sequences, 0.1, Mask::Full)
        });
    }
}

/// Items are elements.
#[divan::bench_group(sample_count = 20)]
mod elementwise {
    use super::*;

    const SHAPE: [usize; 2] = [128, 4864];

    #[divan::bench]
    fn swiglu(bencher: Bencher<'_, '_>) {
        let device = device(1);
        let x = numbers(&device, &SHAPE);
        bencher
            .counter(ItemsCount::new(x.elements()))
            .bench_local(|| ops::swiglu(black_box(&x), &x));
    }

    #[divan::bench(args = [Gelu::Erf, Gelu::Tanh])]
    fn gelu(bencher: Bencher<'_, '_>, form: Gelu) {
        let device = device(1);
        let x = numbers(&device, &SHAPE);
        bencher
            .counter(ItemsCount::new(x.elements()))
            .bench_local(|| ops::gelu(black_box(&x), form));
    }

    #[divan::bench]
    fn rms_norm(bencher: Bencher<'_, '_>) {
        let device = device(1);
        let (x, weight) = (numbers(&device, &[512, 896]), numbers(&device, &[896]));
        bencher
            .counter(ItemsCount::new(x.elements()))
            .bench_local(|| ops::rms_norm(black_box(&x), &weight, 1e-6));
    }

    /// One token and a prompt, 14 heads of 64.
    #[divan::bench(args = [1, 512])]
    fn rope(bencher: Bencher<'_, '_>, rows: usize) {
        let device = device(1);
        let x = numbers(&device, &[rows, 14, 64]);
        let positions: Vec<u32> = (0..rows as u32).collect();
        let table = ops::Rope::new(64, 1e6);
        bencher
            .counter(ItemsCount::new(x.elements()))
            .bench_local(|| ops::rope(black_box(&x), &positions, &table));
    }
}
