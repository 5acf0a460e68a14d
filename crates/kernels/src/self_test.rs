//! Every operation of a device, compared with the portable kernels of the CPU, and its speed.
//!
//! For machines that the project's tests have never seen. The portable kernels are plain Rust, the
//! same everywhere, and tests compare them with each operation's definition.

use std::time::{Duration, Instant};

use crate::ops::{
    self, Clamp, Draw, DualChunk, Gather, Gelu, Groups, Mask, PagedAttention, Rope, Routing,
    Scoring,
};
use crate::samples::{Quantization, activations, numbers, quantizations, quantized, weight};
use crate::{
    CpuOptions, DType, Device, Isa, KvCache, KvFormat, KvLayer, KvQuantization, Precision, Result,
    Span, Tensor,
};

/// What came of one variant of an operation.
#[derive(Clone, Debug)]
pub struct Check {
    /// The operation.
    pub op: &'static str,
    /// What it was tried with.
    pub variant: String,
    /// The largest difference, relative to the largest result; NaN if the device failed.
    pub error: f32,
    /// The most that is right.
    pub tolerance: f32,
    /// What the device complained of.
    pub failure: Option<String>,
    /// How fast it was.
    pub rate: Rate,
}

/// A speed.
#[derive(Clone, Copy, Debug)]
pub enum Rate {
    /// Bytes a second that were read and written.
    Bytes(f64),
    /// Multiplications and additions a second.
    Operations(f64),
}

impl Check {
    /// Whether the numbers are right.
    pub fn is_right(&self) -> bool {
        self.failure.is_none() && self.error <= self.tolerance
    }
}

/// Tries every operation on `device`.
///
/// # Errors
///
/// If there is no device to compare with.
pub fn run(device: &Device) -> Result<Vec<Check>> {
    let options = CpuOptions {
        threads: Some(1),
        isa: Some(Isa::Portable),
        precision: Precision::Exact,
        ..CpuOptions::default()
    };
    let mut trial = Trial { device, home: Device::cpu(options)?, checks: Vec::new() };
    trial.elementwise();
    trial.rows();
    trial.norms();
    trial.tables();
    trial.products();
    trial.choices();
    trial.attention();
    Ok(trial.checks)
}

/// An operation with its operands in place.
type Ready = Box<dyn Fn() -> Tensor>;

struct Trial<'a> {
    device: &'a Device,
    home: Device,
    checks: Vec<Check>,
}

