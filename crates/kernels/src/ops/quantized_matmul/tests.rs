//! Every format on every level of instructions, alone and with more threads; the integers exactly,
//! and what is not a number.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use half::bf16;

use super::{cpu, quantized_matmul, reference};
use crate::cpu::simd::quantized::Level;
use crate::ops::conformance::{
    Quantization, activations, assert_close, mlx, numbers, quantizations, quantized,
};
use crate::{
    CpuOptions, DType, Device, Isa, Precision, QuantizationMode, QuantizedTensor, Tensor,
    WeightLayout, ops,
};

/// One product.
fn multiply(level: Level, x: &Tensor, w: &QuantizedTensor) -> Tensor {
    let [y] = cpu::multiply(level, x, [w]);
    y
}

/// Rows of activations, groups of a row, rows of the weight: around the edges of tiles, panels and
/// vectors.
const SIZES: [(usize, usize, usize); 15] = [
    (1, 1, 1),
    (1, 3, 17),
    (1, 17, 5),
    (1, 33, 4),
    (2, 2, 9),
    (2, 5, 3),
    (3, 4, 15),
    (3, 9, 16),
    (4, 1, 16),
    (5, 4, 8),
    (5, 7, 31),
    (16, 1, 17),
    (17, 3, 32),
    (19, 2, 33),
    (33, 5, 4),
];

fn device(precision: Precision, threads: usize) -> Device {
    Device::cpu(CpuOptions { threads: Some(threads), precision, ..CpuOptions::default() }).unwrap()
}

/// Calls `check` with every level and a device of one thread and of three.
fn everywhere(precision: Precision, check: impl Fn(Level, &Device)) {
    for threads in [1, 3] {
        let device = device(precision, threads);
        for level in Level::all() {
            check(level, &device);
        }
    }
}

/// `x` on another device.
fn moved(x: &Tensor, device: &Device) -> Tensor {
    device.tensor(x.shape(), x.to_vec())
}

#[test]
fn exact_products_agree_with_the_reference() {
    let home = device(Precision::Exact, 1);
    for quantization in quantizations() {
        for (m, groups, n) in SIZES {
            let k = groups * quantization.group_size;
            let (w, x) = (quantized(&home, 2, n, k, quantization), activations(&home, 1, &[m, k]));
            let truth = reference::quantized_matmul(&x, &w);
            everywhere(Precision::Exact, |level, device| {
                assert_close(&multiply(level, &moved(&x, device), &w), &truth, 5e-5);
            });
        }
    }
}

#[test]
fn mlx_agrees_with_the_reference() {
    let Some(mlx) = mlx() else { return };
    let home = device(Precision::Exact, 1);
    for quantization in quantizations() {
        for (m, groups, n) in SIZES {
            let k = groups * quantization.group_size;
            let x = activations(&home, 1, &[m, k]);
            let truth = reference::quantized_matmul(&x, &quantized(&home, 2, n, k, quantization));
            let w = quantized(&mlx, 2, n, k, quantization);
            assert_close(&quantized_matmul(&moved(&x, &mlx), &w), &truth, 5e-5);
        }
    }
}

#[test]
fn long_rows_are_summed_in_pieces() {
    let home = device(Precision::Exact, 1);
    for quantization in quantizations() {
        let k = 2048 + quantization.group_size;
        let (w, x) = (quantized(&home, 2, 5, k, quantization), activations(&home, 1, &[3, k]));
        let truth = reference::quantized_matmul(&x, &w);
        for level in Level::all() {
            assert_close(&multiply(level, &x, &w), &truth, 1e-5);
        }
    }
}

#[test]
fn products_do_not_depend_on_their_company() {
    use Precision::{Bf16, Exact, Fast};
    // So many rows, and parts of so many: products of up to four rows are the same, and those of more,
    // in tiles of every height.
    let cases = [
        (Exact, 7, 1),
        (Bf16, 4, 1),
        (Bf16, 3, 1),
        (Bf16, 15, 5),
        (Bf16, 14, 7),
        (Fast, 4, 1),
        (Fast, 4, 2),
        (Fast, 3, 1),
        (Fast, 15, 5),
        (Fast, 14, 7),
        (Fast, 24, 8),
    ];
    for (precision, m, part) in cases {
        let device = device(precision, 1);
        for quantization in quantizations() {
            let k = 1024 + 2 * quantization.group_size;
            let w = quantized(&device, 2, 7, k, quantization);
            let x = activations(&device, 1, &[m, k]);
            let rows = x.to_vec();
            for level in Level::all() {
                let together = multiply(level, &x, &w).to_vec();
                let apart = rows.chunks(part * k).flat_map(|rows| {
                    multiply(level, &device.tensor(&[part, k], rows.to_vec()), &w).to_vec()
                });
                assert_eq!(together, apart.collect::<Vec<_>>(), "{level:?} {quantization:?}");
            }
        }
    }
}

