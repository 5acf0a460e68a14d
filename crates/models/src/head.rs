//! What turns the hidden states of a passage into its embedding: the steps that
//! sentence-transformers' files list.

use checkpoint::{Activation, Dense, Folder, Module, Pooling, PoolingMode};
use kernels::ops::{Gelu, gelu};
use kernels::{Device, Span, Tensor};

use crate::nn::Linear;
use crate::{Error, Result, Scope, normalize, pool};

/// The steps after a network, in order.
#[derive(Debug)]
pub struct EmbeddingHead {
    steps: Vec<Step>,
    width: usize,
}

#[derive(Debug)]
enum Step {
    Pool(Vec<PoolingMode>),
    Dense(Box<Linear>, Activation),
    Normalize,
}

impl EmbeddingHead {
    /// The steps of `folder`, or the mean of all tokens, of length one, where no file lists any.
    /// `hidden` is the width of the network's hidden states.
    ///
    /// # Errors
    ///
    /// If a step does not fit the one before it, or its tensors are missing.
    pub fn load(folder: &Folder, device: &Device, hidden: usize) -> Result<Self> {
        let Some(files) = folder.sentence_transformers()? else {
            let steps = vec![Step::Pool(vec![PoolingMode::Mean]), Step::Normalize];
            return Ok(Self { steps, width: hidden });
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
        Ok(Self { steps, width })
    }

    /// The length of an embedding.
    pub fn width(&self) -> usize {
        self.width
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

fn activate(activation: Activation, x: &Tensor) -> Vec<f32> {
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