impl Trial<'_> {
    /// Whether activations of 16 bits, or of 8 in products, are what the device works with.
    fn is_rounded(&self) -> (bool, bool) {
        match self.device {
            Device::Cpu(cpu) => (false, cpu.precision() != Precision::Exact),
            Device::Mlx(mlx) => (mlx.is_native(), mlx.is_native()),
        }
    }

    /// What a product with a quantized weight may be off by: activations may be rounded to 8 bits
    /// where precision is not exact. What was measured is two thirds of it at most, and a fifth
    /// where nothing is rounded. MLX's CPU sums in 16 bits where activations have them, with errors
    /// of 0.07; on a GPU nothing was measured yet.
    fn product_tolerance(&self) -> f32 {
        match (self.device, self.is_rounded().1) {
            (Device::Cpu(_), true) => 1e-2,
            (Device::Mlx(mlx), true) if !mlx.is_gpu() => 1e-1,
            (Device::Mlx(_), true) => 2e-2,
            (Device::Mlx(mlx), false) if mlx.is_gpu() => 1e-4,
            (_, false) => 1e-5,
        }
    }

    /// The same for a dense product and attention, whose operands may be rounded to `bf16`.
    fn dense_tolerance(&self) -> f32 {
        match (self.device, self.is_rounded().1) {
            (Device::Cpu(_), true) => 4e-3,
            _ => self.product_tolerance(),
        }
    }

    fn tolerance(&self, exact: f32) -> f32 {
        if self.is_rounded().0 { 2e-2 } else { exact }
    }

    /// Compares what `prepare` gives on both devices. `operations` counts multiplications and
    /// additions; if there are none to speak of, the speed is one of bytes.
    fn check(
        &mut self,
        (op, variant): (&'static str, String),
        tolerance: f32,
        (bytes, operations): (usize, usize),
        prepare: impl Fn(&Device) -> Ready,
    ) {
        let truth = prepare(&self.home)().to_vec();
        let ready = prepare(self.device);
        let ours = ready().to_vec();
        let error = difference(&ours, &truth);
        let seconds = fastest(&ready);
        let rate = match operations {
            0 => Rate::Bytes(bytes as f64 / seconds),
            operations => Rate::Operations(operations as f64 / seconds),
        };
        let failure = self.device.take_failure();
        self.checks.push(Check { op, variant, error, tolerance, failure, rate });
    }

    fn elementwise(&mut self) {
        let shape = [37, 1000];
        let bytes = 37 * 1000 * 4;
        let tolerance = self.tolerance(2e-6);
        for (variant, other) in [("whole", vec![37, 1000]), ("row", vec![1000])] {
            let prepare = move |device: &Device| -> Ready {
                let (a, b) = (activations(device, 1, &shape), activations(device, 2, &other));
                Box::new(move || ops::add(&a, &b))
            };
            self.check(("add", variant.to_owned()), tolerance, (3 * bytes, 0), prepare);
        }
        for form in [Gelu::Erf, Gelu::Tanh, Gelu::Quick] {
            let prepare = move |device: &Device| -> Ready {
                let x = activations(device, 1, &shape);
                Box::new(move || ops::gelu(&x, form))
            };
            self.check(("gelu", format!("{form:?}")), tolerance, (2 * bytes, 0), prepare);
        }
        let prepare = move |device: &Device| -> Ready {
            let (gate, up) = (activations(device, 1, &shape), activations(device, 2, &shape));
            Box::new(move || ops::swiglu(&gate, &up))
        };
        self.check(("swiglu", String::new()), tolerance, (3 * bytes, 0), prepare);
        let prepare = move |device: &Device| -> Ready {
            let (gate, up) = (activations(device, 1, &shape), activations(device, 2, &shape));
            Box::new(move || ops::clamped_swiglu(&gate, &up, Clamp { alpha: 1.7, limit: 0.6 }))
        };
        self.check(("clamped_swiglu", String::new()), tolerance, (3 * bytes, 0), prepare);
        let prepare = move |device: &Device| -> Ready {
            let (a, b) = (activations(device, 1, &shape), activations(device, 2, &shape));
            Box::new(move || ops::multiply(&a, &b))
        };
        self.check(("multiply", String::new()), tolerance, (3 * bytes, 0), prepare);
        let prepare = move |device: &Device| -> Ready {
            let x = activations(device, 1, &shape);
            Box::new(move || ops::scale(&x, 0.3))
        };
        self.check(("scale", String::new()), tolerance, (2 * bytes, 0), prepare);
    }

    /// Rows that are cut, joined and added up.
    fn rows(&mut self) {
        let bytes = 2 * 36 * 1000 * 4;
        let operand = |device: &Device| activations(device, 1, &[36, 1000]);
        let prepare = move |device: &Device| -> Ready {
            let x = operand(device);
            Box::new(move || {
                let [_, middle, _] = ops::split(&x, [123, 800, 77]);
                middle
            })
        };
        self.check(("split", String::new()), self.tolerance(0.0), (bytes, 0), prepare);
        let prepare = move |device: &Device| -> Ready {
            let (a, b) = (operand(device), activations(device, 2, &[36, 65]));
            Box::new(move || ops::concatenate(&[&a, &b]))
        };
        self.check(("concatenate", String::new()), self.tolerance(0.0), (bytes, 0), prepare);
        let prepare = move |device: &Device| -> Ready {
            let x = operand(device);
            let weights: Vec<f32> = (0..36).map(|i| (i % 7) as f32 / 7.0 - 0.3).collect();
            let weights = device.tensor(&[36], weights);
            Box::new(move || ops::weighted_sum(&x, &weights, 4))
        };
        self.check(("weighted_sum", String::new()), self.tolerance(2e-6), (bytes, 0), prepare);
    }

    fn norms(&mut self) {
        let bytes = 2 * 37 * 1000 * 4;
        let tolerance = self.tolerance(1e-5);
        let operands = |device: &Device| {
            let row = |seed| activations(device, seed, &[1000]);
            (activations(device, 1, &[37, 1000]), row(2), row(3))
        };
        let prepare = move |device: &Device| -> Ready {
            let (x, weight, _) = operands(device);
            Box::new(move || ops::rms_norm(&x, &weight, 1e-5))
        };
        self.check(("rms_norm", String::new()), tolerance, (bytes, 0), prepare);
        for biased in [false, true] {
            let prepare = move |device: &Device| -> Ready {
                let (x, weight, bias) = operands(device);
                let bias = biased.then_some(bias);
                Box::new(move || ops::layer_norm(&x, &weight, bias.as_ref(), 1e-5))
            };
            let variant = if biased { "with bias" } else { "without bias" }.to_owned();
            self.check(("layer_norm", variant), tolerance, (bytes, 0), prepare);
        }
        for (variant, traditional, dims, scale) in
            [("halves", false, 64, 1.0), ("neighbours", true, 64, 1.0), ("part", false, 32, 1.2)]
        {
            let table = Rope { traditional, scale, ..Rope::new(dims, 10_000.0) };
            let prepare = move |device: &Device| -> Ready {
                let x = activations(device, 1, &[29, 6, 64]);
                let positions: Vec<_> = (0..29).map(|row| row * 37 % 1000).collect();
                let table = table.clone();
                Box::new(move || ops::rope(&x, &positions, &table))
            };
            let work = (2 * 29 * 6 * 64 * 4, 0);
            // MLX divides by periods, so angles of a thousand radians are rounded once more.
            self.check(("rope", variant.to_owned()), self.tolerance(1e-4), work, prepare);
        }
        let table = Rope { axes: (0..32).map(|i| i % 3).collect(), ..Rope::new(64, 10_000.0) };
        let prepare = move |device: &Device| -> Ready {
            let x = activations(device, 1, &[29, 6, 64]);
            let positions: Vec<_> = (0..3 * 29).map(|i| i * 37 % 1000).collect();
            let table = table.clone();
            Box::new(move || ops::rope(&x, &positions, &table))
        };
        let work = (2 * 29 * 6 * 64 * 4, 0);
        self.check(("rope", "three axes".to_owned()), self.tolerance(1e-4), work, prepare);
    }

    fn tables(&mut self) {
        let prepare = |device: &Device| -> Ready {
            let x = activations(device, 1, &[37, 1000]);
            let update = activations(device, 2, &[5, 1000]);
            Box::new(move || ops::slice_update(&x, &[(3, update.clone()), (30, update.clone())]))
        };
        let work = (2 * 37 * 1000 * 4, 0);
        self.check(("slice_update", String::new()), self.tolerance(1e-6), work, prepare);
        let rows = [9, 0, 3, 3, 1];
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let prepare = move |device: &Device| -> Ready {
                let table = weight(device, 1, &[10, 777], dtype);
                Box::new(move || ops::take(&table, &rows))
            };
            let work = (2 * 5 * 777 * dtype.size(), 0);
            self.check(("take", format!("{dtype:?}")), self.tolerance(1e-6), work, prepare);
        }
        for format in quantizations() {
            let prepare = move |device: &Device| -> Ready {
                let table = quantized(device, 1, 10, 512, format);
                Box::new(move || ops::quantized_take(&table, &rows))
            };
            let work = (5 * 512 * 4, 0);
            self.check(("quantized_take", name(format)), self.tolerance(1e-6), work, prepare);
        }
    }

    fn products(&mut self) {
        const N: usize = 200;
        const K: usize = 1024;
        for rows in [1, 19] {
            for dtype in [DType::F32, DType::F16, DType::BF16] {
                let prepare = move |device: &Device| -> Ready {
                    let w = weight(device, 2, &[N, K], dtype);
                    let x = activations(device, 1, &[rows, K]);
                    Box::new(move || ops::matmul(&x, &w))
                };
                let work = (N * K * dtype.size(), if rows == 1 { 0 } else { 2 * rows * N * K });
                let variant = format!("{dtype:?}, {rows} rows");
                self.check(("matmul", variant), self.dense_tolerance(), work, prepare);
            }
            let tolerance = self.product_tolerance();
            self.stacks(rows, tolerance);
            for format in quantizations() {
                let prepare = move |device: &Device| -> Ready {
                    let w = quantized(device, 2, N, K, format);
                    let x = activations(device, 1, &[rows, K]);
                    Box::new(move || ops::quantized_matmul(&x, &w))
                };
                let bytes = N * K * format.bits / 8;
                let work = (bytes, if rows == 1 { 0 } else { 2 * rows * N * K });
                let variant = format!("{}, {rows} rows", name(format));
                self.check(("quantized_matmul", variant), tolerance, work, prepare);
            }
        }
    }

    /// Products with matrices that each row chooses out of a stack.
    fn stacks(&mut self, rows: usize, tolerance: f32) {
        const MATRICES: usize = 4;
        const N: usize = 40;
        const K: usize = 512;
        // Two matrices for each row.
        let lhs: Vec<u32> = (0..2 * rows as u32).map(|pair| pair / 2).collect();
        let rhs: Vec<u32> = (0..2 * rows as u32).map(|pair| pair * 3 % MATRICES as u32).collect();
        let operations = 2 * 2 * rows * N * K;
        for dtype in [DType::F32, DType::BF16] {
            let (lhs, rhs) = (lhs.clone(), rhs.clone());
            let prepare = move |device: &Device| -> Ready {
                let w = weight(device, 2, &[MATRICES, N, K], dtype);
                let x = activations(device, 1, &[rows, K]);
                let (lhs, rhs) = (lhs.clone(), rhs.clone());
                Box::new(move || {
                    ops::gather_mm(&x, &w, Gather { lhs_indices: &lhs, rhs_indices: &rhs })
                })
            };
            let variant = format!("{dtype:?}, {rows} rows");
            let tolerance = self.dense_tolerance();
            self.check(("gather_mm", variant), tolerance, (0, operations), prepare);
        }
        for format in quantizations() {
            let (lhs, rhs) = (lhs.clone(), rhs.clone());
            let prepare = move |device: &Device| -> Ready {
                let w = quantized(device, 2, MATRICES * N, K, format);
                let x = activations(device, 1, &[rows, K]);
                let (lhs, rhs) = (lhs.clone(), rhs.clone());
                Box::new(move || {
                    let gather = Gather { lhs_indices: &lhs, rhs_indices: &rhs };
                    ops::gather_qmm(&x, &w, MATRICES, gather)
                })
            };
            let variant = format!("{}, {rows} rows", name(format));
            self.check(("gather_qmm", variant), tolerance, (0, operations), prepare);
        }
    }

    /// Tokens, and experts with their weights, as numbers.
    fn choices(&mut self) {
        let bytes = 8 * 3000 * 4;
        // Rows that follow weights are rounded before they come here: a token is the same or not.
        for (variant, draw) in [
            ("likeliest", Draw::LIKELIEST),
            ("warm", Draw { temperature: 0.7, uniform: 0.45, ..Draw::LIKELIEST }),
            ("cut", Draw { temperature: 0.7, top_k: 40, top_p: 0.8, min_p: 0.1, uniform: 0.45 }),
        ] {
            let prepare = move |device: &Device| -> Ready {
                let logits = device.tensor(&[8, 3000], numbers(1, 8 * 3000));
                let device = device.clone();
                Box::new(move || {
                    let chosen = ops::categorical(&logits, &[draw; 8]).read().into_iter();
                    device.tensor(
                        &[8],
                        chosen.map(|token| token.map_or(-1.0, |t| t as f32)).collect(),
                    )
                })
            };
            self.check(("categorical", variant.to_owned()), 0.0, (bytes, 0), prepare);
        }
        let top = Scoring::SoftmaxThenTop { normalized: true };
        let groups = Some(Groups { count: 4, kept: 2 });
        for (variant, scoring, groups) in [
            ("softmax first", top, None),
            ("softmax last", Scoring::TopThenSoftmax, None),
            ("groups", top, groups),
        ] {
            let routing = Routing { experts: 64, chosen: 6, scoring, groups, scale: 1.0 };
            let prepare = move |device: &Device| -> Ready {
                let scores = device.tensor(&[33, 64], numbers(1, 33 * 64));
                let device = device.clone();
                Box::new(move || {
                    let routed = ops::route(&scores, &routing);
                    let mut all = routed.weights.to_vec();
                    all.extend(routed.experts.to_u32().iter().map(|&expert| expert as f32 / 64.0));
                    device.tensor(&[all.len()], all)
                })
            };
            self.check(("route", variant.to_owned()), 2e-6, (33 * 64 * 4, 0), prepare);
        }
    }

    fn attention(&mut self) {
        const HEADS: usize = 6;
        const DIM: usize = 64;
        let tolerance = self.dense_tolerance();
        for mask in [Mask::Full, Mask::Causal, Mask::Local(7)] {
            let prepare = move |device: &Device| -> Ready {
                let q = activations(device, 1, &[61, HEADS, DIM]);
                let [k, v] = [2, 3].map(|seed| activations(device, seed, &[61, 2, DIM]));
                Box::new(move || {
                    ops::scaled_dot_product_attention(&q, &k, &v, &[0..20, 20..61], 0.125, mask)
                })
            };
            let operations = 4 * (20 * 20 + 41 * 41) * HEADS * DIM;
            let name = ("scaled_dot_product_attention", format!("{mask:?}"));
            self.check(name, tolerance, (0, operations), prepare);
        }
        let codes = |bits| {
            let quantization = Some(KvQuantization { bits, group_size: 32 });
            KvFormat { dtype: DType::F32, quantization }
        };
        let in_a_row = vec![4, 5, 6, 7, 8];
        let scattered = vec![3, 9, 1, 11, 0];
        // A cache of 75 tokens, and the last `rows` of them as queries.
        let filled = |device: &Device, format: KvFormat, pages: &[u32], rows| {
            let layer = KvLayer { kv_heads: 2, key_dim: DIM, value_dim: DIM };
            let mut cache = KvCache::new(device, &[layer], 16, 16, format);
            let [k, v] = [2, 3].map(|seed| activations(device, seed, &[75, 2, DIM]));
            let whole = Span { rows: 0..75, start: 0, pages: pages.to_vec() };
            cache.append(0, &k, &v, &[whole]);
            (cache, Span { rows: 0..rows, start: 75 - rows, pages: pages.to_vec() })
        };
        for (variant, pages, window, rows, sink) in [
            ("a token", &in_a_row, None, 1, false),
            ("a token, scattered pages", &scattered, None, 1, false),
            ("a prompt", &in_a_row, None, 33, false),
            ("a prompt, scattered pages", &scattered, None, 33, false),
            ("a window", &scattered, Some(21), 33, false),
            ("sinks", &in_a_row, None, 33, true),
        ] {
            for (kept, format) in [
                ("F32", DType::F32.into()),
                ("F16", DType::F16.into()),
                ("8 bits", codes(8)),
                ("4 bits", codes(4)),
            ] {
                let pages = pages.clone();
                let prepare = move |device: &Device| -> Ready {
                    let (cache, span) = filled(device, format, &pages, rows);
                    let q = activations(device, 1, &[rows, HEADS, DIM]);
                    let sinks = sink.then(|| activations(device, 4, &[HEADS]));
                    Box::new(move || {
                        let (layer, scale, sinks) = (0, 0.125, sinks.as_ref());
                        let how = PagedAttention { layer, scale, window, sinks };
                        ops::paged_attention(&q, &cache, std::slice::from_ref(&span), how)
                    })
                };
                let name = ("paged_attention", format!("{variant}, {kept}"));
                // Of what is rounded to 16 bits first, now and then the next code is chosen.
                let next = self.is_rounded().0 && kept == "4 bits";
                let tolerance = if next { tolerance.max(8e-2) } else { tolerance };
                self.check(name, tolerance, (0, 4 * rows * 75 * HEADS * DIM), prepare);
            }
        }
        let prepare = move |device: &Device| -> Ready {
            let (cache, span) = filled(device, DType::F32.into(), &in_a_row, 33);
            let forms = [1, 5, 6].map(|seed| activations(device, seed, &[33, HEADS, DIM]));
            let how = DualChunk { layer: 0, scale: 0.125, chunk: 20 };
            Box::new(move || {
                let forms = [&forms[0], &forms[1], &forms[2]];
                ops::dual_chunk_attention(forms, &cache, std::slice::from_ref(&span), how)
            })
        };
        let name = ("dual_chunk_attention", String::new());
        self.check(name, tolerance, (0, 4 * 33 * 75 * HEADS * DIM), prepare);
    }
}

