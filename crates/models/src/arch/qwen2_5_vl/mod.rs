//! Qwen2.5-VL: Qwen2's decoder, shown what a vision tower makes of images of any size.
//!
//! Pairs of heads go by positions in time, down and across ("M-RoPE"). The tower is in [`vision`], what comes before it in
//! [`preprocess`]. Tensors lie as the checkpoint was published (`visual`, `model`), as newer programs write it
//! (`model.visual`, `model.language_model`), or as MLX converts it (`vision_tower`, `language_model.model`).
//!
//! - Reference: `transformers/models/qwen2_5_vl/modeling_qwen2_5_vl.py`
//! - Checkpoints: `mlx-community/Qwen2.5-VL-7B-Instruct-4bit`, `allenai/olmOCR-2-7B-1025`

mod layers;
mod preprocess;
mod vision;
mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use self::layers::VisionConfig;
use self::preprocess::Images;
use self::vision::Tower;
use crate::nn::{
    Activation, Attention, AttentionConfig, AttentionOptions, Block, GatedMlp, RopeConfig,
    Rotation, Seeing, Stack, StackConfig, StackOptions, WindowConfig, refuse_unknown,
};
use crate::{Model, Network, Remember, Result, Scope};

/// The text half: all of `config.json`, or its `text_config`.
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
    tie_word_embeddings: Option<bool>,
    #[serde(flatten)]
    window: WindowConfig,
    #[serde(flatten)]
    rope: RopeConfig,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// What stands beside both halves.
#[derive(Debug, Deserialize)]
struct Whole {
    #[serde(default = "image_token")]
    image_token_id: u32,
    tie_word_embeddings: Option<bool>,
}

fn image_token() -> u32 {
    151_655
}

/// Where a checkpoint has the decoder, what its head is below, and the tower.
fn places<'a>(root: &Scope<'a>) -> [Scope<'a>; 3] {
    let first = |names: &[&str], last: &str| {
        let found = names.iter().find(|name| root.has(name));
        root.at(found.copied().unwrap_or(last))
    };
    let language = ["model.language_model", "language_model.model", "language_model"];
    let head =
        if root.has("language_model.model") { root.at("language_model") } else { root.clone() };
    [first(&language, "model"), head, first(&["model.visual", "vision_tower"], "visual")]
}

/// The decoder and the tower.
pub(super) type SeeingStack = Seeing<Stack<Block<Attention>>, Tower>;

pub(crate) fn build(root: &Scope<'_>) -> Result<Model> {
    build_as("qwen2_5_vl", root, false, |network, _| Ok(Network::Decoder(Box::new(network))))
}

/// The network under the name of `architecture`, without its output head if `headless`.
pub(super) fn build_as(
    architecture: &'static str,
    root: &Scope<'_>,
    headless: bool,
    network: impl FnOnce(SeeingStack, usize) -> Result<Network>,
) -> Result<Model> {
    // Some programs put all of it into one part more, and some of those leave its fields outside as well.
    let inner = root.config().part("vlm_config")?;
    let config = inner.as_ref().unwrap_or(root.config());
    let root = if root.has("vlm") { root.at("vlm") } else { root.clone() };
    let root = &root.beside(config);
    let whole: Whole = config.parse(architecture)?;
    let vision = config.part("vision_config")?.unwrap_or_else(|| config.clone());
    let text = config.part("text_config")?;
    let text = text.as_ref().unwrap_or(config);
    let mut own: Config = text.parse(architecture)?;
    own.rest.remove("vision_config");
    own.tie_word_embeddings = own.tie_word_embeddings.or(whole.tie_word_embeddings);
    let [model, head, visual] = places(root);
    if headless {
        head.at("lm_head").ignore_all();
    }
    let images = Images::read(&root.preprocessor()?, whole.image_token_id)?;
    let stack = load([&model.beside(text), &head.beside(text)], &own, architecture, headless)?;
    let vision_config: VisionConfig = vision.parse(architecture)?;
    let tower = Tower::load(&visual.beside(&vision), vision_config, own.hidden_size, images)?;
    Ok(Model {
        architecture,
        network: network(Seeing { language: stack, vision: tower }, own.hidden_size)?,
        vocabulary: own.vocab_size,
        context: own.context(),
        hidden: own.hidden_size,
    })
}

fn load(
    places: [&Scope<'_>; 2],
    c: &Config,
    architecture: &'static str,
    headless: bool,
) -> Result<Stack<Block<Attention>>> {
    let scope = places[0];
    refuse_unknown(scope, architecture, &c.rest)?;
    c.hidden_act.expect_silu(scope)?;
    c.window.refuse(scope, architecture)?;
    let head_dim = c.hidden_size / c.num_attention_heads.max(1);
    let usual = (1_000_000.0, c.context());
    let rope = Arc::new(c.rope.build_in_plane(scope, architecture, head_dim, usual)?);
    let stack = StackConfig {
        vocabulary: c.vocab_size,
        width: c.hidden_size,
        layers: c.num_hidden_layers,
        eps: c.rms_norm_eps,
        tied: c.tie_word_embeddings,
        options: StackOptions { headless, ..StackOptions::default() },
    };
    Stack::load_at(places, stack, |scope, layer| block(scope, c, layer, Arc::clone(&rope)))
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
        head_dim: c.hidden_size / c.num_attention_heads.max(1),
        qkv_bias: true,
        o_bias: false,
        qk_norm: None,
        rope,
        remember: Remember::Full,
        options: AttentionOptions::default(),
    };
    let self_attn = |at: &Scope<'_>| Attention::load(at, attention);
    let mlp = |at: &Scope<'_>| GatedMlp::load(at, c.hidden_size, c.intermediate_size, false);
    Block::load(scope, c.hidden_size, c.rms_norm_eps, self_attn, mlp)
}

impl Config {
    fn context(&self) -> usize {
        self.max_position_embeddings.unwrap_or(32_768)
    }
}
