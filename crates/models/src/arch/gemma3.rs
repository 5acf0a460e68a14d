//! Gemma 3, its language half: alone (`gemma3_text`) or beside a vision tower (`gemma3`).
//!
//! Norms before and after each block, whose weights are what one is added to; norms on query and key
//! heads; embeddings times the root of their width. Of every `sliding_window_pattern` layers all but
//! the last look back over a window only, and rotate with a base of their own. A checkpoint with a
//! vision tower has all of this below `language_model`, or below `model.language_model` with the head
//! apart; the tower and its projector are left out, for nothing here gives it pictures.
//!
//! - Reference: `transformers/models/gemma3/modeling_gemma3.py`, `mlx_lm/models/gemma3_text.py`
//! - Checkpoints: `mlx-community/gemma-3-1b-it-4bit`, `mlx-community/gemma-3-4b-it-4bit`

use std::collections::BTreeMap;
use std::sync::Arc;

use kernels::ops::Gelu;
use kernels::{Tensor, ops};
use serde::Deserialize;
use serde_json::Value;

use crate::nn::{
    Activation, Attend, Attention, AttentionConfig, AttentionOptions, GatedMlp, LayerTypes,
    RmsNorm, RopeConfig, Rotation, Stack, StackConfig, StackOptions, refuse_unknown, rounded,
};
use crate::{Batch, Cache, LayerCache, Model, Network, Remember, Result, Scope};

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Config {
    hidden_size: usize,
    num_hidden_layers: usize,
    intermediate_size: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    head_dim: usize,
    rms_norm_eps: f32,
    vocab_size: usize,
    max_position_embeddings: usize,
    hidden_activation: Activation,
    query_pre_attn_scalar: f32,
    sliding_window: Option<usize>,
    sliding_window_pattern: usize,
    layer_types: Option<LayerTypes>,
    rope_local_base_freq: f64,
    tie_word_embeddings: Option<bool>,
    #[serde(flatten)]
    rope: RopeConfig,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl Default for Config {
    /// What a configuration leaves out, as the reference fills it in.
    fn default() -> Self {
        Self {
            hidden_size: 2304,
            num_hidden_layers: 26,
            intermediate_size: 9216,
            num_attention_heads: 8,
            num_key_value_heads: 4,
            head_dim: 256,
            rms_norm_eps: 1e-6,
            vocab_size: 262_208,
            max_position_embeddings: 131_072,
            hidden_activation: Activation::GeluTanh,
            query_pre_attn_scalar: 256.0,
            sliding_window: Some(4096),
            sliding_window_pattern: 6,
            layer_types: None,
            rope_local_base_freq: 10_000.0,
            tie_word_embeddings: None,
            rope: RopeConfig::default(),
            rest: BTreeMap::new(),
        }
    }
}

pub(crate) fn build(root: &Scope<'_>) -> Result<Model> {
    let Some(text) = root.config().part("text_config")? else {
        let config = root.config().parse("gemma3_text")?;
        return built("gemma3_text", [&root.at("model"), root], &config);
    };
    // Newer programs put all but the head below `model`.
    let inner = if root.has("model.language_model") { root.at("model") } else { root.clone() };
    for tower in ["vision_tower", "multi_modal_projector"] {
        root.at(tower).ignore_all();
        inner.at(tower).ignore_all();
    }
    let language = inner.at("language_model");
    let places = match language.has("model") {
        true => [language.at("model"), language],
        false => [language, root.clone()],
    };
    let [model, head] = places.each_ref().map(|place| place.beside(&text));
    built("gemma3", [&model, &head], &text.parse("gemma3")?)
}

fn built(architecture: &'static str, places: [&Scope<'_>; 2], config: &Config) -> Result<Model> {
    let network = load(places, config)?;
    Ok(Model {
        architecture,
        network: Network::Decoder(Box::new(network)),
        vocabulary: config.vocab_size,
        context: config.max_position_embeddings,
        hidden: config.hidden_size,
    })
}

