//! The quantizers that tests use, against what MLX makes of the same numbers.

use std::fs;
use std::path::Path;

use checkpoint::{Folder, Weights};
use testkit::quantize;

fn golden() -> Weights {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/quantize/golden.safetensors");
    let files = [
        ("config.json".to_owned(), b"{}".as_slice().into()),
        ("model.safetensors".to_owned(), fs::read(path).unwrap().into()),
    ];
    Folder::from_files(files.into()).unwrap().weights().unwrap()
}

/// The little-endian words of a tensor.
fn words(golden: &Weights, name: &str) -> Vec<[u8; 4]> {
    let shape = golden.root().shape(name).unwrap();
    golden.root().take_stored(name, &shape).unwrap().bytes.as_chunks().0.to_vec()
}

fn floats(golden: &Weights, name: &str) -> Vec<f32> {
    words(golden, name).into_iter().map(f32::from_le_bytes).collect()
}

const ROWS: usize = 17;
const COLUMNS: usize = 128;

#[test]
fn affine_codes_are_those_of_mlx() {
    let golden = golden();
    let w = floats(&golden, "w");
    for bits in [2, 3, 4, 5, 6, 8] {
        for group in [32, 64, 128] {
            let name = format!("affine_{bits}_g{group}");
            let (codes, scales, biases) = quantize::affine(&w, ROWS, COLUMNS, bits, group);
            assert_eq!(codes, words(&golden, &format!("{name}.weight")).concat(), "{name}");
            assert_eq!(scales, floats(&golden, &format!("{name}.scales")), "{name}");
            assert_eq!(biases, floats(&golden, &format!("{name}.biases")), "{name}");
        }
    }
}

#[test]
fn microscaled_codes_are_those_of_mlx() {
    let golden = golden();
    let w = floats(&golden, "w");
    for (name, (codes, scales)) in [
        ("mxfp4", quantize::mxfp4(&w, ROWS, COLUMNS)),
        ("mxfp8", quantize::mxfp8(&w, ROWS, COLUMNS)),
        ("nvfp4", quantize::nvfp4(&w, ROWS, COLUMNS, None)),
    ] {
        let theirs = words(&golden, &format!("{name}.scales")).into_iter();
        let theirs: Vec<_> = theirs.map(|word| i32::from_le_bytes(word) as u8).collect();
        assert_eq!(scales, theirs, "{name}");
        assert_eq!(codes, words(&golden, &format!("{name}.weight")).concat(), "{name}");
    }
}
