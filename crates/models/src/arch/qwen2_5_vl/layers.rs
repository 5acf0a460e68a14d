//! What the vision tower of Qwen2.5-VL is made of: its configuration, a layer, and what makes rows of blocks.

use std::collections::BTreeMap;
use std::ops::Range;

use kernels::ops::{Gelu, Mask, Rope, gelu, scaled_dot_product_attention};
use kernels::{Tensor, ops};
use serde::Deserialize;
use serde_json::Value;

use crate::nn::pieces::Halfway;
use crate::nn::{Activation, GatedMlp, Linear, RmsNorm};
use crate::{Result, Scope, Taps};

const EPS: f32 = 1e-6;

#[derive(Debug, Deserialize)]
pub(super) struct VisionConfig {
    pub(super) depth: usize,
    pub(super) hidden_size: usize,
    pub(super) num_heads: usize,
    pub(super) intermediate_size: usize,
    #[serde(default)]
    pub(super) hidden_act: Activation,
    /// Some files have one of these, some the other, some both.
    pub(super) in_channels: Option<usize>,
    pub(super) in_chans: Option<usize>,
    #[serde(default = "fourteen")]
    pub(super) patch_size: usize,
    #[serde(default = "two")]
    pub(super) spatial_merge_size: usize,
    #[serde(default = "two")]
    pub(super) temporal_patch_size: usize,
    #[serde(default = "window")]
    pub(super) window_size: usize,
    pub(super) fullatt_block_indexes: Vec<usize>,
    #[serde(default)]
    pub(super) rope_parameters: Axial,
    pub(super) out_hidden_size: Option<usize>,
    #[serde(flatten)]
    pub(super) rest: BTreeMap<String, Value>,
}

/// `rope_parameters`: older files leave them out.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Axial {
    pub(super) rope_theta: Option<f32>,
}

fn two() -> usize {
    2
}

fn fourteen() -> usize {
    14
}

fn window() -> usize {
    112
}

#[derive(Debug)]
pub(super) struct Layer {
    name: String,
    norm1: RmsNorm,
    qkv: Linear,
    proj: Linear,
    norm2: RmsNorm,
    mlp: GatedMlp,
    pub(super) heads: usize,
    /// Whether it attends over the whole image.
    pub(super) whole: bool,
}

#[derive(Debug)]
pub(super) struct Merger {
    ln_q: RmsNorm,
    first: Linear,
    last: Linear,
}

impl Layer {
    pub(super) fn load(scope: &Scope<'_>, c: &VisionConfig, layer: usize) -> Result<Self> {
        let width = c.hidden_size;
        Ok(Self {
            name: scope.name().to_owned(),
            norm1: RmsNorm::load(&scope.at("norm1"), width, EPS)?,
            qkv: Linear::load(&scope.at("attn.qkv"), width, width.saturating_mul(3), true)?,
            proj: Linear::load(&scope.at("attn.proj"), width, width, true)?,
            norm2: RmsNorm::load(&scope.at("norm2"), width, EPS)?,
            mlp: GatedMlp::load(&scope.at("mlp"), width, c.intermediate_size, true)?,
            heads: c.num_heads,
            whole: c.fullatt_block_indexes.contains(&layer),
        })
    }

    /// Adds what patches see within each of `sequences`.
    pub(super) fn attend(
        &self,
        x: &Tensor,
        positions: &[u32],
        rope: &Rope,
        sequences: &[Range<usize>],
    ) -> Tensor {
        self.close(x, &self.see(&self.project(x), (0..self.heads, positions, rope), sequences))
    }

    /// Queries, keys and values of patches.
    pub(super) fn project(&self, x: &Tensor) -> Tensor {
        self.qkv.forward(&self.norm1.forward(x))
    }

    /// What these heads see within each of `sequences` of patches with such queries, keys and values.
    pub(super) fn see(
        &self,
        qkv: &Tensor,
        (heads, positions, rope): (Range<usize>, &[u32], &Rope),
        sequences: &[Range<usize>],
    ) -> Tensor {
        let (rows, width) = (qkv.rows(), qkv.width() / 3);
        let (all, dim) = (self.heads, width / self.heads);
        let shape = [rows, heads.len(), dim];
        let [q, k, v] = if heads.len() == all {
            ops::split(qkv, [width; 3])
        } else {
            let each = qkv.reshape(&[rows * 3 * all, dim]);
            [0, 1, 2].map(|part| {
                let of =
                    |row: usize| heads.clone().map(move |h| ((row * 3 + part) * all + h) as u32);
                ops::take(&each, &(0..rows).flat_map(of).collect::<Vec<_>>())
            })
        }
        .map(|part| part.reshape(&shape));
        let [q, k] = [q, k].map(|part| ops::rope(&part, positions, rope));
        let scale = (dim as f32).sqrt().recip();
        scaled_dot_product_attention(&q, &k, &v, sequences, scale, Mask::Full)
    }

    /// Adds `y`, what heads saw.
    pub(super) fn close(&self, x: &Tensor, y: &Tensor) -> Tensor {
        ops::add(x, &self.proj.forward(y))
    }

    /// Adds what the feed-forward block makes of each row.
    pub(super) fn feed(&self, x: &Tensor) -> Tensor {
        ops::add(x, &self.mlp.forward(&self.norm2.forward(x)))
    }

    /// Records what a layer made, once it is whole.
    pub(super) fn made(&self, halfway: Halfway, taps: &Taps) -> Halfway {
        if halfway.is_whole() {
            drop(taps.tap(&self.name, halfway.x.clone()));
        }
        halfway
    }
}

impl Merger {
    pub(super) fn load(scope: &Scope<'_>, c: &VisionConfig, width: usize) -> Result<Self> {
        let inner = c.hidden_size.saturating_mul(c.spatial_merge_size.saturating_pow(2));
        Ok(Self {
            ln_q: RmsNorm::load(&scope.at("ln_q"), c.hidden_size, EPS)?,
            first: Linear::load(&scope.at("mlp.0"), inner, inner, true)?,
            last: Linear::load(&scope.at("mlp.2"), inner, width, true)?,
        })
    }

    /// `[blocks * area, width]` to `[blocks, out]`.
    pub(super) fn forward(&self, x: &Tensor, area: usize) -> Tensor {
        let blocks = self.ln_q.forward(x).reshape(&[x.rows() / area, x.width() * area]);
        self.last.forward(&gelu(&self.first.forward(&blocks), Gelu::Erf))
    }
}
