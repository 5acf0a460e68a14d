//! DeepSeek-V2, and Coder-V2 of its shape.
//!
//! Attention over a latent, which is all that is kept of a token; from layer `first_k_dense_replace`
//! on experts, some of which every token asks. Experts may lie in groups, of which only the best are
//! asked (`group_limited_greedy`). The small models make queries without a latent of their own:
//! `q_lora_rank` is null. Rotated pairs are neighbours, and what YaRN does to attention is a factor of
//! the scores.
//!
//! - Reference: `mlx_lm/models/deepseek_v2.py`,
//!   `transformers/models/deepseek_v2/modeling_deepseek_v2.py`
//! - Checkpoints: `mlx-community/DeepSeek-Coder-V2-Lite-Instruct-4bit-mlx`,
//!   `deepseek-ai/DeepSeek-V2-Lite-Chat`

use std::collections::BTreeMap;
use std::sync::Arc;

use checkpoint::Care;
use serde::Deserialize;
use serde_json::Value;

use crate::nn::{
    Activation, Block, GatedMlp, Groups, LatentAttention, LatentConfig, Mlp, Moe, MoeConfig,
    RopeConfig, Rotation, Routing, Scoring, Stack, StackConfig, StackOptions, refuse_unknown,
};
use crate::{Model, Network, Result, Scope};

#[derive(Debug, Deserialize)]
struct Config {
    hidden_size: usize,
    num_hidden_layers: usize,
    intermediate_size: usize,
    moe_intermediate_size: Option<usize>,
    num_attention_heads: usize,
    q_lora_rank: Option<usize>,
    kv_lora_rank: usize,
    qk_nope_head_dim: usize,
    qk_rope_head_dim: usize,
    v_head_dim: usize,
    n_routed_experts: Option<usize>,
    n_shared_experts: Option<usize>,
    num_experts_per_tok: Option<usize>,
    #[serde(default)]
    first_k_dense_replace: usize,
    moe_layer_freq: Option<usize>,
    n_group: Option<usize>,
    topk_group: Option<usize>,
    topk_method: Option<String>,
    scoring_func: Option<String>,
    norm_topk_prob: Option<bool>,
    routed_scaling_factor: Option<f32>,
    rms_norm_eps: f32,
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    hidden_act: Activation,
    tie_word_embeddings: Option<bool>,
    #[serde(flatten)]
    rope: RopeConfig,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// `eps` of the norms of latents, which no configuration says.
const LATENT_EPS: f32 = 1e-6;

pub(crate) fn build(root: &Scope<'_>) -> Result<Model> {
    let config: Config = root.config().parse("deepseek_v2")?;
    let network = load(root, &config)?;
    Ok(Model {
        architecture: "deepseek_v2",
        network: Network::Decoder(Box::new(network)),
        vocabulary: config.vocab_size,
        context: config.max_position_embeddings,
        hidden: config.hidden_size,
    })
}

fn load(root: &Scope<'_>, c: &Config) -> Result<Stack<Block<LatentAttention>>> {
    refuse_unknown(root, "deepseek_v2", &c.rest)?;
    c.hidden_act.expect_silu(root)?;
    for (field, width) in [
        ("qk_nope_head_dim", c.qk_nope_head_dim),
        ("qk_rope_head_dim", c.qk_rope_head_dim),
        ("v_head_dim", c.v_head_dim),
    ] {
        root.expect(width > 0, field, width, "above zero")?;
    }
    let usual = (10_000.0, c.max_position_embeddings);
    let rope = c.rope.build(root, "deepseek_v2", c.qk_rope_head_dim, usual)?;
    let rope = Arc::new(rope.of_neighbours());
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
) -> Result<Block<LatentAttention>> {
    let head = c.qk_nope_head_dim as f64 + c.qk_rope_head_dim as f64;
    let attention = LatentConfig {
        layer,
        width: c.hidden_size,
        heads: c.num_attention_heads,
        q_rank: c.q_lora_rank,
        kv_rank: c.kv_lora_rank,
        plain: c.qk_nope_head_dim,
        rotated: c.qk_rope_head_dim,
        value: c.v_head_dim,
        bias: c.attention_bias,
        eps: LATENT_EPS,
        rope,
        scale: (c.rope.sharpness() / head.sqrt()) as f32,
    };
    let self_attn = |at: &Scope<'_>| LatentAttention::load(at, attention);
    let mlp = |at: &Scope<'_>| c.mlp(at, layer);
    Block::load(scope, c.hidden_size, c.rms_norm_eps, self_attn, mlp)
}

impl Config {
    /// Experts, or one block for all tokens where the configuration says so.
    fn mlp(&self, scope: &Scope<'_>, layer: usize) -> Result<Mlp> {
        let every = self.moe_layer_freq.unwrap_or(1);
        scope.expect(every > 0, "moe_layer_freq", every, "above zero")?;
        let experts = match self.n_routed_experts {
            Some(experts) if layer >= self.first_k_dense_replace && layer.is_multiple_of(every) => {
                experts
            }
            _ => {
                let mlp = GatedMlp::load(scope, self.hidden_size, self.intermediate_size, false)?;
                return Ok(mlp.into());
            }
        };
        let hidden = self.moe_intermediate_size.unwrap_or(self.intermediate_size);
        let config = MoeConfig {
            architecture: "deepseek_v2",
            width: self.hidden_size,
            hidden,
            routing: self.routing(scope, experts)?,
            bias: false,
            clamp: None,
            router: "gate",
            care: Care::Float,
            stack: "switch_mlp",
        };
        let shared = self.n_shared_experts.filter(|&count| count > 0);
        let shared = shared.map(|count| count.saturating_mul(hidden));
        Ok(Moe::load(scope, config, shared)?.into())
    }

    fn routing(&self, scope: &Scope<'_>, experts: usize) -> Result<Routing> {
        let unsupported =
            |field: &str, value: &str| Err(scope.unsupported("deepseek_v2", field, value));
        if let Some(other) = self.scoring_func.as_deref().filter(|&name| name != "softmax") {
            return unsupported("scoring_func", other);
        }
        if self.norm_topk_prob == Some(true) {
            return unsupported("norm_topk_prob", "true");
        }
        let groups = match self.topk_method.as_deref() {
            None | Some("greedy" | "gready") => None,
            Some("group_limited_greedy") => {
                let (count, kept) = (self.n_group.unwrap_or(0), self.topk_group.unwrap_or(0));
                let whole = count > 0 && experts.is_multiple_of(count);
                scope.expect(whole, "n_group", count, "a divisor of n_routed_experts")?;
                let some = (1..=count).contains(&kept);
                scope.expect(some, "topk_group", kept, "at most n_group, and above zero")?;
                Some(Groups { count, kept })
            }
            Some(other) => return unsupported("topk_method", other),
        };
        Ok(Routing {
            experts,
            chosen: self.num_experts_per_tok.unwrap_or(1),
            scoring: Scoring::SoftmaxThenTop { normalized: false },
            groups,
            scale: self.routed_scaling_factor.unwrap_or(1.0),
        })
    }
}
