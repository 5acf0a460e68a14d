//! CLIP's vision tower: squares of one size, cut into patches, each of which has a learned place.
//!
//! Only as many layers are computed as whoever reads the tower wants. What lies behind them is let go.

use std::collections::BTreeMap;
use std::ops::Range;

use kernels::ops::{Mask, scaled_dot_product_attention};
use kernels::{Device, Tensor, ops};
use serde::Deserialize;
use serde_json::Value;

use super::pieces::Halfway;
use super::{Activation, Embedding, LayerNorm, Linear, Weight, refuse_unknown};
use crate::{Result, Scope, Taps};

/// The most layers, the longest side of a square, and the most patches across it, that are believed.
const MOST_LAYERS: usize = 1 << 10;
const LONGEST: usize = 1 << 12;
const MOST_ACROSS: usize = 128;

/// Rows that are computed together, but for one square more.
const TOGETHER: usize = 256;

/// A tower's part of a configuration. What is left out is as in the reference.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct ClipConfig {
    pub(crate) model_type: String,
    pub(crate) hidden_size: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) num_hidden_layers: usize,
    pub(crate) num_attention_heads: usize,
    pub(crate) num_channels: usize,
    pub(crate) image_size: usize,
    pub(crate) patch_size: usize,
    pub(crate) hidden_act: Activation,
    pub(crate) layer_norm_eps: f32,
    #[serde(flatten)]
    pub(crate) rest: BTreeMap<String, Value>,
}

impl Default for ClipConfig {
    fn default() -> Self {
        Self {
            model_type: "clip_vision_model".to_owned(),
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            rest: BTreeMap::new(),
        }
    }
}

impl ClipConfig {
    /// How many layers are computed for the hidden states whose number, `state`, stands in `field`: 0 are those before the first
    /// layer, -1 those behind the last.
    pub(crate) fn layers_of(
        &self,
        scope: &Scope<'_>,
        field: &'static str,
        state: i64,
    ) -> Result<usize> {
        let all = self.num_hidden_layers;
        let behind = usize::try_from(state.unsigned_abs()).unwrap_or(usize::MAX);
        let layers = if state < 0 { (all + 1).checked_sub(behind) } else { Some(behind) };
        let layers = layers.filter(|&layers| layers <= all);
        scope.expect(layers.is_some(), field, state, "one of the tower's layers")?;
        Ok(layers.unwrap_or(all))
    }

    /// Fails where a field has a value that no such tower can have.
    pub(crate) fn check(&self, scope: &Scope<'_>, architecture: &'static str) -> Result<()> {
        refuse_unknown(scope, architecture, &self.rest)?;
        let (kind, act) = (&self.model_type, self.hidden_act);
        if kind != "clip_vision_model" {
            return Err(scope.unsupported(architecture, "vision_config.model_type", kind));
        }
        if act == Activation::Silu {
            return Err(scope.unsupported(architecture, "vision_config.hidden_act", "silu"));
        }
        let (side, patch, layers) = (self.image_size, self.patch_size, self.num_hidden_layers);
        let channels = self.num_channels;
        scope.expect(channels == 3, "vision_config.num_channels", channels, "3")?;
        let field = "vision_config.image_size";
        scope.expect((1..=LONGEST).contains(&side), field, side, "between 1 and 4096")?;
        let divides = patch > 0 && side.is_multiple_of(patch) && side / patch <= MOST_ACROSS;
        let expected = "a divisor of image_size, and a 128th of it at least";
        scope.expect(divides, "vision_config.patch_size", patch, expected)?;
        let field = "vision_config.num_hidden_layers";
        scope.expect((1..=MOST_LAYERS).contains(&layers), field, layers, "between 1 and 1024")?;
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        let divides = heads > 0 && width > 0 && width.is_multiple_of(heads);
        let field = "vision_config.num_attention_heads";
        scope.expect(divides, field, heads, "a divisor of hidden_size")
    }
}

/// Squares to hidden states of their patches.
#[derive(Debug)]
pub(crate) struct ClipTower {
    name: String,
    device: Device,
    /// `[1, width]`
    class_embedding: Tensor,
    patch_embedding: Weight,
    position_embedding: Embedding,
    pre_layrnorm: LayerNorm,
    layers: Vec<Layer>,
    /// How many patches a square has.
    area: usize,
}

impl ClipTower {
    /// Loads the first `layers` of what lies at `scope`, of a configuration that was [checked](ClipConfig::check).
    pub(crate) fn load(scope: &Scope<'_>, c: &ClipConfig, layers: usize) -> Result<Self> {
        let (width, patch) = (c.hidden_size, c.patch_size);
        let area = (c.image_size / patch).pow(2);
        let embeddings = scope.at("embeddings");
        embeddings.ignore("position_ids");
        let positions = embeddings.at("position_embedding");
        let position_embedding = Embedding::table(&positions, area + 1, width)?;
        let encoder = scope.at("encoder").at("layers");
        // Taken all the same, where it is there: a converted checkpoint is to have it for others.
        for layer in (layers..c.num_hidden_layers).filter(|layer| encoder.has(&layer.to_string())) {
            drop(Layer::load(&encoder.at(layer), c)?);
        }
        if scope.has("post_layernorm") {
            drop(LayerNorm::load(&scope.at("post_layernorm"), width, c.layer_norm_eps)?);
        }
        let tower = Self {
            name: scope.name().to_owned(),
            device: scope.device().clone(),
            class_embedding: embeddings.vector("class_embedding", width)?.reshape(&[1, width]),
            patch_embedding: embeddings.at("patch_embedding").patches(width, 3, &[patch; 2])?,
            position_embedding,
            pre_layrnorm: LayerNorm::load(&scope.at("pre_layrnorm"), width, c.layer_norm_eps)?,
            layers: (0..layers).map(|i| Layer::load(&encoder.at(i), c)).collect::<Result<_>>()?,
            area,
        };
        scope.note_floats();
        Ok(tower)
    }

