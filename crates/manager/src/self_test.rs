//! Whether this machine computes what it should: every operation, and tiny networks whose results
//! their references computed, on every backend. For machines that no test has ever run on.

use std::collections::BTreeMap;

use checkpoint::{Dtype, Folder};
use kernels::self_test::Check;
pub use kernels::self_test::Rate;
use kernels::{CpuOptions, Device, Isa, Precision};
use models::{Batch, Cache, Decoder, Network};

use crate::Environment;
use crate::runtime::{Error, MlxState};

/// What came of one operation, or of one network.
#[derive(Clone, Debug)]
pub struct Row {
    /// The operation or the network.
    pub what: String,
    /// The backend.
    pub backend: String,
    /// How many variants were tried.
    pub tried: usize,
    /// The largest error among them, relative to the largest result; for a network that is not
    /// computed in 32-bit floats, how far the cosine of the logits is from 1.
    pub error: f64,
    /// The most that is right, for that variant.
    pub tolerance: f64,
    /// The best speed among them.
    pub rate: Option<Rate>,
    /// Which variants are wrong, with what is wrong about them.
    pub wrong: Vec<String>,
}

/// A network that is part of the program, with what its reference computed.
struct Golden {
    name: &'static str,
    files: &'static [(&'static str, &'static [u8])],
    golden: &'static [u8],
}

macro_rules! golden {
    ($name:literal) => {{
        macro_rules! file {
            ($file:literal) => {
                include_bytes!(concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/../../fixtures/models/",
                    $name,
                    "/",
                    $file
                ))
            };
        }
        Golden {
            name: $name,
            files: &[
                ("config.json", file!("config.json")),
                ("model.safetensors", file!("model.safetensors")),
            ],
            golden: file!("golden.safetensors"),
        }
    }};
}

/// Grouped heads in 4 bits, a sliding window in 3, microscaled floats, and an encoder.
const GOLDENS: &[Golden] = &[
    golden!("llama_affine_4_g64"),
    golden!("mistral_affine_3_g32"),
    golden!("llama_nvfp4"),
    golden!("bert_gamma_beta"),
];

/// Tries every backend of the machine and tells `progress` which one is next.
///
/// # Errors
///
/// If a backend that should be there cannot be opened, or an embedded network cannot be read.
pub fn run(environment: &Environment, progress: impl Fn(&str)) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for (backend, device) in backends(environment)? {
        progress(&backend);
        let checks = kernels::self_test::run(&device)?;
        rows.extend(by_operation(&backend, &checks));
        for golden in GOLDENS {
            rows.push(network(&backend, &device, golden)?);
        }
    }
    Ok(rows)
}

/// The CPU with each of its instruction sets, as it answers and with `--exact`; and MLX.
fn backends(environment: &Environment) -> Result<Vec<(String, Device)>, Error> {
    let mut all = Vec::new();
    let precisions = [Precision::Exact, Precision::Bf16, Precision::Fast];
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        for precision in precisions {
            let device =
                Device::cpu(CpuOptions { isa: Some(isa), precision, ..CpuOptions::default() })?;
            let name = match precision {
                Precision::Fast => format!("cpu {isa}"),
                Precision::Exact | Precision::Bf16 => format!("cpu {isa}, {precision}"),
            };
            all.push((name, device));
        }
    }
    for precision in [Precision::Exact, Precision::Fast] {
        let options = CpuOptions { precision, ..CpuOptions::default() };
        let MlxState::Ready(mlx) = MlxState::look(environment, options) else { continue };
        // Without a GPU both are one.
        if mlx.is_gpu() || precision == Precision::Exact {
            let device = if mlx.is_gpu() { "gpu" } else { "cpu" };
            let exact = if mlx.is_native() { "" } else { ", exact" };
            all.push((format!("mlx {device}{exact}"), Device::Mlx(mlx)));
        }
    }
    Ok(all)
}

