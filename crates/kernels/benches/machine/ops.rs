//! Each operation, over and over, in shapes of real models.

use std::hint::black_box;
use std::time::{Duration, Instant};

use kernels::ops::{self, Gelu, Mask, PagedAttention};
use kernels::{CpuOptions, DType, Device, WeightLayout};

use crate::formats::{Format, OTHERS, USUAL, size};
use crate::operands::{Heads, cache, dense, numbers};
use crate::regions;

/// What `machine ops` measures; each takes less than a minute.
pub(crate) const GROUPS: [&str; 6] =
    ["quantized", "quantized-large", "formats", "dense", "attention", "rest"];

/// `[rows, columns]` of the widest matrix of a model of 0.5B, and of one of 7B.
const SMALL: [usize; 2] = [4864, 896];
const LARGE: [usize; 2] = [18_944, 3584];

/// Rows of activations: one text, several, and a prompt.
const ROWS: [usize; 7] = [1, 2, 4, 8, 16, 32, 512];

/// Weights of a network follow each other: none is in a cache when its turn comes again.
const SPREAD: usize = 256 << 20;

/// What bounds an operation.
#[derive(Clone, Copy, Default)]
struct Cost {
    /// Bytes that come from memory.
    memory: usize,
    /// Operations, and which of the limits they count against.
    operations: usize,
    peak: &'static str,
    /// Bytes that pass through the caches, for operations that are too small to have a limit.
    cached: usize,
}

struct Bench {
    threads: usize,
    quick: bool,
    device: Device,
}

pub(crate) fn run(group: &str, quick: bool) {
    let most = std::thread::available_parallelism().map_or(1, usize::from);
    for threads in if most > 1 { vec![1, most] } else { vec![1] } {
        // As weights lie that have been used for a while.
        let weights = WeightLayout::Panels;
        let options = CpuOptions { threads: Some(threads), weights, ..CpuOptions::default() };
        let bench = Bench { threads, quick, device: Device::cpu(options).expect("a device") };
        match group {
            "quantized" => USUAL.iter().for_each(|format| bench.quantized(*format, SMALL, &ROWS)),
            "quantized-large" => {
                USUAL.iter().for_each(|format| bench.quantized(*format, LARGE, &[1, 8, 32]));
            }
            "formats" => {
                OTHERS.iter().for_each(|format| bench.quantized(*format, SMALL, &[1, 8, 512]));
            }
            "dense" => bench.dense(),
            "attention" => bench.attention(),
            "rest" => {
                bench.elementwise();
                regions::run(threads);
            }
            other => panic!("no group `{other}`; there are {GROUPS:?}"),
        }
    }
}

impl Bench {
    fn quantized(&self, format: Format, shape: [usize; 2], rows: &[usize]) {
        let first = format.weight(&self.device, shape, 0);
        let bytes = size(&first);
        let copies = (SPREAD / bytes).max(1);
        let more = (1..copies).map(|variant| format.weight(&self.device, shape, variant));
        let mut weights: Vec<_> = std::iter::once(first).chain(more).collect();
        for weight in &mut weights {
            weight.lay_out(|| ());
        }
        for &m in rows {
            let x = numbers(&self.device, &[m, shape[1]]);
            let operations = 2 * m * shape[0] * shape[1];
            let cost = Cost { memory: bytes, operations, peak: "int8", cached: 0 };
            let what = format!("{} {}x{} m={m}", format.name, shape[0], shape[1]);
            let mut turn = 0;
            self.measure("quantized_matmul", &what, cost, || {
                turn = (turn + 1) % copies;
                black_box(ops::quantized_matmul(black_box(&x), &weights[turn]));
            });
        }
    }

    fn dense(&self) {
        for (name, dtype, peak) in [("f32", DType::F32, "f32"), ("bf16", DType::BF16, "bf16")] {
            let bytes = SMALL[0] * SMALL[1] * dtype.size();
            let copies = SPREAD / bytes;
            let weights: Vec<_> = (0..copies).map(|_| dense(&self.device, SMALL, dtype)).collect();
            for m in [1, 8, 512] {
                let x = numbers(&self.device, &[m, SMALL[1]]);
                let operations = 2 * m * SMALL[0] * SMALL[1];
                let cost = Cost { memory: bytes, operations, peak, cached: 0 };
                let what = format!("{name} {}x{} m={m}", SMALL[0], SMALL[1]);
                let mut turn = 0;
                self.measure("matmul", &what, cost, || {
                    turn = (turn + 1) % copies;
                    black_box(ops::matmul(black_box(&x), &weights[turn]));
                });
            }
        }
    }

