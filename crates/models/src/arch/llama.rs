//! Llama, and the many that copied its stack.
//!
//! The stack the others are told as differences from.
//!
//! - Reference: `mlx_lm/models/llama.py`
//! - Checkpoints: `mlx-community/Llama-3.2-1B-Instruct-4bit`, `codellama/CodeLlama-7b-hf`,
//!   `TinyLlama/TinyLlama-1.1B-Chat-v1.0`

use std::collections::BTreeMap;
use std::sync::Arc;

use kernels::{Tensor, ops};
use serde::Deserialize;
use serde_json::Value;

use crate::nn::{
    Activation, Attention, AttentionConfig, AttentionOptions, Embedding, GatedMlp, Head, RmsNorm,
    RopeConfig, Rotation, refuse_unknown,
};
use crate::{Batch, Cache, Decoder, LayerCache, Model, Network, Remember, Result, Scope};

#[derive(Debug, Deserialize)]
struct Config {
    hidden_size: usize,
    num_hidden_layers: usize,
    intermediate_size: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    rms_norm_eps: f32,
    vocab_size: usize,
    max_position_embeddings: Option<usize>,
    #[serde(default)]
    hidden_act: Activation,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    tie_word_embeddings: Option<bool>,
    #[serde(flatten)]
    rope: RopeConfig,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

pub(crate) fn build(root: &Scope<'_>) -> Result<Model> {
    let config: Config = root.config().parse("llama")?;
    let network = Llama::load(root, &config)?;
    Ok(Model {
        architecture: "llama",
        network: Network::Decoder(Box::new(network)),
        vocabulary: config.vocab_size,
        context: config.max_position_embeddings.unwrap_or(2048),
        hidden: config.hidden_size,
    })
}

#[derive(Debug)]
struct Block {
    name: String,
    input_layernorm: RmsNorm,
    self_attn: Attention,
    post_attention_layernorm: RmsNorm,
    mlp: GatedMlp,
}

impl Block {
    fn load(scope: &Scope<'_>, c: &Config, layer: usize, rope: Arc<Rotation>) -> Result<Self> {
        let norm = |name| RmsNorm::load(&scope.at(name), c.hidden_size, c.rms_norm_eps);
        let attention = AttentionConfig {
            layer,
            width: c.hidden_size,
            heads: c.num_attention_heads,
            kv_heads: c.num_key_value_heads.unwrap_or(c.num_attention_heads),
            head_dim: c.head_dim(),
            qkv_bias: c.attention_bias,
            o_bias: c.attention_bias,
            qk_norm: None,
            rope,
            remember: Remember::Full,
            options: AttentionOptions::default(),
        };
        scope.at("self_attn.rotary_emb").ignore("inv_freq");
        Ok(Self {
            name: scope.name().to_owned(),
            input_layernorm: norm("input_layernorm")?,
            self_attn: Attention::load(&scope.at("self_attn"), attention)?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            mlp: GatedMlp::load(&scope.at("mlp"), c.hidden_size, c.intermediate_size, c.mlp_bias)?,
        })
    }

    fn forward(&self, x: &Tensor, batch: &Batch, cache: &mut Cache) -> Tensor {
        let tap = |name, value| batch.tap(&format!("{}.{name}", self.name), value);
        let normed = tap("input_layernorm", self.input_layernorm.forward(x));
        let attended = tap("self_attn", self.self_attn.forward(&normed, batch, cache));
        let x = ops::add(x, &attended);
        let normed = tap("post_attention_layernorm", self.post_attention_layernorm.forward(&x));
        let x = ops::add(&x, &tap("mlp", self.mlp.forward(&normed)));
        batch.tap(&self.name, x)
    }
}

#[derive(Debug)]
struct Llama {
    embed_tokens: Embedding,
    layers: Vec<Block>,
    norm: RmsNorm,
    lm_head: Head,
}

impl Llama {
    fn load(root: &Scope<'_>, c: &Config) -> Result<Self> {
        refuse_unknown(root, "llama", &c.rest)?;
        let silu = c.hidden_act == Activation::Silu;
        root.expect(silu, "hidden_act", format!("{:?}", c.hidden_act), "silu")?;
        let model = root.at("model");
        let context = c.max_position_embeddings.unwrap_or(2048);
        let rope = Arc::new(c.rope.build(root, "llama", c.head_dim(), (10_000.0, context))?);
        let layer = |i| Block::load(&model.at("layers").at(i), c, i, Arc::clone(&rope));
        Ok(Self {
            embed_tokens: Embedding::load(&model.at("embed_tokens"), c.vocab_size, c.hidden_size)?,
            layers: (0..c.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            norm: RmsNorm::load(&model.at("norm"), c.hidden_size, c.rms_norm_eps)?,
            lm_head: Head::load(root, c.tie_word_embeddings, c.hidden_size, c.vocab_size)?,
        })
    }
}

impl Decoder for Llama {
    fn layers(&self) -> Vec<LayerCache> {
        self.layers.iter().map(|block| block.self_attn.cache()).collect()
    }

    fn forward(&self, batch: &Batch, cache: &mut Cache) -> Tensor {
        let mut x = batch.tap("model.embed_tokens", self.embed_tokens.forward(&batch.tokens));
        for block in &self.layers {
            x = block.forward(&x, batch, cache);
        }
        batch.tap("model.norm", self.norm.forward(&x))
    }

    fn unembed(&self, hidden: &Tensor) -> Tensor {
        self.lm_head.forward(hidden, &self.embed_tokens)
    }
}

impl Config {
    fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }
}
