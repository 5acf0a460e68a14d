//! BERT: a bidirectional encoder with learned positions and norms after each block.
//!
//! The prefix `bert.` of checkpoints that carry a pretraining head is accepted, and the head and
//! the pooler are left alone: an embedding is made of the last hidden states.
//!
//! - Reference: `transformers/models/bert/modeling_bert.py`
//! - Checkpoints: `sentence-transformers/all-MiniLM-L6-v2`, `nlpaueb/legal-bert-base-uncased`

use std::collections::BTreeMap;

use kernels::ops::{Mask, scaled_dot_product_attention};
use kernels::{Tensor, ops};
use serde::Deserialize;
use serde_json::Value;

use crate::nn::{Activation, Embedding, LayerNorm, Linear, refuse_unknown};
use crate::{Batch, Encoder, Model, Network, Result, Scope};

#[derive(Debug, Deserialize)]
struct Config {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f32,
    hidden_act: Activation,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

pub(crate) fn build(root: &Scope<'_>) -> Result<Model> {
    let config: Config = root.config().parse("bert")?;
    let network = Bert::load(root, &config)?;
    Ok(Model {
        architecture: "bert",
        network: Network::Encoder(Box::new(network)),
        vocabulary: config.vocab_size,
        context: config.max_position_embeddings,
        hidden: config.hidden_size,
    })
}

#[derive(Debug)]
struct Embeddings {
    word_embeddings: Embedding,
    position_embeddings: Embedding,
    token_type_embeddings: Embedding,
    layer_norm: LayerNorm,
}

impl Embeddings {
    fn load(scope: &Scope<'_>, c: &Config) -> Result<Self> {
        let table = |name, rows| Embedding::load(&scope.at(name), rows, c.hidden_size);
        scope.ignore("position_ids");
        Ok(Self {
            word_embeddings: table("word_embeddings", c.vocab_size)?,
            position_embeddings: table("position_embeddings", c.max_position_embeddings)?,
            token_type_embeddings: table("token_type_embeddings", c.type_vocab_size)?,
            layer_norm: LayerNorm::load(&scope.at("LayerNorm"), c.hidden_size, c.layer_norm_eps)?,
        })
    }

    fn forward(&self, batch: &Batch) -> Tensor {
        let words = self.word_embeddings.forward(&batch.tokens);
        let positions = self.position_embeddings.forward(&batch.positions);
        // A passage is all of the first type; the second is for the latter half of a pair.
        let types = self.token_type_embeddings.forward(&vec![0; batch.tokens.len()]);
        self.layer_norm.forward(&ops::add(&ops::add(&words, &types), &positions))
    }
}

#[derive(Debug)]
struct SelfAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    heads: usize,
}

impl SelfAttention {
    fn load(scope: &Scope<'_>, c: &Config) -> Result<Self> {
        let linear = |name| Linear::load(&scope.at(name), c.hidden_size, c.hidden_size, true);
        let (query, key, value) = (linear("query")?, linear("key")?, linear("value")?);
        Ok(Self { query, key, value, heads: c.num_attention_heads })
    }

    fn forward(&self, x: &Tensor, batch: &Batch) -> Tensor {
        let width = x.width() / self.heads;
        let [q, k, v] = Linear::forward_each([&self.query, &self.key, &self.value], x)
            .map(|x| x.reshape(&[x.rows(), self.heads, width]));
        let sequences: Vec<_> = batch.spans.iter().map(|span| span.rows.clone()).collect();
        let scale = (width as f32).sqrt().recip();
        scaled_dot_product_attention(&q, &k, &v, &sequences, scale, Mask::Full)
    }
}

/// A map, and a norm of its sum with the residual.
#[derive(Debug)]
struct Output {
    dense: Linear,
    layer_norm: LayerNorm,
}

impl Output {
    fn load(scope: &Scope<'_>, inputs: usize, c: &Config) -> Result<Self> {
        Ok(Self {
            dense: Linear::load(&scope.at("dense"), inputs, c.hidden_size, true)?,
            layer_norm: LayerNorm::load(&scope.at("LayerNorm"), c.hidden_size, c.layer_norm_eps)?,
        })
    }

    fn forward(&self, x: &Tensor, residual: &Tensor) -> Tensor {
        self.layer_norm.forward(&ops::add(&self.dense.forward(x), residual))
    }
}

#[derive(Debug)]
struct Layer {
    name: String,
    attention: SelfAttention,
    attention_output: Output,
    intermediate: Linear,
    output: Output,
    activation: Activation,
}

impl Layer {
    fn load(scope: &Scope<'_>, c: &Config, i: usize) -> Result<Self> {
        let (hidden, wide) = (c.hidden_size, c.intermediate_size);
        let attention = scope.at("attention");
        Ok(Self {
            name: format!("encoder.layer.{i}"),
            attention: SelfAttention::load(&attention.at("self"), c)?,
            attention_output: Output::load(&attention.at("output"), hidden, c)?,
            intermediate: Linear::load(&scope.at("intermediate").at("dense"), hidden, wide, true)?,
            output: Output::load(&scope.at("output"), wide, c)?,
            activation: c.hidden_act,
        })
    }

    fn forward(&self, x: &Tensor, batch: &Batch) -> Tensor {
        let attended = self.attention.forward(x, batch);
        let x = self.attention_output.forward(&attended, x);
        let x = batch.tap(&format!("{}.attention", self.name), x);
        let wide = self.intermediate.forward(&x);
        let wide = self.activation.apply(&wide).unwrap_or(wide);
        batch.tap(&self.name, self.output.forward(&wide, &x))
    }
}

#[derive(Debug)]
struct Bert {
    embeddings: Embeddings,
    layers: Vec<Layer>,
}

impl Bert {
    fn load(root: &Scope<'_>, c: &Config) -> Result<Self> {
        refuse_unknown(root, "bert", &c.rest)?;
        let learned = c.position_embedding_type.as_deref().unwrap_or("absolute");
        root.expect(learned == "absolute", "position_embedding_type", learned, "absolute")?;
        root.expect(!c.is_decoder, "is_decoder", c.is_decoder, "false")?;
        let gelu = c.hidden_act != Activation::Silu;
        root.expect(gelu, "hidden_act", format!("{:?}", c.hidden_act), "a form of gelu")?;
        let heads = c.num_attention_heads;
        let divides = heads > 0 && c.hidden_size.is_multiple_of(heads);
        root.expect(divides, "num_attention_heads", heads, "a divisor of hidden_size")?;
        root.expect(c.type_vocab_size > 0, "type_vocab_size", 0, "above zero")?;

        let prefixed = root.at("bert").at("embeddings").at("word_embeddings").has("weight");
        let model = if prefixed { root.at("bert") } else { root.clone() };
        root.at("cls").ignore_all();
        model.at("pooler").ignore_all();
        let layers = model.at("encoder").at("layer");
        Ok(Self {
            embeddings: Embeddings::load(&model.at("embeddings"), c)?,
            layers: (0..c.num_hidden_layers)
                .map(|i| Layer::load(&layers.at(i), c, i))
                .collect::<Result<_>>()?,
        })
    }
}

impl Encoder for Bert {
    fn forward(&self, batch: &Batch) -> Tensor {
        let mut x = batch.tap("embeddings", self.embeddings.forward(batch));
        for layer in &self.layers {
            x = layer.forward(&x, batch);
        }
        x
    }
}