/// A weight that was laid out is multiplied, for any number of rows, to the bit as many rows are with
/// one that was not; rows are still taken from it.
#[test]
fn panels_multiply_as_rows_do() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let options = CpuOptions { threads: Some(2), isa: Some(isa), ..CpuOptions::default() };
        let home = Device::cpu(options).unwrap();
        let laid = Device::cpu(CpuOptions { weights: WeightLayout::Panels, ..options }).unwrap();
        for quantization in quantizations() {
            let straddles = !8_usize.is_multiple_of(quantization.bits);
            let suits = !straddles && quantization.mode != QuantizationMode::Mxfp8;
            for (groups, n) in [(1, 1), (3, 37), (9, 64)] {
                let k = groups * quantization.group_size;
                let w = quantized(&home, 2, n, k, quantization);
                let mut panels = quantized(&laid, 2, n, k, quantization);
                assert_eq!(panels.lay_out(|| ()), suits, "{quantization:?}");
                let all = activations(&home, 1, &[29, k]);
                let truth = quantized_matmul(&all, &w).to_vec();
                for m in [1, 2, 3, 4, 5, 11, 29] {
                    let x = laid.tensor(&[m, k], all.to_vec()[..m * k].to_vec());
                    let y = quantized_matmul(&x, &panels).to_vec();
                    assert!(
                        m <= 4 && !suits || y == truth[..m * n],
                        "{isa:?} {quantization:?} {m}"
                    );
                }
                let row = |w| ops::quantized_take(w, &[n as u32 - 1]).to_vec();
                assert_eq!(row(&panels), row(&w));
            }
        }
        let exact = CpuOptions { precision: Precision::Exact, ..options };
        let exact = CpuOptions { weights: WeightLayout::Panels, ..exact };
        let mut w = quantized(&Device::cpu(exact).unwrap(), 2, 8, 128, quantizations()[0]);
        assert!(!w.lay_out(|| ()));
    }
}

/// A weight that is laid out in time is multiplied as it lies first, and then as one that was laid out
/// at once; another one has its turn in another step. It is said once.
#[test]
fn weights_are_laid_out_after_some_use() {
    let [mapped, laid, in_time] =
        [WeightLayout::InPlace, WeightLayout::Panels, WeightLayout::default()].map(|weights| {
            let options = CpuOptions { threads: Some(2), weights, ..CpuOptions::default() };
            Device::cpu(options).unwrap()
        });
    let quantization = quantizations()
        .into_iter()
        .find(|q| q.mode == QuantizationMode::Affine && q.bits == 4)
        .unwrap();
    let (n, k) = (37, 5 * quantization.group_size);
    let product = |device: &Device, w: &QuantizedTensor, m| {
        quantized_matmul(&activations(device, 1, &[m, k]), w).to_vec()
    };
    let weight = |device: &Device| {
        let (mut w, times) = (quantized(device, 2, n, k, quantization), Arc::default());
        let counted = Arc::clone(&times);
        let lies = w.lay_out(move || _ = AtomicUsize::fetch_add(&counted, 1, Ordering::Relaxed));
        (w, times, lies)
    };
    let truths = [(&mapped, 0), (&laid, 1)].map(|(device, said)| {
        let (w, times, lies) = weight(device);
        assert_eq!((lies, times.load(Ordering::Relaxed)), (said == 1, said));
        product(device, &w, 1)
    });
    assert_ne!(truths[0], truths[1]);
    let mut turns = Vec::new();
    for m in [1, 1, 9] {
        let (w, times, lies) = weight(&in_time);
        assert!(lies && times.load(Ordering::Relaxed) == 0);
        let mut turn = None;
        for step in 0..64 {
            // A clone is the same weight.
            let y = product(&in_time, &w.clone(), if turn.is_some() { 1 } else { m });
            let is_laid = times.load(Ordering::Relaxed);
            assert!(m > 1 || y == truths[is_laid], "step {step}");
            turn = turn.or((is_laid == 1).then_some(step));
        }
        assert_eq!(times.load(Ordering::Relaxed), 1);
        assert_eq!(product(&in_time, &w, 1), truths[1]);
        turns.extend(turn);
    }
    // What more rows gain counts for more.
    assert!(turns.len() == 3 && turns[0] > 1 && turns[1] > turns[0], "{turns:?}");
    assert!(turns[2] >= 1 && turns[2] < turns[0], "{turns:?}");
}