/// One row for each operation, with its worst variant.
fn by_operation(backend: &str, checks: &[Check]) -> Vec<Row> {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for check in checks {
        let row = rows.entry(check.op).or_insert_with(|| Row {
            what: check.op.to_owned(),
            backend: backend.to_owned(),
            tried: 0,
            error: 0.0,
            tolerance: f64::INFINITY,
            rate: None,
            wrong: Vec::new(),
        });
        let (error, tolerance) = (f64::from(check.error), f64::from(check.tolerance));
        row.tried += 1;
        if row.tried == 1 || error.is_nan() || error / tolerance > row.error / row.tolerance {
            (row.error, row.tolerance) = (error, tolerance);
        }
        row.rate = Some(match (row.rate, check.rate) {
            (Some(Rate::Operations(a)), Rate::Operations(b)) => Rate::Operations(a.max(b)),
            (Some(Rate::Operations(a)), Rate::Bytes(_)) => Rate::Operations(a),
            (Some(Rate::Bytes(a)), Rate::Bytes(b)) => Rate::Bytes(a.max(b)),
            (Some(Rate::Bytes(_)) | None, rate) => rate,
        });
        if !check.is_right() {
            let why = match &check.failure {
                Some(failure) => failure.clone(),
                None => format!("error {error:.1e}"),
            };
            row.wrong.push(format!("{}: {why}", check.variant));
        }
    }
    rows.into_values().collect()
}

/// The logits or hidden states of an embedded network against those of its reference; a decoder
/// also continues its text token by token, over its cache.
fn network(backend: &str, device: &Device, golden: &Golden) -> Result<Row, Error> {
    let files = golden.files.iter().map(|(name, bytes)| ((*name).to_owned(), (*bytes).into()));
    let folder = Folder::from_files(files.collect()).map_err(models::Error::from)?;
    let truth = Truth::read(golden)?;
    let model = models::load(&folder, device)?;
    let is_exact = match device {
        Device::Cpu(cpu) => cpu.precision() == Precision::Exact,
        Device::Mlx(mlx) => !mlx.is_native(),
    };
    let mut wrong = Vec::new();
    let ours = match &model.network {
        Network::Decoder(decoder) => {
            let (logits, text) = continued(&**decoder, device, &truth);
            // Rounded numbers may choose another of two likely tokens.
            if is_exact && text != truth.tokens("greedy") {
                wrong.push("the continuation is another".to_owned());
            }
            logits
        }
        network @ (Network::Encoder(_) | Network::Classifier(_)) => {
            let mut batch = Batch::default();
            let (tokens, mut from) = (truth.tokens("tokens"), 0);
            for length in truth.tokens("lengths") {
                batch.push(&tokens[from..from + length as usize], 0, Vec::new());
                from += length as usize;
            }
            network.encoder().map_or_else(Vec::new, |encoder| encoder.forward(&batch).to_vec())
        }
    };
    let name = if truth.values.contains_key("logits") { "logits" } else { "last_hidden_state" };
    let expected = truth.values.get(name).map_or(&[][..], Vec::as_slice);
    let (error, tolerance) = if is_exact {
        (difference(&ours, expected), 1e-4)
    } else {
        (1.0 - cosine(&ours, expected), 1e-3)
    };
    wrong.extend(device.take_failure());
    if error.is_nan() || error > tolerance {
        wrong.push(format!("error {error:.1e}"));
    }
    let (what, backend) = (golden.name.to_owned(), backend.to_owned());
    Ok(Row { what, backend, tried: 1, error, tolerance, rate: None, wrong })
}

