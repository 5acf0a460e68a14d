//! Matrices by name: dense and in every quantization, and every way in which their parts may not fit.

use bytes::Bytes;
use checkpoint::{
    Dtype, Error, Kind, Matrix, Mode, Path, Quantization, QuantizationRules, RawTensor, Weights,
};
use testkit::quantize;
use testkit::safetensors::f32_bytes;

use crate::{folder, names};

const ROWS: usize = 4;
const COLUMNS: usize = 256;

fn tensor(name: &str, dtype: Dtype, shape: &[usize]) -> RawTensor {
    let bytes = vec![0; shape.iter().product::<usize>() * dtype.bits() / 8];
    RawTensor { name: name.to_owned(), dtype, shape: shape.to_vec(), bytes: bytes.into() }
}

/// A quantized matrix at `q`, all zero.
fn parts(quantization: Quantization, dtype: Dtype) -> Vec<RawTensor> {
    let (words, groups) = quantization.stored_shapes(ROWS, COLUMNS).unwrap();
    let mut parts =
        vec![tensor("q.weight", Dtype::U32, &words), tensor("q.scales", dtype, &groups)];
    if quantization.mode == Mode::Affine {
        parts.push(tensor("q.biases", dtype, &groups));
    }
    parts
}

fn affine(bits: u32, group_size: usize) -> Quantization {
    Quantization { mode: Mode::Affine, bits, group_size }
}

