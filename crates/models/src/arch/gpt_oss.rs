//! OpenAI's open weights.
//!
//! Llama's stack with biases everywhere but in the head, experts with a clamped gate in every layer,
//! and a learned sink in every head. Every second layer, or what `layer_types` says, looks back over
//! a window only. The original stores experts as blocks of codes, gate and up in turn.
//!
//! - Reference: `mlx_lm/models/gpt_oss.py`, `transformers/models/gpt_oss/modeling_gpt_oss.py`
//! - Checkpoints: `openai/gpt-oss-20b`, `mlx-community/gpt-oss-20b-MXFP4-Q8`

use std::collections::BTreeMap;
use std::sync::Arc;

use checkpoint::Care;
use kernels::ops::Clamp;
use serde::Deserialize;
use serde_json::Value;

use crate::nn::{
    Activation, Attention, AttentionConfig, AttentionOptions, Block, LayerTypes, Moe, MoeConfig,
    RopeConfig, Rotation, Routing, Scoring, Stack, StackConfig, StackOptions, refuse_unknown,
};
use crate::{Model, Network, Remember, Result, Scope};

#[derive(Debug, Deserialize)]
struct Config {
    hidden_size: usize,
    num_hidden_layers: usize,
    intermediate_size: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    head_dim: usize,
    num_local_experts: usize,
    num_experts_per_tok: usize,
    rms_norm_eps: f32,
    vocab_size: usize,
    max_position_embeddings: Option<usize>,
    attention_bias: Option<bool>,
    #[serde(default)]
    hidden_act: Activation,
    sliding_window: usize,
    layer_types: Option<LayerTypes>,
    swiglu_alpha: Option<f32>,
    swiglu_limit: Option<f32>,
    tie_word_embeddings: Option<bool>,
    #[serde(flatten)]
    rope: RopeConfig,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

pub(crate) fn build(root: &Scope<'_>) -> Result<Model> {
    let config: Config = root.config().parse("gpt_oss")?;
    let network = load(root, &config)?;
    Ok(Model {
        architecture: "gpt_oss",
        network: Network::Decoder(Box::new(network)),
        vocabulary: config.vocab_size,
        context: config.max_position_embeddings.unwrap_or(131_072),
        hidden: config.hidden_size,
    })
}

fn load(root: &Scope<'_>, c: &Config) -> Result<Stack<Block<Attention>>> {
    refuse_unknown(root, "gpt_oss", &c.rest)?;
    c.hidden_act.expect_silu(root)?;
    root.expect(c.sliding_window > 0, "sliding_window", 0, "above zero")?;
    let limit = c.swiglu_limit.unwrap_or(7.0);
    root.expect(limit > 0.0, "swiglu_limit", limit, "above zero")?;
    if let Some(types) = &c.layer_types {
        types.check(root, c.num_hidden_layers)?;
    }
    // One reference reads silence as a stretch by 32, the other as none.
    let said = "a kind, such as yarn: programs disagree on what silence means";
    root.expect(c.rope.names_kind(), "rope_scaling.rope_type", "nothing", said)?;
    let context = c.max_position_embeddings.unwrap_or(131_072);
    let rope = Arc::new(c.rope.build(root, "gpt_oss", c.head_dim, (150_000.0, context))?);
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
    let biased = c.attention_bias.unwrap_or(true);
    let slides = match &c.layer_types {
        Some(types) => types.slides(layer),
        None => layer.is_multiple_of(2),
    };
    let attention = AttentionConfig {
        layer,
        width: c.hidden_size,
        heads: c.num_attention_heads,
        kv_heads: c.num_key_value_heads,
        head_dim: c.head_dim,
        qkv_bias: biased,
        o_bias: biased,
        qk_norm: None,
        rope,
        remember: if slides { Remember::Sliding(c.sliding_window) } else { Remember::Full },
        options: AttentionOptions { sinks: true, ..AttentionOptions::default() },
    };
    let experts = MoeConfig {
        architecture: "gpt_oss",
        width: c.hidden_size,
        hidden: c.intermediate_size,
        routing: Routing {
            experts: c.num_local_experts,
            chosen: c.num_experts_per_tok,
            scoring: Scoring::TopThenSoftmax,
            groups: None,
            scale: 1.0,
        },
        bias: true,
        clamp: Some(Clamp {
            alpha: c.swiglu_alpha.unwrap_or(1.702),
            limit: c.swiglu_limit.unwrap_or(7.0),
        }),
        router: "router",
        care: Care::High,
        stack: "experts",
    };
    let self_attn = |at: &Scope<'_>| Attention::load(at, attention);
    let mlp = |at: &Scope<'_>| Moe::load(at, experts, None);
    Block::load(scope, c.hidden_size, c.rms_norm_eps, self_attn, mlp)
}