    /// In how many pieces so many squares are read.
    pub(crate) fn pieces(&self, squares: usize) -> usize {
        2 + self.layers.len() * self.groups(squares).len()
    }

    /// The rows of squares that are computed together.
    fn groups(&self, squares: usize) -> Vec<Range<usize>> {
        let rows = self.area + 1;
        let together = TOGETHER.div_ceil(rows);
        let group = |first: usize| first * rows..(first + together).min(squares) * rows;
        (0..squares).step_by(together).map(group).collect()
    }

    /// What [`piece`](crate::Vision::piece) asks for. The last leaves the hidden states `[squares * area, width]` of the patches of
    /// squares, whose numbers are `patches: [squares * area, 3 * patch * patch]`; those of each square's class are left out.
    pub(crate) fn piece(
        &self,
        (squares, patches): (usize, impl FnOnce() -> Vec<f32>),
        piece: usize,
        left: Vec<Tensor>,
        taps: &Taps,
    ) -> Vec<Tensor> {
        let tap = |name: &str, value| taps.tap(&format!("{}.{name}", self.name), value);
        let rows = self.area + 1;
        let Some(piece) = piece.checked_sub(1) else {
            let inputs = self.patch_embedding.columns();
            let x = self.device.tensor(&[squares * self.area, inputs], patches());
            let x = tap("embeddings", self.embed(&self.patch_embedding.matmul(&x), squares));
            return vec![tap("pre_layrnorm", self.pre_layrnorm.forward(&x))];
        };
        let (groups, halfway) = (self.groups(squares), Halfway::of(left));
        let Some(layer) = self.layers.get(piece / groups.len().max(1)) else {
            let of_patches = (0..squares).flat_map(|square| (square * rows..).take(rows).skip(1));
            return vec![ops::take(
                &halfway.x,
                &of_patches.map(|row| row as u32).collect::<Vec<_>>(),
            )];
        };
        let group = &groups[piece % groups.len()];
        let sequences: Vec<_> =
            (0..group.len() / rows).map(|square| square * rows..(square + 1) * rows).collect();
        let part = layer.forward(&Halfway::rows(&halfway.x, group), &sequences);
        let halfway = halfway.with(part, &groups);
        if halfway.is_whole() {
            drop(taps.tap(&layer.name, halfway.x.clone()));
        }
        halfway.left()
    }

    /// The class before the patches of each square, and all with their places.
    fn embed(&self, patches: &Tensor, squares: usize) -> Tensor {
        let class = ops::take(&self.class_embedding, &vec![0; 1 + patches.rows()]);
        let rows = ops::slice_update(&class, &[(1, patches.clone())]);
        let area = self.area as u32;
        let of_square =
            |square: u32| (0..=area).map(move |at| if at == 0 { 0 } else { square * area + at });
        let order: Vec<u32> = (0..squares as u32).flat_map(of_square).collect();
        let places: Vec<u32> = (0..squares).flat_map(|_| 0..=area).collect();
        ops::add(&ops::take(&rows, &order), &self.position_embedding.forward(&places))
    }
}

#[derive(Debug)]
struct Layer {
    name: String,
    layer_norm1: LayerNorm,
    qkv: [Linear; 3],
    out_proj: Linear,
    layer_norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    heads: usize,
    activation: Activation,
}

impl Layer {
    fn load(scope: &Scope<'_>, c: &ClipConfig) -> Result<Self> {
        let (width, inner, attention) = (c.hidden_size, c.intermediate_size, scope.at("self_attn"));
        let norm = |name| LayerNorm::load(&scope.at(name), width, c.layer_norm_eps);
        let map = |name| Linear::load(&attention.at(name), width, width, true);
        Ok(Self {
            name: scope.name().to_owned(),
            layer_norm1: norm("layer_norm1")?,
            qkv: [map("q_proj")?, map("k_proj")?, map("v_proj")?],
            out_proj: map("out_proj")?,
            layer_norm2: norm("layer_norm2")?,
            fc1: Linear::load(&scope.at("mlp.fc1"), width, inner, true)?,
            fc2: Linear::load(&scope.at("mlp.fc2"), inner, width, true)?,
            heads: c.num_attention_heads,
            activation: c.hidden_act,
        })
    }

    fn forward(&self, x: &Tensor, sequences: &[Range<usize>]) -> Tensor {
        let heads = [x.rows(), self.heads, x.width() / self.heads];
        let [q, k, v] = Linear::forward_each(self.qkv.each_ref(), &self.layer_norm1.forward(x))
            .map(|part| part.reshape(&heads));
        let scale = (heads[2] as f32).sqrt().recip();
        let y = scaled_dot_product_attention(&q, &k, &v, sequences, scale, Mask::Full);
        let x = ops::add(x, &self.out_proj.forward(&y));
        let inner = self.fc1.forward(&self.layer_norm2.forward(&x));
        let inner = self.activation.apply(&inner).unwrap_or(inner);
        ops::add(&x, &self.fc2.forward(&inner))
    }
}