/// The logits of every token of the prompt, and the likeliest tokens after it.
fn continued(decoder: &dyn Decoder, device: &Device, truth: &Truth) -> (Vec<f32>, Vec<u32>) {
    const PAGE: usize = 16;
    let (mut tokens, wanted) = (truth.tokens("tokens"), truth.tokens("greedy").len());
    let pages: Vec<u32> = (0..(tokens.len() + wanted).div_ceil(PAGE) as u32).collect();
    let dtype = device.cache_dtype();
    let mut cache = Cache::new(device, &decoder.layers(), PAGE, pages.len(), dtype);
    let (mut start, mut first, mut text) = (0, None, Vec::new());
    while text.len() < wanted {
        let mut batch = Batch::default();
        batch.push(&tokens[start..], start, pages.clone());
        start = tokens.len();
        let logits = decoder.unembed(&decoder.forward(&batch, &mut cache));
        let (rows, width) = (logits.to_vec(), logits.width());
        let last = (0..).zip(&rows[rows.len().saturating_sub(width)..]);
        let likeliest = last.max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(token, _)| token);
        first.get_or_insert(rows);
        tokens.push(likeliest);
        text.push(likeliest);
    }
    (first.unwrap_or_default(), text)
}

/// What a reference computed.
struct Truth {
    values: BTreeMap<String, Vec<f32>>,
}

impl Truth {
    fn read(golden: &Golden) -> Result<Self, Error> {
        let files = [
            ("config.json".to_owned(), b"{}".as_slice().into()),
            ("model.safetensors".to_owned(), golden.golden.into()),
        ];
        let read = || -> Result<_, checkpoint::Error> {
            let folder = Folder::from_files(files.into())?;
            let (index, weights) = (folder.index()?, folder.weights()?);
            let mut values = BTreeMap::new();
            for tensor in &index.tensors {
                let shape = weights.root().shape(&tensor.name).unwrap_or_default();
                let raw = weights.root().take_stored(&tensor.name, &shape)?;
                let words = raw.bytes.as_chunks().0.iter();
                let numbers = if raw.dtype == Dtype::I32 {
                    words.map(|word| i32::from_le_bytes(*word) as f32).collect()
                } else {
                    words.map(|word| f32::from_le_bytes(*word)).collect()
                };
                values.insert(tensor.name.clone(), numbers);
            }
            Ok(values)
        };
        Ok(Self { values: read().map_err(models::Error::from)? })
    }

    fn tokens(&self, name: &str) -> Vec<u32> {
        self.values.get(name).into_iter().flatten().map(|&token| token as u32).collect()
    }
}

/// The largest difference, relative to the largest element of `truth`. NaN is never lost.
fn difference(ours: &[f32], truth: &[f32]) -> f64 {
    if ours.len() != truth.len() {
        return f64::NAN;
    }
    let scale = truth.iter().fold(f32::MIN_POSITIVE, |max, x| max.max(x.abs()));
    let larger = |max: f32, d: f32| if d > max || d.is_nan() { d } else { max };
    f64::from(ours.iter().zip(truth).map(|(a, b)| (a - b).abs() / scale).fold(0.0, larger))
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return f64::NAN;
    }
    let dot = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_networks_are_right_on_this_machine() {
        let device = Device::cpu(CpuOptions::default()).unwrap();
        for golden in GOLDENS {
            let row = network("cpu", &device, golden).unwrap();
            assert!(row.wrong.is_empty(), "{row:?}");
        }
    }

    #[test]
    fn the_worst_variant_is_shown_and_every_wrong_one_named() {
        let check = |variant: &str, error, rate| Check {
            op: "matmul",
            variant: variant.to_owned(),
            error,
            tolerance: 1e-4,
            failure: None,
            rate,
        };
        let checks = [
            check("a", 1e-5, Rate::Bytes(5.0)),
            check("b", 3e-2, Rate::Operations(7.0)),
            check("c", f32::NAN, Rate::Bytes(9.0)),
        ];
        let rows = by_operation("cpu", &checks);
        assert_eq!(rows.len(), 1);
        assert!(rows[0].error.is_nan() && rows[0].tried == 3);
        assert_eq!(rows[0].wrong, ["b: error 3.0e-2", "c: error NaN"]);
        assert!(matches!(rows[0].rate, Some(Rate::Operations(rate)) if rate == 7.0));
    }
}
