//! Products with quantized weights. Items are operations (a multiplication and an addition are two), bytes are those of
//! the weight, scales included. What the machine could do at best is measured by `cargo xtask bench`.
//!
//! `cargo bench -p kernels --bench quantized_matmul`; on a machine that others use too, read the column of the fastest
//! sample.

#[path = "machine/formats.rs"]
mod formats;

use std::hint::black_box;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use formats::{Format, OTHERS, USUAL, size};
use kernels::{CpuOptions, Device, Isa, Precision, ops};

fn main() {
    divan::main();
}

/// `[n, k]` weights: projections of models of 0.5B, 1.5B and 7B, the last three larger than any
/// cache of the second level.
const SHAPES: [[usize; 2]; 5] = [[896, 896], [4864, 896], [896, 4864], [1536, 8960], [18944, 3584]];

/// A shape that comes from memory.
const LARGE: [usize; 2] = [18944, 3584];

/// A shape of a prompt's work.
const MEDIUM: [usize; 2] = [4864, 896];

/// The format that most checkpoints have.
const BITS4: Format = USUAL[0];

/// Every format there is.
fn every() -> impl Iterator<Item = Format> {
    USUAL.into_iter().chain(OTHERS)
}

/// A product, counted.
struct Case {
    format: Format,
    shape: [usize; 2],
    m: usize,
    options: CpuOptions,
}

impl Case {
    fn new(format: Format, shape: [usize; 2], m: usize, threads: usize) -> Self {
        let options = CpuOptions { threads: Some(threads), ..CpuOptions::default() };
        Self { format, shape, m, options }
    }

    fn bench(self, bencher: Bencher<'_, '_>) {
        let device = Device::cpu(self.options).expect("a device");
        let w = self.format.weight(&device, self.shape, 0);
        let [n, k] = self.shape;
        let m = self.m;
        let x = (0..m * k).map(|i| (i % 251) as f32 / 251.0 - 0.5).collect();
        let x = device.tensor(&[m, k], x);
        bencher
            .counter(ItemsCount::new(2 * m * n * k))
            .counter(BytesCount::new(size(&w)))
            .bench_local(|| ops::quantized_matmul(black_box(&x), black_box(&w)));
    }
}

#[divan::bench_group(sample_count = 30)]
mod one_row {
    use super::*;

    #[divan::bench(args = SHAPES)]
    fn bits4_1_thread(bencher: Bencher<'_, '_>, shape: [usize; 2]) {
        Case::new(BITS4, shape, 1, 1).bench(bencher);
    }

    #[divan::bench(args = SHAPES)]
    fn bits4_2_threads(bencher: Bencher<'_, '_>, shape: [usize; 2]) {
        Case::new(BITS4, shape, 1, 2).bench(bencher);
    }

    #[divan::bench(args = every())]
    fn formats(bencher: Bencher<'_, '_>, format: Format) {
        Case::new(format, LARGE, 1, 1).bench(bencher);
    }
}

#[divan::bench_group(sample_count = 10)]
mod rows {
    use super::*;

    #[divan::bench(args = [2, 3, 4, 6, 8, 12, 16, 32, 64, 512])]
    fn bits4_medium(bencher: Bencher<'_, '_>, m: usize) {
        Case::new(BITS4, MEDIUM, m, 1).bench(bencher);
    }

    #[divan::bench(args = [2, 3, 4, 8, 16])]
    fn bits4_large(bencher: Bencher<'_, '_>, m: usize) {
        Case::new(BITS4, LARGE, m, 1).bench(bencher);
    }

    #[divan::bench(args = SHAPES)]
    fn bits4_512_rows(bencher: Bencher<'_, '_>, shape: [usize; 2]) {
        Case::new(BITS4, shape, 512, 1).bench(bencher);
    }

    #[divan::bench(args = every())]
    fn formats_512_rows(bencher: Bencher<'_, '_>, format: Format) {
        Case::new(format, MEDIUM, 512, 1).bench(bencher);
    }
}

#[divan::bench_group(sample_count = 10)]
mod families {
    use super::*;

    fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    fn bench(bencher: Bencher<'_, '_>, isa: Isa, m: usize, precision: Precision) {
        let mut case = Case::new(BITS4, MEDIUM, m, 1);
        case.options = CpuOptions { isa: Some(isa), precision, ..case.options };
        case.bench(bencher);
    }

    #[divan::bench(args = available())]
    fn fast_1_row(bencher: Bencher<'_, '_>, isa: Isa) {
        bench(bencher, isa, 1, Precision::Fast);
    }

    #[divan::bench(args = available())]
    fn fast_64_rows(bencher: Bencher<'_, '_>, isa: Isa) {
        bench(bencher, isa, 64, Precision::Fast);
    }

    #[divan::bench(args = available())]
    fn exact_1_row(bencher: Bencher<'_, '_>, isa: Isa) {
        bench(bencher, isa, 1, Precision::Exact);
    }

    #[divan::bench(args = available())]
    fn exact_64_rows(bencher: Bencher<'_, '_>, isa: Isa) {
        bench(bencher, isa, 64, Precision::Exact);
    }
}
