//! Qwen3 with experts.
//!
//! Qwen3's stack, where each token asks `num_experts_per_tok` of `num_experts` in every layer whose
//! number, counted from 1, is a multiple of `decoder_sparse_step`, but for `mlp_only_layers`.
//!
//! - Reference: `mlx_lm/models/qwen3_moe.py`, `transformers/models/qwen3_moe/modeling_qwen3_moe.py`
//! - Checkpoints: `mlx-community/Qwen3-30B-A3B-4bit`, `Qwen/Qwen3-30B-A3B`

use std::collections::BTreeMap;
use std::sync::Arc;

use checkpoint::Care;
use serde::Deserialize;
use serde_json::Value;

use crate::nn::{
    Activation, Attention, AttentionConfig, AttentionOptions, Block, GatedMlp, Mlp, Moe, MoeConfig,
    RopeConfig, Rotation, Routing, Scoring, Stack, StackConfig, StackOptions, WindowConfig,
    refuse_unknown,
};
use crate::{Model, Network, Remember, Result, Scope};

#[derive(Debug, Deserialize)]
struct Config {
    hidden_size: usize,
    num_hidden_layers: usize,
    intermediate_size: usize,
    moe_intermediate_size: usize,
    num_experts: usize,
    num_experts_per_tok: usize,
    norm_topk_prob: Option<bool>,
    decoder_sparse_step: Option<usize>,
    mlp_only_layers: Option<Vec<usize>>,
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
    use_qk_norm: Option<bool>,
    tie_word_embeddings: Option<bool>,
    #[serde(flatten)]
    window: WindowConfig,
    #[serde(flatten)]
    rope: RopeConfig,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

pub(crate) fn build(root: &Scope<'_>) -> Result<Model> {
    let config: Config = root.config().parse("qwen3_moe")?;
    let network = load(root, &config)?;
    Ok(Model {
        architecture: "qwen3_moe",
        network: Network::Decoder(Box::new(network)),
        vocabulary: config.vocab_size,
        context: config.max_position_embeddings.unwrap_or(32_768),
        hidden: config.hidden_size,
    })
}

fn load(root: &Scope<'_>, c: &Config) -> Result<Stack<Block<Attention>>> {
    refuse_unknown(root, "qwen3_moe", &c.rest)?;
    c.hidden_act.expect_silu(root)?;
    let normed = c.use_qk_norm != Some(false);
    root.expect(normed, "use_qk_norm", false, "true, or nothing")?;
    c.window.check(root, c.num_hidden_layers)?;
    c.window.refuse(root, "qwen3_moe")?;
    let context = c.max_position_embeddings.unwrap_or(32_768);
    let rope = Arc::new(c.rope.build(root, "qwen3_moe", c.head_dim(), (1_000_000.0, context))?);
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
    let attention = AttentionConfig {
        layer,
        width: c.hidden_size,
        heads: c.num_attention_heads,
        kv_heads: c.num_key_value_heads.unwrap_or(c.num_attention_heads),
        head_dim: c.head_dim(),
        qkv_bias: c.attention_bias,
        o_bias: c.attention_bias,
        qk_norm: Some(c.rms_norm_eps),
        rope,
        remember: Remember::Full,
        options: AttentionOptions::default(),
    };
    let self_attn = |at: &Scope<'_>| Attention::load(at, attention);
    let mlp = |at: &Scope<'_>| c.mlp(at, layer);
    Block::load(scope, c.hidden_size, c.rms_norm_eps, self_attn, mlp)
}

impl Config {
    /// Experts, or one block for all tokens where the configuration says so.
    fn mlp(&self, scope: &Scope<'_>, layer: usize) -> Result<Mlp> {
        let step = self.decoder_sparse_step.unwrap_or(1);
        scope.expect(step > 0, "decoder_sparse_step", step, "above zero")?;
        let sparse = self.num_experts > 0 && (layer + 1).is_multiple_of(step);
        let dense = self.mlp_only_layers.as_ref().is_some_and(|layers| layers.contains(&layer));
        if !sparse || dense {
            let mlp = GatedMlp::load(scope, self.hidden_size, self.intermediate_size, false)?;
            return Ok(mlp.into());
        }
        let routing = Routing {
            experts: self.num_experts,
            chosen: self.num_experts_per_tok,
            scoring: Scoring::SoftmaxThenTop { normalized: self.norm_topk_prob.unwrap_or(false) },
            groups: None,
            scale: 1.0,
        };
        let config = MoeConfig {
            architecture: "qwen3_moe",
            width: self.hidden_size,
            hidden: self.moe_intermediate_size,
            routing,
            bias: false,
            clamp: None,
            router: "gate",
            care: Care::High,
            stack: "switch_mlp",
        };
        Ok(Moe::load(scope, config, None)?.into())
    }

    fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }
}
