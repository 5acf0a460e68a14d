//! One operation, a number of times, for a tool that counts instructions.
//!
//! One thread and an instruction set that such tools know: the counts are the same on every
//! machine that has it. What the program does besides is the same for any number of times.

use std::hint::black_box;

use kernels::ops::{self, PagedAttention};
use kernels::{CpuOptions, DType, Device, Isa};

use crate::formats::{OTHERS, USUAL};
use crate::operands::{cache, dense, numbers};

/// Calls an operation as often as it is told to.
type Case = fn(&Device, usize);

/// `[rows, columns]`: small, since a counting tool is slow.
const SHAPE: [usize; 2] = [256, 896];

pub(crate) const CASES: &[(&str, Case)] = &[
    ("quantized_matmul/4bits/m1", |d, n| quantized(d, n, 0, 1)),
    ("quantized_matmul/4bits/m8", |d, n| quantized(d, n, 0, 8)),
    ("quantized_matmul/4bits/m64", |d, n| quantized(d, n, 0, 64)),
    ("quantized_matmul/8bits/m1", |d, n| quantized(d, n, 1, 1)),
    ("quantized_matmul/8bits/m64", |d, n| quantized(d, n, 1, 64)),
    ("quantized_matmul/mxfp4/m1", |d, n| quantized(d, n, 6, 1)),
    ("quantized_matmul/mxfp4/m64", |d, n| quantized(d, n, 6, 64)),
    ("matmul/f32/m64", |d, n| floats(d, n, DType::F32, 64)),
    ("matmul/bf16/m1", |d, n| floats(d, n, DType::BF16, 1)),
    ("paged_attention/1after512", |d, n| attention(d, n, 512, 1)),
    ("paged_attention/64after0", |d, n| attention(d, n, 0, 64)),
    ("rms_norm/64x896", |d, n| {
        let (x, w) = (numbers(d, &[64, 896]), numbers(d, &[896]));
        repeat(n, || ops::rms_norm(black_box(&x), &w, 1e-6));
    }),
    ("swiglu/8x4864", |d, n| {
        let x = numbers(d, &[8, 4864]);
        repeat(n, || ops::swiglu(black_box(&x), &x));
    }),
];

pub(crate) fn run(case: &str, times: &str) {
    let isa = if Isa::Avx2.is_available() { Isa::Avx2 } else { Isa::Portable };
    let options = CpuOptions { threads: Some(1), isa: Some(isa), ..CpuOptions::default() };
    let device = Device::cpu(options).expect("a device");
    let found = CASES.iter().find(|(name, _)| *name == case);
    let (_, f) = found.unwrap_or_else(|| panic!("no case `{case}`"));
    f(&device, times.parse().expect("a number of times"));
    println!("{isa}");
}

fn repeat<T>(times: usize, mut f: impl FnMut() -> T) {
    for _ in 0..times {
        black_box(f());
    }
}

fn quantized(device: &Device, times: usize, format: usize, m: usize) {
    let format = USUAL.iter().chain(&OTHERS).nth(format).expect("a format");
    let (w, x) = (format.weight(device, SHAPE, 0), numbers(device, &[m, SHAPE[1]]));
    repeat(times, || ops::quantized_matmul(black_box(&x), &w));
}

fn floats(device: &Device, times: usize, dtype: DType, m: usize) {
    let (w, x) = (dense(device, SHAPE, dtype), numbers(device, &[m, SHAPE[1]]));
    repeat(times, || ops::matmul(black_box(&x), &w));
}

fn attention(device: &Device, times: usize, past: usize, rows: usize) {
    let heads = [14, 2, 64];
    let (cache, spans) = cache(device, heads, past, rows);
    let q = numbers(device, &[rows, heads[0], heads[2]]);
    let how = PagedAttention { layer: 0, scale: 0.125, window: None, sinks: None };
    repeat(times, || ops::paged_attention(black_box(&q), &cache, &spans, how));
}
