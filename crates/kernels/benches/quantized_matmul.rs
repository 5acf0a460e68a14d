//! Products with quantized weights, beside the machine's limits measured in the same run: `limits`
//! has reads from memory and the rate of 8-bit dot products of one core. Items are operations (a
//! multiplication and an addition are two), bytes are those of the weight, scales included.
//!
//! `cargo bench -p kernels --bench quantized_matmul`; on a machine that others use too, read the
//! column of the fastest sample.
#![expect(unsafe_code, reason = "the limits are measured with vector instructions")]

use std::hint::black_box;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use kernels::{CpuOptions, DType, Device, Isa, Precision, QuantizationMode, QuantizedTensor, ops};

fn main() {
    divan::main();
}

/// `[n, k]` weights: projections of models of 0.5B, 1.5B and 7B, the last three larger than any
/// cache of the second level.
const SHAPES: [(usize, usize); 5] =
    [(896, 896), (4864, 896), (896, 4864), (1536, 8960), (18944, 3584)];

/// A shape that comes from memory.
const LARGE: (usize, usize) = (18944, 3584);

/// A shape of a prompt's work.
const MEDIUM: (usize, usize) = (4864, 896);

/// A format by name.
#[derive(Clone, Copy)]
struct Format(&'static str);

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// Every width, and the three formats that are not affine.
const FORMATS: [Format; 9] = [
    Format("2"),
    Format("3"),
    Format("4"),
    Format("5"),
    Format("6"),
    Format("8"),
    Format("mxfp4"),
    Format("nvfp4"),
    Format("mxfp8"),
];

impl Format {
    /// Mode, bits, group and element type of the scales.
    fn parts(self) -> (QuantizationMode, usize, usize, DType) {
        match self.0 {
            "mxfp4" => (QuantizationMode::Mxfp4, 4, 32, DType::U8),
            "mxfp8" => (QuantizationMode::Mxfp8, 8, 32, DType::U8),
            "nvfp4" => (QuantizationMode::Nvfp4, 4, 16, DType::U8),
            bits => {
                let bits = bits.parse().expect("a number of bits");
                (QuantizationMode::Affine, bits, 64, DType::BF16)
            }
        }
    }

    fn weight(self, device: &Device, (rows, columns): (usize, usize)) -> QuantizedTensor {
        let (mode, bits, group_size, dtype) = self.parts();
        let bytes = |len: usize, offset: usize| {
            let noise = (0..len).map(|i| ((i + offset).wrapping_mul(0x9e37_79b9) >> 13) as u8);
            Bytes::from_iter(noise)
        };
        let groups = [rows, columns / group_size];
        // The same small number in each place: in bf16 0.0115, in E8M0 2^-67, in E4M3 1.5.
        let scales = || {
            device.wrap(
                &groups,
                dtype,
                Bytes::from(vec![0x3c; groups[0] * groups[1] * dtype.size()]),
            )
        };
        let codes = bytes(rows * columns * bits / 8, 0);
        QuantizedTensor {
            rows,
            columns,
            mode,
            bits,
            group_size,
            weight: device.wrap(&[rows, columns * bits / 32], DType::U32, codes),
            scales: scales(),
            biases: (mode == QuantizationMode::Affine).then(scales),
            global_scale: None,
        }
    }
}

/// A product, counted.
struct Case {
    format: Format,
    shape: (usize, usize),
    m: usize,
    options: CpuOptions,
}

impl Case {
    fn new(format: Format, shape: (usize, usize), m: usize, threads: usize) -> Self {
        let options = CpuOptions { threads: Some(threads), ..CpuOptions::default() };
        Self { format, shape, m, options }
    }

    fn bench(self, bencher: Bencher<'_, '_>) {
        let device = Device::cpu(self.options).expect("a device");
        let w = self.format.weight(&device, self.shape);
        let (m, k) = (self.m, self.shape.1);
        let x = (0..m * k).map(|i| (i % 251) as f32 / 251.0 - 0.5).collect();
        let x = device.tensor(&[m, k], x);
        let of = |tensor: &kernels::Tensor| tensor.elements() * tensor.dtype().size();
        let bytes = of(&w.weight) + of(&w.scales) + w.biases.as_ref().map_or(0, of);
        bencher
            .counter(ItemsCount::new(2 * m * self.shape.0 * self.shape.1))
            .counter(BytesCount::new(bytes))
            .bench_local(|| ops::quantized_matmul(black_box(&x), black_box(&w)));
    }
}

#[divan::bench_group(sample_count = 30)]
mod one_row {
    use super::*;

    #[divan::bench(args = SHAPES)]
    fn bits4_1_thread(bencher: Bencher<'_, '_>, shape: (usize, usize)) {
        Case::new(Format("4"), shape, 1, 1).bench(bencher);
    }

    #[divan::bench(args = SHAPES)]
    fn bits4_2_threads(bencher: Bencher<'_, '_>, shape: (usize, usize)) {
        Case::new(Format("4"), shape, 1, 2).bench(bencher);
    }

    #[divan::bench(args = FORMATS)]
    fn formats(bencher: Bencher<'_, '_>, format: Format) {
        Case::new(format, LARGE, 1, 1).bench(bencher);
    }
}

#[divan::bench_group(sample_count = 10)]
mod rows {
    use super::*;

    #[divan::bench(args = [2, 3, 4, 6, 8, 12, 16, 32, 64, 512])]
    fn bits4_medium(bencher: Bencher<'_, '_>, m: usize) {
        Case::new(Format("4"), MEDIUM, m, 1).bench(bencher);
    }

    #[divan::bench(args = [2, 3, 4, 8, 16])]
    fn bits4_large(bencher: Bencher<'_, '_>, m: usize) {
        Case::new(Format("4"), LARGE, m, 1).bench(bencher);
    }

    #[divan::bench(args = SHAPES)]
    fn bits4_512_rows(bencher: Bencher<'_, '_>, shape: (usize, usize)) {
        Case::new(Format("4"), shape, 512, 1).bench(bencher);
    }

    #[divan::bench(args = FORMATS)]
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
        let mut case = Case::new(Format("4"), MEDIUM, m, 1);
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

/// What the machine can do: nothing above can exceed it.
#[divan::bench_group(sample_count = 30)]
mod limits {
    use super::*;

    /// One core reads memory in order, 512 MB.
    #[divan::bench]
    fn memory(bencher: Bencher<'_, '_>) {
        let data = vec![1_u64; 64 << 20];
        bencher.counter(BytesCount::of_slice(&data)).bench_local(|| sum(black_box(&data)));
    }

    /// In four streams, as many as the widest registers of most machines.
    fn sum(data: &[u64]) -> u64 {
        #[cfg(target_arch = "x86_64")]
        if Isa::Avx512.is_available() {
            // SAFETY: the machine has the instructions.
            return unsafe { sum_avx512(data) };
        }
        data.iter().fold(0, |sum, x| sum ^ x)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn sum_avx512(data: &[u64]) -> u64 {
        use std::arch::x86_64::*;
        let mut sums = [_mm512_setzero_si512(); 4];
        for block in data.as_chunks::<32>().0 {
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: a quarter of a block is a vector.
                let x = unsafe { _mm512_loadu_si512(block.as_ptr().add(8 * i).cast()) };
                *sum = _mm512_xor_si512(*sum, x);
            }
        }
        let [a, b, c, d] = sums;
        let all = _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d));
        _mm512_reduce_add_epi64(all) as u64
    }

    /// Dot products in registers, and with an operand from memory in every lane.
    #[cfg(target_arch = "x86_64")]
    #[divan::bench(args = [false, true])]
    fn vpdpbusd(bencher: Bencher<'_, '_>, from_memory: bool) {
        if !Isa::Avx512.is_available() {
            return;
        }
        const ROUNDS: usize = 100_000;
        let operations = 2 * 64 * 12 * ROUNDS;
        bencher.counter(ItemsCount::new(operations)).bench_local(|| {
            // SAFETY: the machine has the instructions.
            unsafe { dots(ROUNDS, from_memory, black_box(&[3; 12])) }
        });
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn dots(rounds: usize, from_memory: bool, words: &[i32; 12]) -> i32 {
        use std::arch::x86_64::*;
        let mut sums = [_mm512_setzero_si512(); 12];
        let w = black_box(_mm512_set1_epi8(5));
        if from_memory {
            for _ in 0..rounds {
                for (sum, word) in sums.iter_mut().zip(black_box(words)) {
                    *sum = _mm512_dpbusd_epi32(*sum, w, _mm512_set1_epi32(*word));
                }
            }
        } else {
            for _ in 0..rounds {
                for sum in &mut sums {
                    *sum = _mm512_dpbusd_epi32(*sum, w, w);
                }
                // Otherwise the compiler multiplies instead of repeating.
                sums = keep(sums);
            }
        }
        sums.into_iter().fold(0, |all, sum| all ^ _mm512_reduce_add_epi32(sum))
    }

    /// The same numbers, as far as the compiler knows others.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn keep(mut sums: [std::arch::x86_64::__m512i; 12]) -> [std::arch::x86_64::__m512i; 12] {
        for sum in &mut sums {
            // SAFETY: the register is named and left alone.
            unsafe { std::arch::asm!("/* {0} */", inout(zmm_reg) * sum, options(nomem, nostack)) };
        }
        sums
    }
}
