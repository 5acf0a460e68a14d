//! Nomic's encoder: BERT's order of blocks and norms, with rotary positions and a gated feed-forward, and no biases in maps.
//!
//! Checkpoints spell their configuration as GPT-2 does, or in the newer way that transformers took up. Beyond the positions
//! that it was trained for a checkpoint may ask for frequencies that depend on a text's length; such texts are refused.
//!
//! - Reference: `transformers/models/nomic_bert/modeling_nomic_bert.py`
//! - Checkpoints: `nomic-ai/nomic-embed-text-v1`, `nomic-ai/nomic-embed-text-v1.5`

use std::collections::BTreeMap;
use std::sync::Arc;

use checkpoint::Care;
use kernels::ops::Mask;
use kernels::{Tensor, ops};
use serde::Deserialize;
use serde_json::Value;

use crate::nn::{
    Embedding, EncoderAttention, EncoderAttentionConfig, LayerNorm, Linear, RopeConfig, Rotation,
    refuse_unknown,
};
use crate::{Batch, Encoder, Model, Network, Result, Scope};

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(alias = "n_embd")]
    hidden_size: usize,
    #[serde(alias = "n_layer")]
    num_hidden_layers: usize,
    #[serde(alias = "n_head")]
    num_attention_heads: usize,
    #[serde(alias = "n_inner")]
    intermediate_size: usize,
    #[serde(alias = "n_positions")]
    max_position_embeddings: usize,
    #[serde(alias = "layer_norm_epsilon")]
    layer_norm_eps: f32,
    #[serde(alias = "hidden_act")]
    activation_function: String,
    vocab_size: usize,
    type_vocab_size: usize,
    rotary_emb_base: Option<f64>,
    rotary_emb_fraction: Option<f64>,
    #[serde(default)]
    rotary_emb_interleaved: bool,
    rotary_emb_scale_base: Option<f64>,
    rotary_scaling_factor: Option<f64>,
    max_trained_positions: Option<usize>,
    #[serde(default)]
    qkv_proj_bias: bool,
    #[serde(default)]
    mlp_fc1_bias: bool,
    #[serde(default)]
    mlp_fc2_bias: bool,
    #[serde(default)]
    causal: bool,
    #[serde(default)]
    prenorm: bool,
    #[serde(default)]
    parallel_block: bool,
    use_rms_norm: Option<bool>,
    moe_every_n_layers: Option<usize>,
    #[serde(flatten)]
    rope: RopeConfig,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl Config {
    /// Fails where a field asks for what is not done here.
    fn check(&self, root: &Scope<'_>) -> Result<()> {
        refuse_unknown(root, "nomic_bert", &self.rest)?;
        for (field, on) in [
            ("rotary_emb_interleaved", self.rotary_emb_interleaved),
            ("rotary_emb_scale_base", self.rotary_emb_scale_base.is_some()),
            ("qkv_proj_bias", self.qkv_proj_bias),
            ("mlp_fc1_bias", self.mlp_fc1_bias),
            ("mlp_fc2_bias", self.mlp_fc2_bias),
            ("causal", self.causal),
            ("prenorm", self.prenorm),
            ("parallel_block", self.parallel_block),
            ("use_rms_norm", self.use_rms_norm.unwrap_or(false)),
            ("moe_every_n_layers", self.moe_every_n_layers.is_some_and(|n| n > 0)),
        ] {
            if on {
                return Err(root.unsupported("nomic_bert", field, "on"));
            }
        }
        let whole = self.rotary_emb_fraction.unwrap_or(1.0);
        root.expect(whole == 1.0, "rotary_emb_fraction", whole, "1")?;
        let act = self.activation_function.as_str();
        root.expect(["swiglu", "silu"].contains(&act), "activation_function", act, "swiglu")?;
        root.expect(self.type_vocab_size > 0, "type_vocab_size", 0, "above zero")
    }

    /// The longest text whose positions are turned as they always are.
    fn context(&self) -> usize {
        let trained = self.rotary_scaling_factor.and(self.max_trained_positions);
        trained.unwrap_or(usize::MAX).min(self.max_position_embeddings)
    }
}

pub(crate) fn build(root: &Scope<'_>) -> Result<Model> {
    let config: Config = root.config().parse("nomic_bert")?;
    let network = Nomic::load(root, &config)?;
    Ok(Model {
        architecture: "nomic_bert",
        network: Network::Encoder(Box::new(network)),
        vocabulary: config.vocab_size,
        context: config.context(),
        hidden: config.hidden_size,
    })
}

