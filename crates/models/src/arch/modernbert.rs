//! ModernBERT: norms before each block, rotary positions, gated feed-forwards and no biases; most layers see a window only.
//!
//! A token sees `local_attention / 2` others on each side, and all of them in every `global_attn_every_n_layers`-th layer,
//! whose rotary base is another. The first layer's attention has no norm before it, for the embeddings were just normalized.
//!
//! - Reference: `transformers/models/modernbert/modeling_modernbert.py`
//! - Checkpoints: `answerdotai/ModernBERT-base`, `Alibaba-NLP/gte-modernbert-base`,
//!   `Alibaba-NLP/gte-reranker-modernbert-base`

use std::collections::BTreeMap;
use std::sync::Arc;

use kernels::ops::Mask;
use kernels::{Span, Tensor, ops};
use serde::Deserialize;
use serde_json::Value;

use crate::nn::{
    Activation, Embedding, EncoderAttention, EncoderAttentionConfig, LabelConfig, LayerNorm,
    LayerTypes, Linear, RopeConfig, Rotation, first_rows, head_map, mean_rows, refuse_unknown,
};
use crate::{Batch, Classifier, Encoder, Model, Network, Result, Scope};

#[derive(Debug, Deserialize)]
struct Config {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    norm_eps: f32,
    #[serde(default)]
    hidden_activation: Option<Activation>,
    #[serde(default)]
    norm_bias: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    local_attention: usize,
    global_attn_every_n_layers: Option<usize>,
    layer_types: Option<LayerTypes>,
    global_rope_theta: Option<f64>,
    // Null means that of the other layers.
    #[serde(default = "local_theta")]
    local_rope_theta: Option<f64>,
    rope_parameters: Option<RopeParameters>,
    rope_scaling: Option<Value>,
    classifier_pooling: Option<String>,
    #[serde(default)]
    classifier_bias: bool,
    classifier_activation: Option<Activation>,
    #[serde(flatten)]
    labels: LabelConfig,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[expect(clippy::unnecessary_wraps, reason = "a field that may be null")]
const fn local_theta() -> Option<f64> {
    Some(10_000.0)
}

/// The newer spelling of the two rotary bases.
#[derive(Debug, Deserialize)]
struct RopeParameters {
    full_attention: Option<RopeConfig>,
    sliding_attention: Option<RopeConfig>,
}

impl Config {
    fn check(&self, root: &Scope<'_>) -> Result<()> {
        refuse_unknown(root, "modernbert", &self.rest)?;
        let every = self.global_attn_every_n_layers;
        root.expect(every != Some(0), "global_attn_every_n_layers", 0, "above zero")?;
        if let Some(scaling) = self.rope_scaling.as_ref().filter(|scaling| !scaling.is_null()) {
            return Err(root.unsupported("modernbert", "rope_scaling", scaling));
        }
        for (field, act) in [
            ("hidden_activation", self.hidden_activation),
            ("classifier_activation", self.classifier_activation),
        ] {
            let gelu = act != Some(Activation::Silu);
            root.expect(gelu, field, format!("{act:?}"), "a form of gelu")?;
        }
        self.layer_types.as_ref().map_or(Ok(()), |types| types.check(root, self.num_hidden_layers))
    }

    /// Whether `layer` sees whole passages.
    fn is_global(&self, layer: usize) -> bool {
        match &self.layer_types {
            Some(types) => !types.slides(layer),
            None => layer.is_multiple_of(self.global_attn_every_n_layers.unwrap_or(3)),
        }
    }