    fn attention(&self) {
        // Heads of models of 0.5B and of 7B.
        let cases: [(Heads, usize, usize); 6] = [
            ([14, 2, 64], 512, 1),
            ([14, 2, 64], 8192, 1),
            ([28, 4, 128], 512, 1),
            ([28, 4, 128], 8192, 1),
            ([14, 2, 64], 0, 512),
            ([28, 4, 128], 0, 512),
        ];
        for (heads, past, rows) in cases {
            let (cache, spans) = cache(&self.device, heads, past, rows);
            let [count, kv_heads, dim] = heads;
            let q = numbers(&self.device, &[rows, count, dim]);
            let how = PagedAttention { layer: 0, scale: 0.125, window: None, sinks: None };
            let pairs = (0..rows).map(|row| past + row + 1).sum::<usize>() * count;
            // Keys and values of a few tokens stay in a cache from one call to the next, as they
            // do not in a network: only arithmetic is counted against a limit.
            let cached = 4 * (past + rows) * kv_heads * dim;
            let cost = Cost { memory: 0, operations: 4 * pairs * dim, peak: "f32", cached };
            let what = format!("{count}/{kv_heads} heads of {dim}, {rows} after {past}");
            self.measure("paged_attention", &what, cost, || {
                black_box(ops::paged_attention(black_box(&q), &cache, &spans, how));
            });
        }
        let (heads, dim, rows) = (12, 64, 8 * 128);
        let q = numbers(&self.device, &[rows, heads, dim]);
        let sequences: Vec<_> = (0..8).map(|i| i * 128..(i + 1) * 128).collect();
        let operations = 4 * rows * 128 * heads * dim;
        let cost = Cost { operations, peak: "f32", ..Cost::default() };
        self.measure("scaled_dot_product_attention", "12 heads of 64, 8x128", cost, || {
            let q = black_box(&q);
            black_box(ops::scaled_dot_product_attention(q, q, q, &sequences, 0.125, Mask::Full));
        });
    }

    fn elementwise(&self) {
        for rows in [1, 512] {
            let device = &self.device;
            let (x, w) = (numbers(device, &[rows, 896]), numbers(device, &[896]));
            let wide = numbers(device, &[rows, 4864]);
            let heads = numbers(device, &[rows, 14, 64]);
            let positions: Vec<u32> = (0..rows as u32).collect();
            let table = ops::Rope::new(64, 1e6);
            // Read once, written once.
            let bytes = |elements: usize| Cost { cached: 8 * elements, ..Cost::default() };
            let what = |width: usize| format!("{rows}x{width}");
            let usual = bytes(x.elements());
            self.measure("rms_norm", &what(896), usual, || {
                black_box(ops::rms_norm(black_box(&x), &w, 1e-6));
            });
            self.measure("layer_norm", &what(896), usual, || {
                black_box(ops::layer_norm(black_box(&x), &w, Some(&w), 1e-6));
            });
            self.measure("add", &what(896), usual, || {
                black_box(ops::add(black_box(&x), &x));
            });
            self.measure("rope", &what(896), usual, || {
                black_box(ops::rope(black_box(&heads), &positions, &table));
            });
            self.measure("swiglu", &what(4864), bytes(wide.elements()), || {
                black_box(ops::swiglu(black_box(&wide), &wide));
            });
            self.measure("gelu", &what(4864), bytes(wide.elements()), || {
                black_box(ops::gelu(black_box(&wide), Gelu::Erf));
            });
        }
    }

    /// Calls `f` for a while, and prints a line with the median and the quartiles of its time.
    fn measure(&self, op: &str, what: &str, cost: Cost, mut f: impl FnMut()) {
        let time = Duration::from_millis(if self.quick { 60 } else { 250 });
        f();
        let begun = Instant::now();
        f();
        // Calls of a microsecond are timed some at once: the clock takes a part of one.
        let once = begun.elapsed().as_secs_f64();
        let batch = (20e-6 / once.max(1e-9)).ceil().max(1.0) as usize;
        let mut samples = Vec::new();
        let begun = Instant::now();
        while samples.len() < 5 || (begun.elapsed() < time && samples.len() < 10_000) {
            let sample = Instant::now();
            (0..batch).for_each(|_| f());
            samples.push(sample.elapsed().as_secs_f64() / batch as f64);
        }
        samples.sort_by(f64::total_cmp);
        let at = |part: usize| samples[(samples.len() - 1) * part / 4];
        let Cost { memory, operations, peak, cached } = cost;
        println!(
            "{{\"op\":\"{op}\",\"what\":\"{what}\",\"threads\":{},\"seconds\":{:.4e},\
             \"quartiles\":[{:.4e},{:.4e}],\"memory\":{memory},\"operations\":{operations},\
             \"peak\":\"{peak}\",\"cached\":{cached}}}",
            self.threads,
            at(2),
            at(1),
            at(3),
        );
    }
}