/// Panels take no more than the room there is, and give it back.
#[test]
fn weights_without_room_stay_in_place() {
    let weights = WeightLayout::InTime { room: 32 * (64 + 4) };
    let device = Device::cpu(CpuOptions { weights, ..CpuOptions::default() }).unwrap();
    let format = (QuantizationMode::Affine, 8, 64);
    let lies = |rows| plain(&device, (rows, 64), format, |_| 1).lay_out(|| ());
    let held = [32, 32].map(|rows| {
        let mut w = plain(&device, (rows, 64), format, |_| 1);
        (w.lay_out(|| ()), w)
    });
    assert_eq!(held.each_ref().map(|(lies, _)| *lies), [true, false]);
    assert!(!lies(32));
    drop(held);
    assert!(lies(32) && !lies(64));
}

#[test]
fn several_weights_at_once_are_one_after_another() {
    for precision in [Precision::Exact, Precision::Bf16, Precision::Fast] {
        let home = device(precision, 1);
        let formats = quantizations();
        for first in &formats {
            let second = formats.iter().rfind(|other| *other != first).unwrap();
            let k = 4 * first.group_size.max(second.group_size);
            let ws = [(5, first), (33, first), (16, second)]
                .map(|(n, format)| quantized(&home, n as u64, n, k, *format));
            for m in [0, 1, 3, 14] {
                let x = activations(&home, 1, &[m, k]);
                everywhere(precision, |level, device| {
                    let all = cpu::multiply(level, &moved(&x, device), ws.each_ref());
                    for (y, w) in all.iter().zip(&ws) {
                        let alone = multiply(level, &x, w);
                        assert_eq!((y.shape(), y.to_vec()), (alone.shape(), alone.to_vec()));
                    }
                });
            }
        }
    }
}

#[test]
fn the_largest_power_of_two_is_a_scale_too() {
    let device = device(Precision::Fast, 1);
    let mut w = plain(&device, (3, 64), (QuantizationMode::Mxfp4, 4, 32), |_| 0x21);
    w.scales = device.wrap(&[3, 2], DType::U8, vec![254; 6].into());
    for m in [1, 4, 13] {
        let x = device.tensor(&[m, 64], vec![2.0_f32.powi(-9); m * 64]);
        let truth = reference::quantized_matmul(&x, &w);
        for level in Level::all() {
            assert_close(&multiply(level, &x, &w), &truth, 1e-5);
        }
    }
}

/// What rounding activations may cost: half a step for each of them.
fn bounds(precision: Precision, x: &Tensor, w: &QuantizedTensor) -> Vec<f64> {
    let w_is_float = w.mode == QuantizationMode::Mxfp8;
    let mut out = vec![0.0; x.rows() * w.rows];
    let mut row = vec![0.0; w.columns];
    for j in 0..w.rows {
        reference::decode_row(w, j, &mut row);
        for (i, x) in x.to_vec().chunks(w.columns).enumerate() {
            for (x, row) in x.chunks(w.group_size).zip(row.chunks(w.group_size)) {
                let largest = x.iter().fold(0.0, |max: f32, x| max.max(x.abs()));
                out[i * w.rows + j] += x.iter().zip(row).fold(0.0, |sum, (x, w)| {
                    let step = if precision == Precision::Bf16 || w_is_float {
                        f64::from(x.abs()) / 128.0
                    } else {
                        f64::from(largest) / 127.0
                    };
                    sum + step / 2.0 * f64::from(w.abs())
                });
            }
        }
    }
    out
}

