//! Rotary self-attention in both directions, with one matrix for queries, keys and values.

use std::sync::Arc;

use kernels::ops::{Mask, scaled_dot_product_attention};
use kernels::{Tensor, ops};

use super::{Linear, Rotation};
use crate::{Batch, Result, Scope};

/// The shape of such a block.
#[derive(Clone, Debug)]
pub(crate) struct EncoderAttentionConfig {
    /// The width of the residual stream.
    pub(crate) width: usize,
    /// Heads, which divide it.
    pub(crate) heads: usize,
    /// Whether the two maps have a bias.
    pub(crate) bias: bool,
    /// What the checkpoint calls the map of what was attended to.
    pub(crate) output: &'static str,
    /// The rotary frequencies.
    pub(crate) rope: Arc<Rotation>,
    /// Which tokens see each other.
    pub(crate) mask: Mask,
}

/// Self-attention within each passage.
#[derive(Debug)]
pub(crate) struct EncoderAttention {
    qkv: Linear,
    output: Linear,
    config: EncoderAttentionConfig,
}

impl EncoderAttention {
    /// Loads `Wqkv: [3 * width, width]` and the map of the output.
    pub(crate) fn load(scope: &Scope<'_>, config: EncoderAttentionConfig) -> Result<Self> {
        let EncoderAttentionConfig { width, heads, bias, output, .. } = config;
        let divides = heads > 0 && width.is_multiple_of(heads);
        scope.expect(divides, "num_attention_heads", heads, "a divisor of hidden_size")?;
        Ok(Self {
            qkv: Linear::load(&scope.at("Wqkv"), width, width.saturating_mul(3), bias)?,
            output: Linear::load(&scope.at(output), width, width, bias)?,
            config,
        })
    }

    /// Attends within each span of `batch`: `[rows, width]` to `[rows, width]`.
    pub(crate) fn forward(&self, x: &Tensor, batch: &Batch) -> Tensor {
        let EncoderAttentionConfig { heads, ref rope, mask, .. } = self.config;
        let width = x.width() / heads;
        let [q, k, v] = ops::split(&self.qkv.forward(x), [x.width(); 3])
            .map(|x| x.reshape(&[x.rows(), heads, width]));
        let [q, k] = [q, k].map(|x| rope.apply(&x, batch));
        let scale = (width as f32).sqrt().recip();
        let y = scaled_dot_product_attention(&q, &k, &v, &batch.sequences(), scale, mask);
        self.output.forward(&y)
    }
}