#[derive(Debug)]
struct Block {
    name: String,
    attn: EncoderAttention,
    norm1: LayerNorm,
    fc11: Linear,
    fc12: Linear,
    fc2: Linear,
    norm2: LayerNorm,
}

impl Block {
    fn load(scope: &Scope<'_>, c: &Config, i: usize, rope: Arc<Rotation>) -> Result<Self> {
        let norm = |name| LayerNorm::load(&scope.at(name), c.hidden_size, c.layer_norm_eps);
        let map =
            |name, inputs, outputs| Linear::load(&scope.at("mlp").at(name), inputs, outputs, false);
        let (hidden, wide) = (c.hidden_size, c.intermediate_size);
        let attention = EncoderAttentionConfig {
            width: hidden,
            heads: c.num_attention_heads,
            bias: false,
            output: "out_proj",
            rope,
            mask: Mask::Full,
        };
        Ok(Self {
            name: format!("encoder.layers.{i}"),
            attn: EncoderAttention::load(&scope.at("attn"), attention)?,
            norm1: norm("norm1")?,
            fc11: map("fc11", hidden, wide)?,
            fc12: map("fc12", hidden, wide)?,
            fc2: map("fc2", wide, hidden)?,
            norm2: norm("norm2")?,
        })
    }

    fn forward(&self, x: &Tensor, batch: &Batch) -> Tensor {
        let tap = |name, value| batch.tap(&format!("{}.{name}", self.name), value);
        let attended = tap("attn", self.attn.forward(x, batch));
        let x = self.norm1.forward(&ops::add(x, &attended));
        let [up, gate] = Linear::forward_each([&self.fc11, &self.fc12], &x);
        let wide = tap("mlp", self.fc2.forward(&ops::swiglu(&gate, &up)));
        batch.tap(&self.name, self.norm2.forward(&ops::add(&x, &wide)))
    }
}

#[derive(Debug)]
struct Nomic {
    word_embeddings: Embedding,
    token_type_embeddings: Embedding,
    emb_ln: LayerNorm,
    layers: Vec<Block>,
    types: u32,
}

impl Nomic {
    fn load(root: &Scope<'_>, c: &Config) -> Result<Self> {
        c.check(root)?;
        let prefixed = root.at("bert").at("embeddings").at("word_embeddings").has("weight");
        let model = if prefixed { root.at("bert") } else { root.clone() };
        root.at("cls").ignore_all();
        model.at("pooler").ignore_all();
        let tables = model.at("embeddings");
        let table = |name, rows| Embedding::table(&tables.at(name), rows, c.hidden_size);
        let width = c.hidden_size / c.num_attention_heads.max(1);
        let theta = c.rotary_emb_base.unwrap_or(1000.0);
        let context = c.max_position_embeddings;
        let rope = Arc::new(c.rope.build(root, "nomic_bert", width, (theta, context))?);
        let layers = model.at("encoder").at("layers");
        let token_type_embeddings = table("token_type_embeddings", c.type_vocab_size)?;
        // A few rows, one of which is added to every token.
        tables.at("token_type_embeddings").note_care(Care::Float);
        Ok(Self {
            word_embeddings: table("word_embeddings", c.vocab_size)?,
            token_type_embeddings,
            emb_ln: LayerNorm::load(&model.at("emb_ln"), c.hidden_size, c.layer_norm_eps)?,
            layers: (0..c.num_hidden_layers)
                .map(|i| Block::load(&layers.at(i), c, i, Arc::clone(&rope)))
                .collect::<Result<_>>()?,
            types: c.type_vocab_size as u32,
        })
    }
}

impl Encoder for Nomic {
    fn forward(&self, batch: &Batch) -> Tensor {
        let words = self.word_embeddings.forward(&batch.tokens);
        let types: Vec<_> = batch.token_types.iter().map(|&t| t.min(self.types - 1)).collect();
        let types = self.token_type_embeddings.forward(&types);
        let mut x = batch.tap("emb_ln", self.emb_ln.forward(&ops::add(&words, &types)));
        for layer in &self.layers {
            x = layer.forward(&x, batch);
        }
        x
    }

    fn centred_before_cut(&self) -> bool {
        true
    }
}