#[test]
fn rounded_products_err_no_more_than_rounding_explains() {
    for precision in [Precision::Bf16, Precision::Fast] {
        let home = device(precision, 1);
        for quantization in quantizations() {
            for (m, groups, n) in SIZES {
                let k = groups * quantization.group_size;
                let w = quantized(&home, 2, n, k, quantization);
                let x = activations(&home, 1, &[m, k]);
                let truth = reference::quantized_matmul(&x, &w).to_vec();
                let bounds = bounds(precision, &x, &w);
                everywhere(precision, |level, device| {
                    let y = multiply(level, &moved(&x, device), &w).to_vec();
                    for ((y, truth), bound) in y.iter().zip(&truth).zip(&bounds) {
                        let error = f64::from(y - truth).abs();
                        assert!(
                            error <= bound * 1.01 + 1e-5,
                            "{y}, not {truth}: {level:?} {precision:?} {quantization:?}"
                        );
                    }
                });
            }
        }
    }
}

#[test]
fn fast_products_point_where_exact_ones_do() {
    let device = device(Precision::Fast, 1);
    for quantization in quantizations() {
        let k = 1024;
        let w = quantized(&device, 2, 48, k, quantization);
        for m in [1, 3, 8] {
            let x = activations(&device, 1, &[m, k]);
            let truth = reference::quantized_matmul(&x, &w).to_vec();
            for level in Level::all() {
                let y = multiply(level, &x, &w).to_vec();
                let dot = |a: &[f32], b: &[f32]| {
                    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
                };
                let cosine = dot(&y, &truth) / (dot(&y, &y) * dot(&truth, &truth)).sqrt();
                assert!(cosine >= 0.9995, "{cosine} with {quantization:?} on {level:?}");
            }
        }
    }
}

/// A weight whose elements are its codes, made of the bytes that `code` answers.
fn plain(
    device: &Device,
    (rows, columns): (usize, usize),
    (mode, bits, group_size): (QuantizationMode, usize, usize),
    codes: impl Fn(usize) -> u8,
) -> QuantizedTensor {
    let affine = mode == QuantizationMode::Affine;
    let groups = [rows, columns / group_size];
    let fill = |one: &[u8]| Bytes::from(one.repeat(groups[0] * groups[1]));
    let one = bf16::ONE.to_le_bytes();
    let (scale, dtype) = if affine { (&one[..], DType::BF16) } else { (&[127][..], DType::U8) };
    let codes = (0..rows * columns * bits / 8).map(codes);
    QuantizedTensor {
        rows,
        columns,
        mode,
        bits,
        group_size,
        weight: device.wrap(&[rows, columns * bits / 32], DType::U32, codes.collect()),
        scales: device.wrap(&groups, dtype, fill(scale)),
        biases: affine.then(|| device.wrap(&groups, dtype, fill(&[0, 0]))),
        global_scale: None,
    }
}

