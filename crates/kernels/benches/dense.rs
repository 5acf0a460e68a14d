//! Dense products, beside the machine's limits measured in the same run: `limits` has the rate of
//! fused multiply-adds of one core and of reads from memory; items are floating-point operations.
//!
//! `cargo bench -p kernels --bench dense`
#![expect(unsafe_code, reason = "the limits are measured with vector instructions")]

use std::hint::black_box;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use kernels::{CpuOptions, DType, Device, Isa, Tensor, ops};

fn main() {
    divan::main();
}

/// `[n, k]` weights and a width of activations: projections of models of 0.5B, 1.5B and 7B.
const SHAPES: [(usize, usize); 4] = [(896, 896), (4864, 896), (1536, 8960), (18944, 3584)];

fn device(threads: usize) -> Device {
    Device::cpu(CpuOptions { threads: Some(threads), ..CpuOptions::default() }).expect("a device")
}

fn operands(device: &Device, m: usize, (n, k): (usize, usize), dtype: DType) -> [Tensor; 2] {
    let x = (0..m * k).map(|i| (i % 251) as f32 / 251.0 - 0.5).collect();
    // 0x3c3c is a small number in each of the 16-bit formats, and so is its double in `f32`.
    let w = Bytes::from(vec![0x3c; n * k * dtype.size()]);
    [device.tensor(&[m, k], x), device.wrap(&[n, k], dtype, w)]
}

fn bench(bencher: Bencher<'_, '_>, threads: usize, m: usize, shape: (usize, usize), dtype: DType) {
    bench_on(bencher, &device(threads), m, shape, dtype);
}

fn bench_on(
    bencher: Bencher<'_, '_>,
    device: &Device,
    m: usize,
    shape: (usize, usize),
    dtype: DType,
) {
    let [x, w] = operands(device, m, shape, dtype);
    let weights = shape.0 * shape.1;
    bencher
        .counter(ItemsCount::new(2 * m * weights))
        .counter(BytesCount::new(weights * dtype.size()))
        .bench_local(|| ops::matmul(black_box(&x), black_box(&w)));
}

#[divan::bench_group(sample_count = 20)]
mod one_row {
    use super::*;

    #[divan::bench(args = SHAPES)]
    fn bf16_1_thread(bencher: Bencher<'_, '_>, shape: (usize, usize)) {
        bench(bencher, 1, 1, shape, DType::BF16);
    }

    #[divan::bench(args = SHAPES)]
    fn bf16_2_threads(bencher: Bencher<'_, '_>, shape: (usize, usize)) {
        bench(bencher, 2, 1, shape, DType::BF16);
    }

    #[divan::bench(args = SHAPES)]
    fn f16_1_thread(bencher: Bencher<'_, '_>, shape: (usize, usize)) {
        bench(bencher, 1, 1, shape, DType::F16);
    }

    #[divan::bench(args = SHAPES)]
    fn f32_1_thread(bencher: Bencher<'_, '_>, shape: (usize, usize)) {
        bench(bencher, 1, 1, shape, DType::F32);
    }
}

#[divan::bench_group(sample_count = 10)]
mod rows {
    use super::*;

    #[divan::bench(args = [2, 4, 6, 8, 12, 16, 24, 32, 64, 512])]
    fn bf16_4864x896_1_thread(bencher: Bencher<'_, '_>, m: usize) {
        bench(bencher, 1, m, SHAPES[1], DType::BF16);
    }

    #[divan::bench(args = [1, 8, 512])]
    fn bf16_1536x8960_1_thread(bencher: Bencher<'_, '_>, m: usize) {
        bench(bencher, 1, m, SHAPES[2], DType::BF16);
    }

    #[divan::bench(args = [1, 8, 512])]
    fn bf16_4864x896_1_thread_avx2(bencher: Bencher<'_, '_>, m: usize) {
        let options = CpuOptions { threads: Some(1), isa: Some(Isa::Avx2), ..Default::default() };
        if let Ok(device) = Device::cpu(options) {
            bench_on(bencher, &device, m, SHAPES[1], DType::BF16);
        }
    }

    #[divan::bench(args = [8, 512])]
    fn bf16_4864x896_2_threads(bencher: Bencher<'_, '_>, m: usize) {
        bench(bencher, 2, m, SHAPES[1], DType::BF16);
    }

    #[divan::bench(args = [8, 512])]
    fn f32_4864x896_1_thread(bencher: Bencher<'_, '_>, m: usize) {
        bench(bencher, 1, m, SHAPES[1], DType::F32);
    }
}

#[divan::bench_group(sample_count = 20)]
mod limits {
    use super::*;

    /// Items are floating-point operations of 12 independent chains.
    #[cfg(target_arch = "x86_64")]
    #[divan::bench]
    fn fma(bencher: Bencher<'_, '_>) {
        use std::arch::x86_64::*;

        const ROUNDS: usize = 100_000;

        #[target_feature(enable = "avx512f")]
        fn wide() -> f32 {
            let mut sums = [_mm512_set1_ps(0.0); 12];
            let (a, b) = (black_box(_mm512_set1_ps(0.5)), black_box(_mm512_set1_ps(0.25)));
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = _mm512_fmadd_ps(a, *sum, b);
                }
            }
            sums.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum()
        }

        #[target_feature(enable = "avx2,fma")]
        fn narrow() -> f32 {
            let mut sums = [_mm256_set1_ps(0.0); 12];
            let (a, b) = (black_box(_mm256_set1_ps(0.5)), black_box(_mm256_set1_ps(0.25)));
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = _mm256_fmadd_ps(a, *sum, b);
                }
            }
            sums.into_iter().map(|sum| _mm256_cvtss_f32(sum)).sum()
        }

        if is_x86_feature_detected!("avx512f") {
            bencher
                .counter(ItemsCount::new(2 * 16 * 12 * ROUNDS))
                // SAFETY: the machine has AVX-512.
                .bench_local(|| unsafe { wide() });
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            bencher
                .counter(ItemsCount::new(2 * 8 * 12 * ROUNDS))
                // SAFETY: the machine has AVX2 and FMA.
                .bench_local(|| unsafe { narrow() });
        }
    }

    /// The largest of 256 MB, on one thread and on two.
    #[divan::bench(args = [1, 2])]
    fn read(bencher: Bencher<'_, '_>, threads: usize) {
        let data = vec![1_u64; 32 << 20];
        let part = data.len() / threads;
        bencher.counter(BytesCount::of_slice(&data)).bench_local(|| {
            std::thread::scope(|scope| {
                for part in data.chunks(part) {
                    scope.spawn(|| black_box(most(part)));
                }
            });
        });
    }

    fn most(data: &[u64]) -> u64 {
        let mut lanes = [0; 64];
        for chunk in data.as_chunks::<64>().0 {
            for (lane, x) in lanes.iter_mut().zip(chunk) {
                *lane |= x;
            }
        }
        lanes.into_iter().fold(0, |a, b| a | b)
    }
}
