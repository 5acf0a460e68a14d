//! What encoders with learned positions and a norm after each block are made of.

use checkpoint::Care;
use kernels::ops::{Mask, scaled_dot_product_attention};
use kernels::{Tensor, ops};
use serde::Deserialize;

use super::{Activation, Embedding, LayerNorm, Linear};
use crate::{Batch, Encoder, Result, Scope};

/// The fields of a configuration that say how wide and deep such a stack is. To be flattened into an architecture's own.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PostNormConfig {
    pub(crate) hidden_size: usize,
    pub(crate) num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    pub(crate) vocab_size: usize,
    pub(crate) max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f32,
    hidden_act: Activation,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

impl PostNormConfig {
    /// Fails where a field has a value that no such stack can have.
    fn check(&self, root: &Scope<'_>) -> Result<()> {
        let learned = self.position_embedding_type.as_deref().unwrap_or("absolute");
        root.expect(learned == "absolute", "position_embedding_type", learned, "absolute")?;
        root.expect(!self.is_decoder, "is_decoder", self.is_decoder, "false")?;
        let act = self.hidden_act;
        let gelu = act != Activation::Silu;
        root.expect(gelu, "hidden_act", format!("{act:?}"), "a form of gelu")?;
        let heads = self.num_attention_heads;
        let divides = heads > 0 && self.hidden_size.is_multiple_of(heads);
        root.expect(divides, "num_attention_heads", heads, "a divisor of hidden_size")?;
        root.expect(self.type_vocab_size > 0, "type_vocab_size", 0, "above zero")
    }
}

/// Embeddings and layers.
#[derive(Debug)]
pub(crate) struct PostNormStack {
    embeddings: Embeddings,
    layers: Vec<Layer>,
}

impl PostNormStack {
    /// Loads `embeddings` and `encoder.layer`. The first token has row `first_position` of the table of positions.
    pub(crate) fn load(
        scope: &Scope<'_>,
        c: &PostNormConfig,
        first_position: usize,
    ) -> Result<Self> {
        c.check(scope)?;
        let layers = scope.at("encoder").at("layer");
        Ok(Self {
            embeddings: Embeddings::load(&scope.at("embeddings"), c, first_position)?,
            layers: (0..c.num_hidden_layers)
                .map(|i| Layer::load(&layers.at(i), c, i))
                .collect::<Result<_>>()?,
        })
    }
}

impl Encoder for PostNormStack {
    fn forward(&self, batch: &Batch) -> Tensor {
        let mut x = batch.tap("embeddings", self.embeddings.forward(batch));
        for layer in &self.layers {
            x = layer.forward(&x, batch);
        }
        x
    }
}

#[derive(Debug)]
struct Embeddings {
    word_embeddings: Embedding,
    position_embeddings: Embedding,
    token_type_embeddings: Embedding,
    layer_norm: LayerNorm,
    types: u32,
    first_position: u32,
}

impl Embeddings {
    fn load(scope: &Scope<'_>, c: &PostNormConfig, first_position: usize) -> Result<Self> {
        let table = |name, rows| Embedding::table(&scope.at(name), rows, c.hidden_size);
        scope.ignore("position_ids");
        scope.ignore("token_type_ids");
        let token_type_embeddings = table("token_type_embeddings", c.type_vocab_size)?;
        // A few rows, one of which is added to every token.
        scope.at("token_type_embeddings").note_care(Care::Float);
        Ok(Self {
            word_embeddings: table("word_embeddings", c.vocab_size)?,
            position_embeddings: table("position_embeddings", c.max_position_embeddings)?,
            token_type_embeddings,
            layer_norm: LayerNorm::load(&scope.at("LayerNorm"), c.hidden_size, c.layer_norm_eps)?,
            types: c.type_vocab_size as u32,
            first_position: first_position as u32,
        })
    }

    fn forward(&self, batch: &Batch) -> Tensor {
        let words = self.word_embeddings.forward(&batch.tokens);
        let positions: Vec<_> = batch.positions.iter().map(|p| p + self.first_position).collect();
        let positions = self.position_embeddings.forward(&positions);
        // A model that knows one type makes no difference between the texts of a pair.
        let types: Vec<_> = batch.token_types.iter().map(|&t| t.min(self.types - 1)).collect();
        let types = self.token_type_embeddings.forward(&types);
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
    fn load(scope: &Scope<'_>, c: &PostNormConfig) -> Result<Self> {
        let linear = |name| Linear::load(&scope.at(name), c.hidden_size, c.hidden_size, true);
        let (query, key, value) = (linear("query")?, linear("key")?, linear("value")?);
        Ok(Self { query, key, value, heads: c.num_attention_heads })
    }

    fn forward(&self, x: &Tensor, batch: &Batch) -> Tensor {
        let width = x.width() / self.heads;
        let [q, k, v] = Linear::forward_each([&self.query, &self.key, &self.value], x)
            .map(|x| x.reshape(&[x.rows(), self.heads, width]));
        let scale = (width as f32).sqrt().recip();
        scaled_dot_product_attention(&q, &k, &v, &batch.sequences(), scale, Mask::Full)
    }
}

/// A map, and a norm of its sum with the residual.
#[derive(Debug)]
struct Output {
    dense: Linear,
    layer_norm: LayerNorm,
}

impl Output {
    fn load(scope: &Scope<'_>, inputs: usize, c: &PostNormConfig) -> Result<Self> {
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
    fn load(scope: &Scope<'_>, c: &PostNormConfig, i: usize) -> Result<Self> {
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