/// With whole activations up to 127 in each group and scales of one, nothing is rounded: products
/// are integers (or halves) that an `f32` holds.
#[test]
fn integers_are_exact_on_every_level() {
    use QuantizationMode::{Affine, Mxfp4};
    let devices = [Precision::Bf16, Precision::Fast].map(|precision| device(precision, 1));
    let home = &devices[0];
    let (n, k) = (19, 384);
    let noise = numbers(3, n * k).into_iter().map(|x| (x * 1e6) as i32 as u8).collect::<Vec<_>>();
    let whole = |x: f32| (x * 127.0).round();
    let patterns: [fn(f32, usize) -> f32; 4] =
        [|x, _| x, |_, _| 1.0, |_, _| -1.0, |_, i| if i % 2 == 0 { 1.0 } else { -1.0 }];
    let formats = [2, 3, 4, 5, 6, 8].into_iter().flat_map(|b| [(b, 32), (b, 64), (b, 128)]);
    let formats = formats.map(|(b, g)| (Affine, b, g)).chain([(Mxfp4, 4, 32)]);
    for format in formats {
        let codes: [&dyn Fn(usize) -> u8; 3] = [&|_| 0, &|_| 255, &|i| noise[i]];
        for codes in codes {
            let w = plain(home, (n, k), format, codes);
            for m in [1, 2, 3, 4, 13] {
                for pattern in patterns {
                    let mut x = numbers(5, m * k);
                    for (i, x) in x.iter_mut().enumerate() {
                        *x = if i % 32 == 31 { 127.0 } else { whole(pattern(*x, i)) };
                    }
                    let x = home.tensor(&[m, k], x);
                    let truth = reference::quantized_matmul(&x, &w).to_vec();
                    for level in Level::all() {
                        for device in &devices {
                            let y = multiply(level, &moved(&x, device), &w).to_vec();
                            assert_eq!(y, truth, "{format:?} on {level:?}, {m} rows");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_not_finite_shows_in_its_row_and_nowhere_else() {
    for precision in [Precision::Exact, Precision::Bf16, Precision::Fast] {
        for quantization in quantizations() {
            let device = device(precision, 1);
            let (n, k) = (18, 3 * quantization.group_size);
            let w = quantized(&device, 2, n, k, quantization);
            for (m, bad_row) in [(1, 0), (2, 1), (5, 2), (14, 13)] {
                for (bad, at) in [(f32::NAN, 0), (f32::INFINITY, k - 1), (f32::NEG_INFINITY, k / 2)]
                {
                    let good = numbers(1, m * k);
                    let mut spoiled = good.clone();
                    spoiled[bad_row * k + at] = bad;
                    for level in Level::all() {
                        let good = multiply(level, &device.tensor(&[m, k], good.clone()), &w);
                        let y = multiply(level, &device.tensor(&[m, k], spoiled.clone()), &w);
                        let rows = y.to_vec();
                        for (i, row) in rows.chunks(n).enumerate() {
                            if i == bad_row {
                                assert!(row.iter().all(|y| !y.is_finite()), "{level:?} {row:?}");
                            } else {
                                assert_eq!(row, &good.to_vec()[i * n..][..n], "{level:?}");
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_scale_that_is_no_number_spoils_its_row_of_the_weight_and_no_other() {
    let quantization = Quantization {
        mode: QuantizationMode::Affine,
        bits: 4,
        group_size: 32,
        scales: DType::BF16,
    };
    for precision in [Precision::Exact, Precision::Bf16, Precision::Fast] {
        let device = device(precision, 1);
        // Of 18 groups the last two are alone in their vector of scales.
        let (n, k, bad_row) = (18, 18 * 32, 7);
        let mut w = quantized(&device, 2, n, k, quantization);
        let mut scales = w.scales.bytes().to_vec();
        scales[bad_row * 18 * 2..][..2].copy_from_slice(&bf16::NAN.to_le_bytes());
        w.scales = device.wrap(&[n, 18], DType::BF16, scales.into());
        for m in [1, 3, 4, 13] {
            let x = activations(&device, 1, &[m, k]);
            for level in Level::all() {
                for row in multiply(level, &x, &w).to_vec().chunks(n) {
                    for (j, y) in row.iter().enumerate() {
                        assert_eq!(y.is_nan(), j == bad_row, "{level:?} {m} rows, column {j}");
                    }
                }
            }
        }
    }
}

#[test]
fn nothing_times_anything_is_nothing() {
    for precision in [Precision::Exact, Precision::Bf16, Precision::Fast] {
        let device = device(precision, 1);
        for quantization in quantizations() {
            let (n, k) = (5, 2 * quantization.group_size);
            let w = quantized(&device, 2, n, k, quantization);
            for level in Level::all() {
                for m in [1, 4] {
                    let y = multiply(level, &device.tensor(&[m, k], vec![0.0; m * k]), &w);
                    assert_eq!(y.to_vec(), vec![0.0; m * n], "{level:?} {quantization:?}");
                }
                assert_eq!(multiply(level, &device.tensor(&[0, k], vec![]), &w).shape(), [0, n]);
            }
        }
    }
}

/// Activations from the smallest normal numbers to the largest keep their relative precision.
#[test]
fn the_size_of_activations_does_not_matter() {
    let device = device(Precision::Fast, 1);
    let quantization = quantizations()[7];
    let (n, k) = (6, 128);
    let w = quantized(&device, 2, n, k, quantization);
    let x = activations(&device, 1, &[4, k]);
    for level in Level::all() {
        let y = multiply(level, &x, &w).to_vec();
        for power in [-100, -30, 30, 100] {
            let factor = 2.0_f32.powi(power);
            let scaled = x.to_vec().iter().map(|x| x * factor).collect();
            let scaled = multiply(level, &device.tensor(&[4, k], scaled), &w);
            let back = scaled.to_vec().iter().map(|y| y / factor).collect::<Vec<_>>();
            assert_close(&device.tensor(&[4, n], back), &device.tensor(&[4, n], y.clone()), 1e-5);
        }
    }
}
