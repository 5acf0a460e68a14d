//! The tiny checkpoints under `fixtures/models` and what their references computed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use checkpoint::{Dtype, Folder};
use kernels::{CpuOptions, DType, Device, Isa, MlxOptions, Precision, Tensor, WeightLayout};
use models::{Batch, Cache, Classifier, Decoder, Encoder, LayerCache, Model, Network};

pub(crate) const PAGE: usize = 4;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models")
}

/// The names of all fixtures, sorted.
pub(crate) fn all() -> Vec<String> {
    let entries = fs::read_dir(root()).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("golden.safetensors").exists())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn device(isa: Isa, precision: Precision) -> Device {
    Device::cpu(CpuOptions {
        threads: Some(2),
        isa: Some(isa),
        precision,
        weights: WeightLayout::Panels,
    })
    .unwrap()
}

/// MLX in 32-bit floats, where it is installed.
pub(crate) fn mlx() -> Option<Device> {
    testkit::mlx::opened(|library| {
        let options = MlxOptions::new(library.to_owned());
        Device::mlx(&MlxOptions { precision: Precision::Exact, ..options })
    })
}

/// MLX with activations that follow the weights, as on a GPU.
pub(crate) fn mlx_of_16_bits() -> Option<Device> {
    testkit::mlx::opened(|library| {
        let options = MlxOptions::new(library.to_owned());
        Device::mlx(&MlxOptions { follow_weights: true, ..options })
    })
}

/// A fixture, loaded.
pub(crate) struct Fixture {
    pub(crate) model: Model,
    pub(crate) device: Device,
}

impl Fixture {
    pub(crate) fn load(name: &str, isa: Isa, precision: Precision) -> Self {
        Self::on(name, device(isa, precision))
    }

    pub(crate) fn on(name: &str, device: Device) -> Self {
        Self::at(&root().join(name), device)
    }

    pub(crate) fn at(path: &Path, device: Device) -> Self {
        let folder = Folder::open(path).unwrap();
        let model = models::load(&folder, &device)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { model, device }
    }

    pub(crate) fn decoder(&self) -> Option<&dyn Decoder> {
        match &self.model.network {
            Network::Decoder(decoder) => Some(&**decoder),
            Network::Encoder(_) | Network::Classifier(_) => None,
        }
    }

    pub(crate) fn encoder(&self) -> Option<&dyn Encoder> {
        self.model.network.encoder()
    }

    pub(crate) fn classifier(&self) -> Option<&dyn Classifier> {
        match &self.model.network {
            Network::Classifier(classifier) => Some(&**classifier),
            Network::Encoder(_) | Network::Decoder(_) => None,
        }
    }

    /// A cache of 64 pages, in `f32` but where activations are not.
    pub(crate) fn cache(&self) -> Cache {
        self.cache_of(64)
    }

    /// The same of this many pages.
    pub(crate) fn cache_of(&self, pages: usize) -> Cache {
        let layers: Vec<LayerCache> = self.decoder().unwrap().layers();
        let rounded = self.device.as_mlx().is_some_and(|mlx| mlx.is_native());
        let dtype = if rounded { self.device.cache_dtype() } else { DType::F32 };
        Cache::new(&self.device, &layers, PAGE, pages, dtype)
    }
}

/// Logits for every row of a batch with a single sequence in fresh pages, and the activations.
pub(crate) fn logits(fixture: &Fixture, tokens: &[u32]) -> (Tensor, Vec<(String, Tensor)>) {
    let mut batch = Batch::default();
    batch.push(tokens, 0, (0..tokens.len().div_ceil(PAGE) as u32).collect());
    batch.record();
    let decoder = fixture.decoder().unwrap();
    let logits = decoder.unembed(&decoder.forward(&batch, &mut fixture.cache()));
    (logits, batch.recorded())
}

/// What a reference computed.
pub(crate) struct Golden {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Golden {
    pub(crate) fn read(name: &str) -> Self {
        Self::at(&root().join(name).join("golden.safetensors"))
    }

    pub(crate) fn at(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let files = [
            ("config.json".to_owned(), b"{}".as_slice().into()),
            ("model.safetensors".to_owned(), bytes.into()),
        ];
        let folder = Folder::from_files(files.into()).unwrap();
        let (index, weights) = (folder.index().unwrap(), folder.weights().unwrap());
        let mut tensors = BTreeMap::new();
        for tensor in &index.tensors {
            let shape = weights.root().shape(&tensor.name).unwrap();
            let raw = weights.root().take_stored(&tensor.name, &shape).unwrap();
            let words = raw.bytes.as_chunks().0.iter();
            let values = if raw.dtype == Dtype::I32 {
                words.map(|word| i32::from_le_bytes(*word) as f32).collect()
            } else {
                assert_eq!(raw.dtype, Dtype::F32);
                words.map(|word| f32::from_le_bytes(*word)).collect()
            };
            tensors.insert(tensor.name.clone(), (shape, values));
        }
        Self { tensors }
    }

    pub(crate) fn shape(&self, name: &str) -> &[usize] {
        &self.tensors[name].0
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(crate) fn values(&self, name: &str) -> &[f32] {
        &self.tensors.get(name).unwrap_or_else(|| panic!("the golden has no `{name}`")).1
    }

    pub(crate) fn tokens(&self, name: &str) -> Vec<u32> {
        self.values(name).iter().map(|&token| token as u32).collect()
    }
}

/// The largest difference, relative to the largest value of `truth`.
pub(crate) fn difference(ours: &[f32], truth: &[f32]) -> f32 {
    assert_eq!(ours.len(), truth.len());
    let scale = truth.iter().fold(f32::MIN_POSITIVE, |max, x| max.max(x.abs()));
    // A NaN must not pass for the smallest of differences.
    let larger = |max: f32, d: f32| if d > max || d.is_nan() { d } else { max };
    ours.iter().zip(truth).map(|(a, b)| (a - b).abs() / scale).fold(0.0, larger)
}

pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
