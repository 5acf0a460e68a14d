//! Codes and scales, against MLX's and against the plain quantizers of `testkit`.

use checkpoint::{Dtype, Folder, Mode, Quantization, Weights};
use forge::quantize;
use proptest::prelude::*;
use testkit::quantize as plain;

use crate::conversions::fixtures;

fn golden() -> Weights {
    let file = std::fs::read(fixtures().join("quantize/golden.safetensors")).unwrap();
    let files = [
        ("config.json".to_owned(), b"{}".as_slice().into()),
        ("model.safetensors".to_owned(), file.into()),
    ];
    Folder::from_files(files.into()).unwrap().weights().unwrap()
}

fn how(mode: Mode, bits: u64, group_size: u64) -> Quantization {
    Quantization::new(mode, bits, group_size).unwrap()
}

#[test]
fn affine_codes_are_those_of_mlx() {
    let golden = golden();
    let bytes = |name: String| golden.get(&name).unwrap().bytes.to_vec();
    for bits in [2, 3, 4, 5, 6, 8] {
        for group in [32, 64, 128] {
            let name = format!("affine_{bits}_g{group}");
            let ours = quantize(&bytes("w".to_owned()), Dtype::F32, how(Mode::Affine, bits, group));
            assert_eq!(ours.weight, bytes(format!("{name}.weight")), "{name}");
            assert_eq!(ours.scales, bytes(format!("{name}.scales")), "{name}");
            assert_eq!(ours.biases, bytes(format!("{name}.biases")), "{name}");
        }
    }
}

#[test]
fn microscaled_codes_are_those_of_mlx() {
    let golden = golden();
    let bytes = |name: &str| golden.get(name).unwrap().bytes.to_vec();
    for mode in [Mode::Mxfp4, Mode::Mxfp8, Mode::Nvfp4] {
        let ours = quantize(&bytes("w"), Dtype::F32, mode.default_parameters());
        // The golden keeps them as 32-bit words.
        let theirs = bytes(&format!("{mode}.scales"));
        let theirs: Vec<u8> = theirs.chunks_exact(4).map(|word| word[0]).collect();
        assert_eq!(ours.scales, theirs, "{mode}");
        assert_eq!(ours.weight, bytes(&format!("{mode}.weight")), "{mode}");
    }
}

/// Root mean square distance of what codes stand for from `w`.
fn distance(w: &[f32], codes: &[u8], (scales, biases): (&[f32], &[f32]), bits: u32) -> f64 {
    let values = plain::affine_values(codes, scales, biases, bits, 64);
    let sum: f64 = w.iter().zip(values).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (sum / w.len() as f64).sqrt()
}

#[test]
fn codes_under_rounded_scales_come_nearer() {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        half::bf16::from_f32((state >> 8) as f32 / (1 << 23) as f32 - 1.0)
    };
    let w: Vec<half::bf16> = (0..64 * 256).map(|_| next()).collect();
    let bytes: Vec<u8> = w.iter().flat_map(|value| value.to_le_bytes()).collect();
    let w: Vec<f32> = w.into_iter().map(half::bf16::to_f32).collect();
    for bits in [4, 8] {
        let ours = quantize(&bytes, Dtype::BF16, how(Mode::Affine, bits.into(), 64));
        let read = |bytes: &[u8]| -> Vec<f32> {
            bytes.as_chunks().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect()
        };
        let (scales, biases) = (read(&ours.scales), read(&ours.biases));
        // MLX's codes stand under the same rounded scales, but were found under the exact ones.
        let (theirs, ..) = plain::affine(&w, 64, 256, bits, 64);
        let near = distance(&w, &ours.weight, (&scales, &biases), bits);
        let far = distance(&w, &theirs, (&scales, &biases), bits);
        assert!(near <= far, "{bits} bits: {near} over {far}");
        assert!(bits < 8 || near < far * 0.95, "{bits} bits: {near} hardly under {far}");
    }
}

proptest! {
    #[test]
    fn any_numbers_are_encoded_as_the_plain_quantizers_do(
        w in prop::collection::vec(prop_oneof![-4.0_f32..4.0, Just(0.0), -1e30_f32..1e30, -1e-30_f32..1e-30], 256),
        bits in prop::sample::select(vec![2_u32, 3, 4, 5, 6, 8]),
    ) {
        let bytes: Vec<u8> = w.iter().flat_map(|value| value.to_le_bytes()).collect();
        let ours = quantize(&bytes, Dtype::F32, how(Mode::Affine, bits.into(), 32));
        let (codes, scales, biases) = plain::affine(&w, 2, 128, bits, 32);
        prop_assert_eq!(ours.weight, codes);
        prop_assert_eq!(ours.scales, testkit::safetensors::f32_bytes(&scales));
        prop_assert_eq!(ours.biases, testkit::safetensors::f32_bytes(&biases));
        for (mode, (codes, scales)) in [
            (Mode::Mxfp4, plain::mxfp4(&w, 2, 128)),
            (Mode::Mxfp8, plain::mxfp8(&w, 2, 128)),
            (Mode::Nvfp4, plain::nvfp4(&w, 2, 128, None)),
        ] {
            let ours = quantize(&bytes, Dtype::F32, mode.default_parameters());
            prop_assert_eq!(ours.weight, codes, "{}", mode);
            prop_assert_eq!(ours.scales, scales, "{}", mode);
        }
    }
}
