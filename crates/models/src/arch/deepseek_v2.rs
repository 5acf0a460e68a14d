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
use kernels::{Tensor, ops};
use serde::Deserialize;
use serde_json::Value;

use crate::nn::{
    Activation, Embedding, GatedMlp, Groups, Head, LatentAttention, LatentConfig, Mlp, Moe,
    MoeConfig, RmsNorm, RopeConfig, Rotation, Routing, Scoring, refuse_unknown,
};
use crate::{Batch, Cache, Decoder, LayerCache, Model, Network, Result, Scope};

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
    let network = DeepseekV2::load(root, &config)?;
    Ok(Model {
        architecture: "deepseek_v2",
        network: Network::Decoder(Box::new(network)),
        vocabulary: config.vocab_size,
        context: config.max_position_embeddings,
        hidden: config.hidden_size,
    })
}

#[derive(Debug)]
struct Block {
    name: String,
    input_layernorm: RmsNorm,
    self_attn: LatentAttention,
    post_attention_layernorm: RmsNorm,
    mlp: Mlp,
}

impl Block {
    fn load(scope: &Scope<'_>, c: &Config, layer: usize, rope: Arc<Rotation>) -> Result<Self> {
        let norm = |name| RmsNorm::load(&scope.at(name), c.hidden_size, c.rms_norm_eps);
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
        scope.at("self_attn.rotary_emb").ignore("inv_freq");
        Ok(Self {
            name: scope.name().to_owned(),
            input_layernorm: norm("input_layernorm")?,
            self_attn: LatentAttention::load(&scope.at("self_attn"), attention)?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            mlp: c.mlp(&scope.at("mlp"), layer)?,
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
struct DeepseekV2 {
    embed_tokens: Embedding,
    layers: Vec<Block>,
    norm: RmsNorm,
    lm_head: Head,
}

impl DeepseekV2 {
    fn load(root: &Scope<'_>, c: &Config) -> Result<Self> {
        refuse_unknown(root, "deepseek_v2", &c.rest)?;
        let silu = c.hidden_act == Activation::Silu;
        root.expect(silu, "hidden_act", format!("{:?}", c.hidden_act), "silu")?;
        for (field, width) in [
            ("qk_nope_head_dim", c.qk_nope_head_dim),
            ("qk_rope_head_dim", c.qk_rope_head_dim),
            ("v_head_dim", c.v_head_dim),
        ] {
            root.expect(width > 0, field, width, "above zero")?;
        }
        let model = root.at("model");
        let usual = (10_000.0, c.max_position_embeddings);
        let rope = c.rope.build(root, "deepseek_v2", c.qk_rope_head_dim, usual)?;
        let rope = Arc::new(rope.of_neighbours());
        let layer = |i| Block::load(&model.at("layers").at(i), c, i, Arc::clone(&rope));
        Ok(Self {
            embed_tokens: Embedding::load(&model.at("embed_tokens"), c.vocab_size, c.hidden_size)?,
            layers: (0..c.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            norm: RmsNorm::load(&model.at("norm"), c.hidden_size, c.rms_norm_eps)?,
            lm_head: Head::load(root, c.tie_word_embeddings, c.hidden_size, c.vocab_size)?,
        })
    }
}

impl Decoder for DeepseekV2 {
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
                return Ok(Mlp::Dense(Box::new(mlp)));
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
        Ok(Mlp::Sparse(Box::new(Moe::load(scope, config, shared)?)))
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