fn load(places: [&Scope<'_>; 2], c: &Config) -> Result<Stack<Block>> {
    let root = places[1];
    refuse_unknown(root, "gemma3", &c.rest)?;
    let (gelu, found) = (Activation::GeluTanh, c.hidden_activation);
    root.expect(found == gelu, "hidden_activation", format!("{found:?}"), "gelu_pytorch_tanh")?;
    root.expect(c.sliding_window != Some(0), "sliding_window", 0, "above zero, or null")?;
    let scalar = c.query_pre_attn_scalar;
    root.expect(scalar > 0.0, "query_pre_attn_scalar", scalar, "above zero")?;
    let pattern = c.sliding_window_pattern;
    root.expect(pattern > 0, "sliding_window_pattern", pattern, "above zero")?;
    if let Some(types) = &c.layer_types {
        types.check(root, c.num_hidden_layers)?;
    }
    let rope = |sliding| {
        let of_kind = c.rope.of_kind(sliding, c.rope_local_base_freq);
        let usual = (1_000_000.0, c.max_position_embeddings);
        of_kind.build(root, "gemma3", c.head_dim, usual).map(Arc::new)
    };
    let ropes = [rope(false)?, rope(true)?];
    let stack = StackConfig {
        vocabulary: c.vocab_size,
        width: c.hidden_size,
        layers: c.num_hidden_layers,
        eps: c.rms_norm_eps,
        tied: c.tie_word_embeddings,
        options: StackOptions {
            norm_from_one: true,
            // A factor of the type that it was trained in.
            embed_scale: Some(rounded((c.hidden_size as f32).sqrt())),
            ..StackOptions::default()
        },
    };
    Stack::load_at(places, stack, |scope, layer| Block::load(scope, c, layer, &ropes))
}

#[derive(Debug)]
struct Block {
    name: String,
    input_layernorm: RmsNorm,
    self_attn: Attention,
    post_attention_layernorm: RmsNorm,
    pre_feedforward_layernorm: RmsNorm,
    mlp: GatedMlp,
    post_feedforward_layernorm: RmsNorm,
}

impl Block {
    fn load(
        scope: &Scope<'_>,
        c: &Config,
        layer: usize,
        ropes: &[Arc<Rotation>; 2],
    ) -> Result<Self> {
        let norm = |name| RmsNorm::load_from_one(&scope.at(name), c.hidden_size, c.rms_norm_eps);
        let sliding = c.slides(layer);
        let attention = AttentionConfig {
            layer,
            width: c.hidden_size,
            heads: c.num_attention_heads,
            kv_heads: c.num_key_value_heads,
            head_dim: c.head_dim,
            qkv_bias: false,
            o_bias: false,
            qk_norm: Some(c.rms_norm_eps),
            rope: Arc::clone(&ropes[usize::from(sliding)]),
            remember: match c.sliding_window {
                Some(window) if sliding => Remember::Sliding(window),
                _ => Remember::Full,
            },
            options: AttentionOptions {
                norms_from_one: true,
                scale: Some(c.query_pre_attn_scalar.sqrt().recip()),
                ..AttentionOptions::default()
            },
        };
        let mlp = GatedMlp::load(&scope.at("mlp"), c.hidden_size, c.intermediate_size, false)?;
        Ok(Self {
            name: scope.name().to_owned(),
            input_layernorm: norm("input_layernorm")?,
            self_attn: Attention::load(&scope.at("self_attn"), attention)?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            pre_feedforward_layernorm: norm("pre_feedforward_layernorm")?,
            mlp: mlp.with_gelu(Gelu::Tanh),
            post_feedforward_layernorm: norm("post_feedforward_layernorm")?,
        })
    }
}

impl Attend for Block {
    fn cache(&self) -> LayerCache {
        self.self_attn.cache()
    }

    fn forward(&self, x: &Tensor, batch: &Batch, cache: &mut Cache) -> Tensor {
        let tap = |name, value| batch.tap(&format!("{}.{name}", self.name), value);
        let y = tap("input_layernorm", self.input_layernorm.forward(x));
        let y = tap("self_attn", self.self_attn.forward(&y, batch, cache));
        let y = tap("post_attention_layernorm", self.post_attention_layernorm.forward(&y));
        let x = ops::add(x, &y);
        let y = tap("pre_feedforward_layernorm", self.pre_feedforward_layernorm.forward(&x));
        let y = tap("mlp", self.mlp.forward(&y));
        let y = tap("post_feedforward_layernorm", self.post_feedforward_layernorm.forward(&y));
        batch.tap(&self.name, ops::add(&x, &y))
    }
}

impl Config {
    /// Whether `layer` looks back over a window only.
    fn slides(&self, layer: usize) -> bool {
        match &self.layer_types {
            Some(types) => types.slides(layer),
            None => !(layer + 1).is_multiple_of(self.sliding_window_pattern),
        }
    }
}
