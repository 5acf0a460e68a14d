//! Rotary, grouped-query self-attention over a cache: the one most decoders use.

use std::sync::Arc;

use kernels::ops::{PagedAttention, Rope};
use kernels::{KvLayer, Tensor, ops};

use super::{Linear, RmsNorm};
use crate::{Batch, Cache, LayerCache, Remember, Result, Scope};

/// The shape of an attention block.
#[derive(Clone, Debug)]
pub struct AttentionConfig {
    /// Which layer it is, counted from 0.
    pub layer: usize,
    /// The width of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// The width of one head.
    pub head_dim: usize,
    /// Whether the query, key and value projections have a bias.
    pub qkv_bias: bool,
    /// Whether the output projection has a bias.
    pub o_bias: bool,
    /// `eps` of a norm on each query and key head, if there is one.
    pub qk_norm: Option<f32>,
    /// The rotary frequencies.
    pub rope: Arc<Rope>,
    /// How far back it looks.
    pub remember: Remember,
}

/// Self-attention with a cache.
#[derive(Debug)]
pub struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    qk_norm: Option<(RmsNorm, RmsNorm)>,
    config: AttentionConfig,
}

impl Attention {
    /// Loads the four projections and, if configured, the two norms.
    ///
    /// # Errors
    ///
    /// If a tensor is missing or has another shape, or the heads do not fit together.
    pub fn load(scope: &Scope<'_>, config: AttentionConfig) -> Result<Self> {
        let AttentionConfig { width, heads, kv_heads, head_dim, qkv_bias, o_bias, qk_norm, .. } =
            config;
        scope.expect(heads > 0, "num_attention_heads", heads, "above zero")?;
        let grouped = kv_heads > 0 && heads.is_multiple_of(kv_heads);
        scope.expect(
            grouped,
            "num_key_value_heads",
            kv_heads,
            "a divisor of num_attention_heads",
        )?;
        let [q_width, kv_width] = [heads, kv_heads].map(|heads| heads.saturating_mul(head_dim));
        let norm = |name, eps| RmsNorm::load(&scope.at(name), head_dim, eps);
        Ok(Self {
            q_proj: Linear::load(&scope.at("q_proj"), width, q_width, qkv_bias)?,
            k_proj: Linear::load(&scope.at("k_proj"), width, kv_width, qkv_bias)?,
            v_proj: Linear::load(&scope.at("v_proj"), width, kv_width, qkv_bias)?,
            o_proj: Linear::load(&scope.at("o_proj"), q_width, width, o_bias)?,
            qk_norm: match qk_norm {
                Some(eps) => Some((norm("q_norm", eps)?, norm("k_norm", eps)?)),
                None => None,
            },
            config,
        })
    }

    /// What the layer remembers.
    pub fn cache(&self) -> LayerCache {
        let AttentionConfig { kv_heads, head_dim, remember, .. } = self.config;
        let kv = KvLayer { kv_heads, key_dim: head_dim, value_dim: head_dim };
        LayerCache { kv, remember }
    }

    /// Attends within each span of `batch`, over its past: `[rows, width]` to `[rows, width]`.
    pub fn forward(&self, x: &Tensor, batch: &Batch, cache: &mut Cache) -> Tensor {
        let AttentionConfig { layer, heads, kv_heads, head_dim, ref rope, remember, .. } =
            self.config;
        let rows = x.rows();
        let [q, k, v] = Linear::forward_each([&self.q_proj, &self.k_proj, &self.v_proj], x);
        let mut q = q.reshape(&[rows, heads, head_dim]);
        let mut k = k.reshape(&[rows, kv_heads, head_dim]);
        if let Some((q_norm, k_norm)) = &self.qk_norm {
            (q, k) = (q_norm.forward(&q), k_norm.forward(&k));
        }
        q = ops::rope(&q, &batch.positions, rope);
        k = ops::rope(&k, &batch.positions, rope);
        cache.kv.append(layer, &k, &v, &batch.spans);
        let window = match remember {
            Remember::Full => None,
            Remember::Sliding(window) => Some(window),
        };
        let scale = (head_dim as f32).sqrt().recip();
        let how = PagedAttention { layer, scale, window };
        self.o_proj.forward(&ops::paged_attention(&q, &cache.kv, &batch.spans, how))
    }
}
