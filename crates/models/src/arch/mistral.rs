//! Mistral.
//!
//! Llama's stack, in whose first version each token sees a window of the past.
//!
//! - Reference: `transformers/models/mistral/modeling_mistral.py`
//! - Checkpoints: `mlx-community/Mistral-7B-Instruct-v0.3-4bit`

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::nn::{
    Activation, Attention, AttentionConfig, AttentionOptions, Block, GatedMlp, Language,
    RopeConfig, Rotation, Stack, StackConfig, StackOptions, refuse_unknown,
};
use crate::{Model, Remember, Result, Scope};

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
    max_position_embeddings: usize,
    #[serde(default)]
    hidden_act: Activation,
    sliding_window: Option<usize>,
    tie_word_embeddings: Option<bool>,
    #[serde(flatten)]
    rope: RopeConfig,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

pub(crate) fn build(root: &Scope<'_>) -> Result<Model> {
    Ok(load([&root.at("model"), root], root.config(), "mistral")?.alone("mistral"))
}

/// What a configuration within another leaves out, as the reference fills it in.
pub(super) fn usual() -> Value {
    json!({
        "hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 14336,
        "num_attention_heads": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-6,
        "vocab_size": 32000, "max_position_embeddings": 131072, "sliding_window": 4096
    })
}

/// What lies at the first of `places`, and the head below the second; `config` says how it is built.
pub(super) fn load(
    places: [&Scope<'_>; 2],
    config: &checkpoint::Config,
    architecture: &'static str,
) -> Result<Language<Stack<Block<Attention>>>> {
    let c: Config = config.parse(architecture)?;
    let places = places.map(|place| place.beside(config));
    let root = &places[1];
    refuse_unknown(root, architecture, &c.rest)?;
    c.hidden_act.expect_silu(root)?;
    root.expect(c.sliding_window != Some(0), "sliding_window", 0, "above zero, or null")?;
    let context = c.max_position_embeddings;
    let rope = Arc::new(c.rope.build(root, architecture, c.head_dim(), (10_000.0, context))?);
    let stack = StackConfig {
        vocabulary: c.vocab_size,
        width: c.hidden_size,
        layers: c.num_hidden_layers,
        eps: c.rms_norm_eps,
        tied: c.tie_word_embeddings,
        options: StackOptions::default(),
    };
    let layer = |scope: &Scope<'_>, layer| block(scope, &c, layer, Arc::clone(&rope));
    Ok(Language {
        network: Stack::load_at([&places[0], root], stack, layer)?,
        vocabulary: c.vocab_size,
        context: c.max_position_embeddings,
        hidden: c.hidden_size,
    })
}

fn block(
    scope: &Scope<'_>,
    c: &Config,
    layer: usize,
    rope: Arc<Rotation>,
) -> Result<Block<Attention>> {
    let attention = AttentionConfig {
        layer,
        width: c.hidden_size,
        heads: c.num_attention_heads,
        kv_heads: c.num_key_value_heads.unwrap_or(c.num_attention_heads),
        head_dim: c.head_dim(),
        qkv_bias: false,
        o_bias: false,
        qk_norm: None,
        rope,
        remember: c.sliding_window.map_or(Remember::Full, Remember::Sliding),
        options: AttentionOptions::default(),
    };
    let self_attn = |at: &Scope<'_>| Attention::load(at, attention);
    let mlp = |at: &Scope<'_>| GatedMlp::load(at, c.hidden_size, c.intermediate_size, false);
    Block::load(scope, c.hidden_size, c.rms_norm_eps, self_attn, mlp)
}

impl Config {
    fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }
}
