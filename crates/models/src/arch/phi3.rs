//! Phi-3, Phi-3.5 and Phi-4, without pictures.
//!
//! Llama's stack with one map for queries, keys and values, and one for gate and up. A head may be
//! rotated in part. In checkpoints for long contexts a sequence of more than
//! `original_max_position_embeddings` tokens is rotated with `long_factor`, a shorter one with
//! `short_factor`: all of it, as the reference does, which computes a sequence anew when it crosses
//! that length. (Its other implementation always takes the long factors.)
//!
//! - Reference: `transformers/models/phi3/modeling_phi3.py`, `mlx_lm/models/phi3.py`
//! - Checkpoints: `mlx-community/Phi-3.5-mini-instruct-4bit`, `microsoft/Phi-4-mini-instruct`

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::nn::{
    Activation, Attention, AttentionConfig, AttentionOptions, Block, FusedMlp, Language,
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
    rms_norm_eps: f32,
    vocab_size: usize,
    max_position_embeddings: Option<usize>,
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
    Ok(load([&root.at("model"), root], root.config(), "phi3")?.alone("phi3"))
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
    let rope = c.rope.build_any(root, architecture, c.head_dim(), (10_000.0, c.context()))?;
    let rope = Arc::new(rope);
    let stack = StackConfig {
        vocabulary: c.vocab_size,
        width: c.hidden_size,
        layers: c.num_hidden_layers,
        eps: c.rms_norm_eps,
        tied: c.tie_word_embeddings,
        options: StackOptions { turn: rope.turn(), ..StackOptions::default() },
    };
    let layer = |scope: &Scope<'_>, layer| block(scope, &c, layer, Arc::clone(&rope));
    Ok(Language {
        network: Stack::load_at([&places[0], root], stack, layer)?,
        vocabulary: c.vocab_size,
        context: c.context(),
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
        options: AttentionOptions { fused: true, ..AttentionOptions::default() },
    };
    let self_attn = |at: &Scope<'_>| Attention::load(at, attention);
    let mlp = |at: &Scope<'_>| FusedMlp::load(at, c.hidden_size, c.intermediate_size);
    Block::load(scope, c.hidden_size, c.rms_norm_eps, self_attn, mlp)
}

impl Config {
    fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads.max(1)
    }

    fn context(&self) -> usize {
        self.max_position_embeddings.unwrap_or(4096)
    }
}