    /// The frequencies of layers that see whole passages, or of the others.
    fn rope(&self, root: &Scope<'_>, global: bool) -> Result<Rotation> {
        let new = self.rope_parameters.as_ref();
        let (new, theta) = if global {
            (
                new.and_then(|p| p.full_attention.clone()),
                self.global_rope_theta.unwrap_or(160_000.0),
            )
        } else {
            let theta = self.local_rope_theta.or(self.global_rope_theta).unwrap_or(160_000.0);
            (new.and_then(|p| p.sliding_attention.clone()), theta)
        };
        let width = self.hidden_size / self.num_attention_heads.max(1);
        let context = self.max_position_embeddings;
        new.unwrap_or_default().build(root, "modernbert", width, (theta, context))
    }
}

pub(crate) fn build(root: &Scope<'_>) -> Result<Model> {
    let config: Config = root.config().parse("modernbert")?;
    config.check(root)?;
    let c = &config;
    let prefixed = root.at("model").at("embeddings").at("tok_embeddings").has("weight");
    let model = if prefixed { root.at("model") } else { root.clone() };
    let encoder = Modern::load(root, &model, c)?;
    let network = match config.labels.classes(root)? {
        Some(labels) => {
            let pooling = c.classifier_pooling.as_deref().unwrap_or("cls");
            let known = ["cls", "mean"].contains(&pooling);
            root.expect(known, "classifier_pooling", pooling, "cls or mean")?;
            let (head, width) = (root.at("head"), c.hidden_size);
            Network::Classifier(Box::new(ModernClassifier {
                encoder,
                mean: pooling == "mean",
                dense: head_map(&head.at("dense"), width, width, c.classifier_bias)?,
                activation: c.classifier_activation.unwrap_or(Activation::Gelu),
                norm: c.norm(&head.at("norm"))?,
                classifier: head_map(&root.at("classifier"), width, labels, true)?,
                labels,
            }))
        }
        None => {
            root.at("head").ignore_all();
            root.at("decoder").ignore_all();
            Network::Encoder(Box::new(encoder))
        }
    };
    Ok(Model {
        architecture: "modernbert",
        network,
        vocabulary: c.vocab_size,
        context: c.max_position_embeddings,
        hidden: c.hidden_size,
    })
}

impl Config {
    fn norm(&self, scope: &Scope<'_>) -> Result<LayerNorm> {
        LayerNorm::load_as(scope, self.hidden_size, self.norm_eps, self.norm_bias)
    }
}

#[derive(Debug)]
struct Layer {
    name: String,
    attn_norm: Option<LayerNorm>,
    attn: EncoderAttention,
    mlp_norm: LayerNorm,
    wi: Linear,
    wo: Linear,
    activation: Activation,
}

impl Layer {
    fn load(scope: &Scope<'_>, c: &Config, i: usize, rope: Arc<Rotation>) -> Result<Self> {
        let (hidden, wide, mlp) = (c.hidden_size, c.intermediate_size, scope.at("mlp"));
        let mask = if c.is_global(i) { Mask::Full } else { Mask::Local(c.local_attention / 2) };
        let attention = EncoderAttentionConfig {
            width: hidden,
            heads: c.num_attention_heads,
            bias: c.attention_bias,
            output: "Wo",
            rope,
            mask,
        };
        Ok(Self {
            name: format!("layers.{i}"),
            attn_norm: if i == 0 { None } else { Some(c.norm(&scope.at("attn_norm"))?) },
            attn: EncoderAttention::load(&scope.at("attn"), attention)?,
            mlp_norm: c.norm(&scope.at("mlp_norm"))?,
            wi: Linear::load(&mlp.at("Wi"), hidden, wide.saturating_mul(2), c.mlp_bias)?,
            wo: Linear::load(&mlp.at("Wo"), wide, hidden, c.mlp_bias)?,
            activation: c.hidden_activation.unwrap_or(Activation::Gelu),
        })
    }

    fn forward(&self, x: &Tensor, batch: &Batch) -> Tensor {
        let tap = |name, value| batch.tap(&format!("{}.{name}", self.name), value);
        let normed = self.attn_norm.as_ref().map_or_else(|| x.clone(), |norm| norm.forward(x));
        let x = ops::add(x, &tap("attn", self.attn.forward(&normed, batch)));
        let wide = self.wi.forward(&self.mlp_norm.forward(&x));
        let [input, gate] = ops::split(&wide, [wide.width() / 2; 2]);
        let input = self.activation.apply(&input).unwrap_or(input);
        let y = tap("mlp", self.wo.forward(&ops::multiply(&input, &gate)));
        batch.tap(&self.name, ops::add(&x, &y))
    }
}

#[derive(Debug)]
struct Modern {
    tok_embeddings: Embedding,
    norm: LayerNorm,
    layers: Vec<Layer>,
    final_norm: LayerNorm,
}

impl Modern {
    fn load(root: &Scope<'_>, model: &Scope<'_>, c: &Config) -> Result<Self> {
        let embeddings = model.at("embeddings");
        let (global, local) = (Arc::new(c.rope(root, true)?), Arc::new(c.rope(root, false)?));
        let rope = |i| Arc::clone(if c.is_global(i) { &global } else { &local });
        let layers = model.at("layers");
        Ok(Self {
            tok_embeddings: Embedding::table(
                &embeddings.at("tok_embeddings"),
                c.vocab_size,
                c.hidden_size,
            )?,
            norm: c.norm(&embeddings.at("norm"))?,
            layers: (0..c.num_hidden_layers)
                .map(|i| Layer::load(&layers.at(i), c, i, rope(i)))
                .collect::<Result<_>>()?,
            final_norm: c.norm(&model.at("final_norm"))?,
        })
    }
}

impl Encoder for Modern {
    fn forward(&self, batch: &Batch) -> Tensor {
        let words = self.tok_embeddings.forward(&batch.tokens);
        let mut x = batch.tap("embeddings", self.norm.forward(&words));
        for layer in &self.layers {
            x = layer.forward(&x, batch);
        }
        self.final_norm.forward(&x)
    }
}

#[derive(Debug)]
struct ModernClassifier {
    encoder: Modern,
    mean: bool,
    dense: Linear,
    activation: Activation,
    norm: LayerNorm,
    classifier: Linear,
    labels: usize,
}

impl Encoder for ModernClassifier {
    fn forward(&self, batch: &Batch) -> Tensor {
        self.encoder.forward(batch)
    }
}

impl Classifier for ModernClassifier {
    fn labels(&self) -> usize {
        self.labels
    }

    fn classify(&self, hidden: &Tensor, spans: &[Span]) -> Tensor {
        let pooled = if self.mean { mean_rows(hidden, spans) } else { first_rows(hidden, spans) };
        let dense = self.dense.forward(&pooled);
        let dense = self.activation.apply(&dense).unwrap_or(dense);
        self.classifier.forward(&self.norm.forward(&dense))
    }
}