fn name(format: Quantization) -> String {
    let Quantization { mode, bits, group_size, .. } = format;
    format!("{mode:?} {bits} bits, groups of {group_size}").to_lowercase()
}

/// The largest difference, relative to the largest element of `truth`. NaN is never lost.
fn difference(ours: &[f32], truth: &[f32]) -> f32 {
    if ours.len() != truth.len() {
        return f32::NAN;
    }
    let scale = truth.iter().fold(f32::MIN_POSITIVE, |max, x| max.max(x.abs()));
    let larger = |max: f32, d: f32| if d > max || d.is_nan() { d } else { max };
    ours.iter().zip(truth).map(|(a, b)| (a - b).abs() / scale).fold(0.0, larger)
}

/// The seconds of the fastest of a few runs; all of them take a few milliseconds.
fn fastest(ready: &Ready) -> f64 {
    let begun = Instant::now();
    let mut best = f64::INFINITY;
    for _ in 0..50 {
        let one = Instant::now();
        std::hint::black_box(ready().to_vec());
        best = best.min(one.elapsed().as_secs_f64());
        if begun.elapsed() > Duration::from_millis(4) {
            break;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::conformance::{devices, mlx_of_16_bits};

    #[test]
    fn every_device_of_this_machine_is_right() {
        for precision in [Precision::Exact, Precision::Bf16, Precision::Fast] {
            for device in devices(precision).iter().step_by(2) {
                for check in run(device).unwrap() {
                    assert!(check.is_right(), "{check:?} on {device:?}");
                }
            }
        }
    }

    /// The way that a GPU takes, on MLX's CPU.
    #[test]
    fn activations_of_16_bits_are_right_on_mlx() {
        let Some(device) = mlx_of_16_bits() else { return };
        let checks = run(&device).unwrap();
        let wrong: Vec<_> = checks.iter().filter(|check| !check.is_right()).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn a_wrong_number_is_found() {
        let truth = numbers(1, 9);
        let mut wrong = truth.clone();
        assert_eq!(difference(&wrong, &truth), 0.0);
        wrong[3] += 0.5;
        assert!(difference(&wrong, &truth) > 0.4);
        wrong[5] = f32::NAN;
        assert!(difference(&wrong, &truth).is_nan() && difference(&wrong[1..], &truth).is_nan());
        let check = |error, failure| Check {
            op: "add",
            variant: String::new(),
            error,
            tolerance: 1e-5,
            failure,
            rate: Rate::Bytes(1.0),
        };
        assert!(check(1e-6, None).is_right());
        assert!(!check(1e-4, None).is_right() && !check(f32::NAN, None).is_right());
        assert!(!check(0.0, Some("lost".to_owned())).is_right());
    }
}