fn rules(json: &str) -> QuantizationRules {
    let config = format!(r#"{{"quantization": {json}}}"#);
    folder(&[("config.json", config.into())]).unwrap().config().quantization().unwrap()
}

fn take(parts: Vec<RawTensor>, rules: QuantizationRules) -> Result<Matrix, Error> {
    let weights = Weights::from_tensors(parts).unwrap().with_quantization(rules);
    let matrix = weights.root().at("q").matrix(ROWS, COLUMNS)?;
    weights.finish()?;
    Ok(matrix)
}

#[track_caller]
fn quantization(matrix: &Matrix) -> Quantization {
    match matrix {
        Matrix::Quantized(matrix) => matrix.quantization,
        Matrix::Dense(weight) => panic!("{weight:?} is dense"),
    }
}

#[test]
fn every_quantization_follows_from_shapes_alone() {
    let mut all: Vec<Quantization> = vec![];
    for bits in [2, 3, 4, 5, 6, 8] {
        all.extend([32, 64, 128].map(|group| affine(bits, group)));
    }
    all.extend([Mode::Mxfp4, Mode::Mxfp8, Mode::Nvfp4].map(Mode::default_parameters));
    for expected in all {
        let dtypes: &[Dtype] = if expected.mode == Mode::Affine {
            &[Dtype::BF16, Dtype::F16, Dtype::F32]
        } else {
            &[Dtype::U8]
        };
        for dtype in dtypes {
            // The default of the file says nothing about a matrix that is not listed.
            for rules in [QuantizationRules::default(), QuantizationRules::uniform(affine(4, 64))] {
                let matrix = take(parts(expected, *dtype), rules).unwrap();
                assert_eq!(quantization(&matrix), expected);
                assert_eq!((matrix.rows(), matrix.columns()), (ROWS, COLUMNS));
            }
        }
    }
}

#[test]
fn real_codes_come_through_a_file() {
    let w: Vec<f32> =
        (0..ROWS * COLUMNS).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
    let (packed, scales, biases) = quantize::affine(&w, ROWS, COLUMNS, 3, 64);
    let file = testkit::safetensors::encode(
        &[
            ("l.weight", "U32", &[ROWS, COLUMNS * 3 / 32], &packed),
            ("l.scales", "F32", &[ROWS, 4], &f32_bytes(&scales)),
            ("l.biases", "F32", &[ROWS, 4], &f32_bytes(&biases)),
            ("l.bias", "F32", &[ROWS], &[0; 16]),
        ],
        &[("format", "mlx")],
    );
    let config = r#"{"model_type": "llama", "quantization": {"group_size": 64, "bits": 3}}"#;
    let folder = folder(&[("config.json", config.into()), ("model.safetensors", file)]).unwrap();
    let weights = folder.weights().unwrap();
    let place = weights.root().at("l");
    let Matrix::Quantized(matrix) = place.matrix(ROWS, COLUMNS).unwrap() else { panic!("dense") };
    assert_eq!(matrix.weight.bytes, packed);
    assert_eq!(matrix.quantization, affine(3, 64));
    assert!(place.take_optional("bias", &[ROWS]).unwrap().is_some());
    weights.finish().unwrap();
    let index = folder.index().unwrap();
    assert_eq!(index.parameters(), (ROWS * COLUMNS + ROWS) as u64);
    assert_eq!(index.get("l.weight").unwrap().quantization, Some(affine(3, 64)));
    let bits =
        (ROWS * COLUMNS * 3 + 2 * 16 * 32 + ROWS * 32) as f64 / (ROWS * COLUMNS + ROWS) as f64;
    assert!((index.bits_per_weight().unwrap() - bits).abs() < 1e-9);
    assert_eq!(index.parameters_by_quantization().len(), 2);
}

#[test]
fn what_is_listed_rules() {
    let six = parts(affine(6, 64), Dtype::BF16);
    let own = rules(r#"{"group_size": 64, "bits": 4, "q": {"bits": 6, "group_size": null}}"#);
    assert_eq!(quantization(&take(six.clone(), own).unwrap()), affine(6, 64));
    assert_eq!(
        quantization(
            &take(six.clone(), rules(r#"{"group_size": 64, "bits": 6, "q": true}"#)).unwrap()
        ),
        affine(6, 64)
    );
    // Declared and stored contradict each other.
    let error =
        take(six.clone(), rules(r#"{"group_size": 64, "bits": 4, "q": {"bits": 4}}"#)).unwrap_err();
    assert!(
        matches!(&error, Error::Shape { expected, found, .. } if expected == &[4, 32] && found == &[4, 48])
    );
    names(&error, &["`q.weight`"]);
    let error = take(six.clone(), rules(r#"{"q": {"group_size": 128, "bits": 6}}"#)).unwrap_err();
    names(&error, &["`q.scales`", "[4, 4]", "[4, 2]"]);
    let error = take(six.clone(), rules(r#"{"bits": 6, "q": false}"#)).unwrap_err();
    assert!(matches!(error, Error::ScalesUnexpected { .. }));
    names(&error, &["config.json", "`q`"]);
    let error = take(six, rules(r#"{"q": {"mode": "mxfp8"}}"#)).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
    let eight = parts(affine(8, 32), Dtype::F16);
    let error = take(eight, rules(r#"{"q": {"mode": "mxfp8"}}"#)).unwrap_err();
    assert!(matches!(error, Error::WrongDtype { found: Dtype::F16, .. }), "{error}");
    let dense = vec![tensor("q.weight", Dtype::BF16, &[ROWS, COLUMNS])];
    assert!(matches!(
        take(dense.clone(), rules(r#"{"bits": 4, "q": false}"#)),
        Ok(Matrix::Dense(_))
    ));
    assert!(matches!(take(dense.clone(), rules(r#"{"bits": 4}"#)), Ok(Matrix::Dense(_))));
    let error = take(dense, rules(r#"{"q": {"bits": 6}}"#)).unwrap_err();
    assert!(matches!(error, Error::ScalesMissing { .. }));
    names(&error, &["`q.scales`", "affine with 6 bits and groups of 64"]);
}

#[test]
fn a_missing_part_is_named() {
    for missing in ["weight", "scales", "biases"] {
        let mut parts = parts(affine(4, 64), Dtype::BF16);
        parts.retain(|tensor| !tensor.name.ends_with(missing));
        let error = take(parts, rules(r#"{"bits": 4}"#)).unwrap_err();
        assert!(matches!(error, Error::MissingTensor { .. }), "{error}");
        names(&error, &[&format!("`q.{missing}`")]);
    }
    let error = take(Vec::new(), rules(r#"{"q": {"bits": 4}}"#)).unwrap_err();
    names(&error, &["`q.weight` is missing"]);
}

#[test]
fn parts_of_the_wrong_sort_are_named() {
    let change = |index: usize, dtype: Dtype, shape: &[usize]| {
        let mut parts = parts(affine(4, 64), Dtype::BF16);
        parts[index] = tensor(&parts[index].name, dtype, shape);
        take(parts, QuantizationRules::default()).unwrap_err()
    };
    names(&change(0, Dtype::U32, &[5, 32]), &["`q.weight`", "[5, 32]", "[4, 32]"]);
    names(&change(0, Dtype::U32, &[4, 32, 1]), &["`q`"]);
    names(&change(0, Dtype::I32, &[4, 32]), &["`q.weight`", "I32", "U32"]);
    names(&change(1, Dtype::F64, &[4, 4]), &["`q.scales`", "F64"]);
    names(&change(1, Dtype::U8, &[4, 4]), &["`q`", "mxfp4 with 4 bits and groups of 64"]);
    names(&change(1, Dtype::BF16, &[4, 16]), &["groups of 16"]);
    names(&change(1, Dtype::BF16, &[4, 3]), &["`q`", "[4, 3]", "256 columns"]);
    names(&change(1, Dtype::BF16, &[4, 0]), &["[4, 0]"]);
    names(&change(2, Dtype::F16, &[4, 4]), &["`q.biases`", "F16", "scales"]);
    names(&change(2, Dtype::BF16, &[4, 8]), &["`q.biases`", "[4, 8]"]);
    assert_eq!(change(0, Dtype::U32, &[4, 8]).kind(), Kind::Unsupported, "1 bit");
    assert!(matches!(
        change(0, Dtype::U32, &[4, 0]),
        Error::QuantizationParameters { bits: 0, .. }
    ));
}

#[test]
fn a_width_of_nothing_does_not_divide() {
    let weights = Weights::from_tensors(parts(affine(4, 64), Dtype::F16)).unwrap();
    for columns in [0, 1, 100, usize::MAX] {
        assert!(weights.root().at("q").matrix(ROWS, columns).is_err());
    }
    let weights = weights.with_quantization(rules(r#"{"q": {"bits": 4}}"#));
    for columns in [0, 1, 100, usize::MAX, usize::MAX - 63] {
        assert!(weights.root().at("q").matrix(ROWS, columns).is_err());
    }
}

#[test]
fn the_scale_of_an_nvfp4_matrix_is_read() {
    let nvfp4 = Mode::Nvfp4.default_parameters();
    for shape in [&[][..], &[1]] {
        let mut parts = parts(nvfp4, Dtype::U8);
        let bytes = Bytes::from(2.5f32.to_le_bytes().to_vec());
        parts.push(RawTensor { bytes, ..tensor("q.global_scale", Dtype::F32, shape) });
        let Matrix::Quantized(matrix) = take(parts, QuantizationRules::default()).unwrap() else {
            panic!("dense")
        };
        assert_eq!(matrix.global_scale, Some(2.5));
    }
    let mut parts = parts(nvfp4, Dtype::U8);
    let bytes = Bytes::from(f32::NAN.to_le_bytes().to_vec());
    parts.push(RawTensor { bytes, ..tensor("q.global_scale", Dtype::F32, &[]) });
    names(&take(parts, QuantizationRules::default()).unwrap_err(), &["`q.global_scale`", "NaN"]);
}

#[test]
fn tensors_are_taken_once_and_none_is_left() {
    let list = || {
        ["a.b.weight", "a.b.bias", "a.inv_freq", "a.c.d", "z"]
            .map(|name| tensor(name, Dtype::F32, &[2]))
            .to_vec()
    };
    let weights = Weights::from_tensors(list()).unwrap();
    let root: Path<'_> = weights.root();
    let b = root.at("a").at("b");
    assert_eq!(b.name(), "a.b");
    assert!(
        b.has("weight") && root.has("a") && root.has("a.b") && !root.has("a.b.w") && !root.has("b")
    );
    assert_eq!(b.shape("weight"), Some(vec![2]));
    names(&b.take("weight", &[3]).unwrap_err(), &["`a.b.weight`", "[2]", "[3]"]);
    assert!(b.take("weight", &[2]).is_ok(), "a refused tensor is still there");
    let twice = b.take("weight", &[2]).unwrap_err();
    assert_eq!(twice.kind(), Kind::Internal);
    assert!(b.take_optional("nothing", &[2]).unwrap().is_none());
    root.at("a").ignore("inv_freq");
    root.at("a").at("c").ignore_all();
    let error = weights.finish().unwrap_err();
    assert!(matches!(&error, Error::Unused { names, .. } if names == &["a.b.bias", "z"]));
    names(&error, &["2 tensors", "`a.b.bias`", "`z`"]);
    let weights = Weights::from_tensors(list()).unwrap();
    weights.root().ignore_all();
    weights.finish().unwrap();
    assert!(Weights::from_tensors([list(), list()].concat()).is_err());
    let integers = Weights::from_tensors(vec![tensor("n.weight", Dtype::I64, &[2])]).unwrap();
    let error = integers.root().at("n").take("weight", &[2]).unwrap_err();
    names(&error, &["`n.weight`", "I64", "BF16"]);
    assert!(integers.root().at("n").take_stored("weight", &[2]).is_ok());
}
