//! What turns the hidden states of a passage into its embedding: the steps that
//! sentence-transformers' files list.

use checkpoint::{Activation, Dense, Folder, Module, Pooling, PoolingMode};
use kernels::ops::{Gelu, gelu};
use kernels::{Device, Span, Tensor};
use serde_json::Value;

use crate::nn::Linear;
use crate::{Encoder, Error, Result, Scope, normalize, pool};

/// The steps after a network, in order.
#[derive(Debug)]
pub struct EmbeddingHead {
    steps: Vec<Step>,
    width: usize,
    centred: bool,
    /// Lengths that the model was trained for, where its configuration lists them.
    lengths: Option<Vec<usize>>,
}

/// The field of a configuration that lists the lengths to which embeddings may be cut.
const LENGTHS: &str = "matryoshka_dimensions";

#[derive(Debug)]
enum Step {
    Pool(Vec<PoolingMode>),
    Dense(Box<Linear>, Activation),
    Normalize,
}

impl EmbeddingHead {
    /// The steps of `folder`, or the mean of all tokens, of length one, where no file lists any.
    /// `hidden` is the width of the hidden states of `encoder`.
    ///
    /// # Errors
    ///
    /// If a step does not fit the one before it, or its tensors are missing.
    pub fn load(
        folder: &Folder,
        device: &Device,
        encoder: &dyn Encoder,
        hidden: usize,
    ) -> Result<Self> {
        let centred = encoder.centred_before_cut();
        let lengths = lengths(folder)?;
        let Some(files) = folder.sentence_transformers()? else {
            let steps = vec![Step::Pool(vec![PoolingMode::Mean]), Step::Normalize];
            return Ok(Self { steps, width: hidden, centred, lengths });
        };
        let (mut steps, mut width) = (Vec::new(), hidden);
        for module in files.modules {
            let (step, out) = match module {
                Module::Transformer { path } if path.is_empty() => continue,
                Module::Transformer { path } => {
                    let file = folder.path().join("modules.json");
                    let (field, architecture) = ("path".to_owned(), "transformer");
                    return Err(Error::Unsupported { file, field, value: path, architecture });
                }
                Module::Pooling(Pooling { dimension, modes, .. }) => {
                    expect(folder, "word_embedding_dimension", dimension, width)?;
                    let out = width * modes.len();
                    (Step::Pool(modes), out)
                }
                Module::Normalize => (Step::Normalize, width),
                Module::Dense(Dense { path, inputs, outputs, bias, activation }) => {
                    expect(folder, "in_features", inputs, width)?;
                    let weights = folder.module_weights(&path)?;
                    let scope = Scope::new(weights.root(), folder.config(), device);
                    let linear = Linear::load(&scope.at("linear"), inputs, outputs, bias)?;
                    drop(scope);
                    weights.finish()?;
                    (Step::Dense(Box::new(linear), activation), outputs)
                }
            };
            steps.push(step);
            width = out;
        }
        if !matches!(steps.first(), Some(Step::Pool(_))) {
            steps.insert(0, Step::Pool(vec![PoolingMode::Mean]));
        }
        Ok(Self { steps, width, centred, lengths })
    }

    /// The length of an embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether embeddings may be cut to `dimensions`: some of their elements, and as many as the model was trained for
    /// where its configuration says it.
    pub fn can_cut(&self, dimensions: usize) -> bool {
        let listed = self.lengths.as_ref().is_none_or(|lengths| lengths.contains(&dimensions));
        (1..=self.width).contains(&dimensions) && listed
    }

    /// The lengths that the checkpoint's configuration lists, if it does.
    pub fn lengths(&self) -> Option<&[usize]> {
        self.lengths.as_deref()
    }

    /// Cuts `vector`, an embedding, to its first `dimensions` elements, and gives it the length that the model's own steps
    /// give: one, where they end in that. A model that was trained so has it centred before.
    pub fn cut(&self, vector: &mut Vec<f32>, dimensions: usize) {
        if self.centred {
            centre(vector);
        }
        vector.truncate(dimensions);
        if self.centred || matches!(self.steps.last(), Some(Step::Normalize)) {
            normalize(vector);
        }
    }

    /// The embeddings of the passages that `spans` mark in `hidden: [rows, width]`.
    pub fn apply(&self, hidden: &Tensor, spans: &[Span]) -> Vec<Vec<f32>> {
        let mut vectors = Vec::new();
        for step in &self.steps {
            match step {
                Step::Pool(modes) => vectors = pool(hidden, spans, modes),
                Step::Normalize => vectors.iter_mut().for_each(|vector| normalize(vector)),
                Step::Dense(linear, activation) => {
                    let width = vectors.first().map_or(0, Vec::len);
                    let x = hidden.device().tensor(&[vectors.len(), width], vectors.concat());
                    let y = linear.forward(&x);
                    let rows = activate(*activation, &y);
                    vectors = rows.chunks_exact(y.width().max(1)).map(<[f32]>::to_vec).collect();
                }
            }
        }
        vectors
    }
}

/// Gives `vector` zero mean and unit variance.
fn centre(vector: &mut [f32]) {
    const EPS: f64 = 1e-5;
    let n = vector.len().max(1) as f64;
    let mean = vector.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = vector.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    let scale = (variance + EPS).sqrt().recip();
    vector.iter_mut().for_each(|x| *x = ((f64::from(*x) - mean) * scale) as f32);
}

/// The lengths that `config.json` lists.
fn lengths(folder: &Folder) -> Result<Option<Vec<usize>>> {
    let Some(value) = folder.config().value().get(LENGTHS).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let number = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
    let numbers = value.as_array().and_then(|list| list.iter().map(number).collect());
    match numbers {
        Some(numbers) => Ok(Some(numbers)),
        None => {
            let (file, value) = (folder.config().file().to_owned(), value.to_string());
            Err(Error::Config { file, field: LENGTHS, value, expected: "a list of numbers" })
        }
    }
}

/// `activation` of each element of `x`.
pub fn activate(activation: Activation, x: &Tensor) -> Vec<f32> {
    let each = |f: fn(f32) -> f32| x.to_vec().into_iter().map(f).collect();
    match activation {
        Activation::Identity => x.to_vec(),
        Activation::Tanh => each(f32::tanh),
        Activation::Relu => each(|x| if x < 0.0 { 0.0 } else { x }),
        Activation::Gelu => gelu(x, Gelu::Erf).to_vec(),
        Activation::Silu => each(|x| x / (1.0 + (-x).exp())),
        Activation::Sigmoid => each(|x| 1.0 / (1.0 + (-x).exp())),
    }
}

fn expect(folder: &Folder, field: &'static str, found: usize, width: usize) -> Result<()> {
    if found == width {
        return Ok(());
    }
    let (file, value) = (folder.path().join("modules.json"), format!("{found}, after {width}"));
    Err(Error::Config { file, field, value, expected: "the width of the step before it" })
}
