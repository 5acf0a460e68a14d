//! Qwen2 and Qwen2.5, dense.
//!
//! Llama's stack with a bias on queries, keys and values. From layer `max_window_layers` on, a
//! checkpoint that says `use_sliding_window` looks back over a window only; one with
//! `dual_chunk_attention_config` cuts long contexts into chunks.
//!
//! - Reference: `mlx_lm/models/qwen2.py`, `transformers/models/qwen2/modeling_qwen2.py`
//! - Checkpoints: `mlx-community/Qwen2.5-7B-Instruct-4bit`, `Qwen/Qwen2.5-7B-Instruct-1M`

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::nn::{
    Activation, Attention, AttentionConfig, AttentionOptions, Block, ChunksConfig, GatedMlp,
    RopeConfig, Rotation, Stack, StackConfig, StackOptions, WindowConfig, refuse_unknown,
};
use crate::{Model, Network, Remember, Result, Scope};

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
    tie_word_embeddings: Option<bool>,
    dual_chunk_attention_config: Option<ChunksConfig>,
    #[serde(flatten)]
    window: WindowConfig,
    #[serde(flatten)]
    rope: RopeConfig,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

pub(crate) fn build(root: &Scope<'_>) -> Result<Model> {
    let config: Config = root.config().parse("qwen2")?;
    let network = load(root, &config)?;
    Ok(Model {
        architecture: "qwen2",
        network: Network::Decoder(Box::new(network)),
        vocabulary: config.vocab_size,
        context: config.max_position_embeddings.unwrap_or(32_768),
        hidden: config.hidden_size,
    })
}

fn load(root: &Scope<'_>, c: &Config) -> Result<Stack<Block<Attention>>> {
    refuse_unknown(root, "qwen2", &c.rest)?;
    c.hidden_act.expect_silu(root)?;
    c.window.check(root, c.num_hidden_layers)?;
    let context = c.max_position_embeddings.unwrap_or(32_768);
    let rope = Arc::new(c.rope.build(root, "qwen2", c.head_dim(), (1_000_000.0, context))?);
    let stack = StackConfig {
        vocabulary: c.vocab_size,
        width: c.hidden_size,
        layers: c.num_hidden_layers,
        eps: c.rms_norm_eps,
        tied: c.tie_word_embeddings,
        options: StackOptions::default(),
    };
    Stack::load(root, stack, |scope, layer| block(scope, c, layer, Arc::clone(&rope)))
}

fn block(
    scope: &Scope<'_>,
    c: &Config,
    layer: usize,
    rope: Arc<Rotation>,
) -> Result<Block<Attention>> {
    let chunks = c.dual_chunk_attention_config.as_ref();
    let chunks = chunks.map(|chunks| chunks.build(scope)).transpose()?;
    let remember = c.window.remember(layer);
    if chunks.is_some() && remember != Remember::Full {
        let with = "set beside dual_chunk_attention_config";
        return Err(scope.unsupported("qwen2", "use_sliding_window", with));
    }
    let attention = AttentionConfig {
        layer,
        width: c.hidden_size,
        heads: c.num_attention_heads,
        kv_heads: c.num_key_value_heads.unwrap_or(c.num_attention_heads),
        head_dim: c.head_dim(),
        qkv_bias: true,
        o_bias: false,
        qk_norm: None,
        rope,
        remember,
        options: AttentionOptions { chunks, ..AttentionOptions::default() },
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
