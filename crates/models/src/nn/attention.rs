//! Rotary, grouped-query self-attention over a cache: the one most decoders use.

use std::sync::Arc;

use kernels::ops::{Mask, PagedAttention, scaled_dot_product_attention};
use kernels::{KvLayer, Tensor, ops};

use super::{Attend, Chunks, Linear, RmsNorm, Rotation};
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
    /// How heads are rotated.
    pub rope: Arc<Rotation>,
    /// How far back it looks.
    pub remember: Remember,
    /// What few blocks have.
    pub options: AttentionOptions,
}

/// What only some attention blocks have; none of it by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionOptions {
    /// Queries, keys and values come of one map, `qkv_proj`, in this order.
    pub fused: bool,
    /// The weights of the norms of query and key heads have one added to them.
    pub norms_from_one: bool,
    /// A factor of the scores that is not `1 / sqrt(head_dim)`.
    pub scale: Option<f32>,
    /// Each head has a further score without a value, `sinks`.
    pub sinks: bool,
    /// Positions are cut into chunks; such a block looks back to the beginning and has no sinks.
    pub chunks: Option<Chunks>,
}

/// Self-attention with a cache.
#[derive(Debug)]
pub struct Attention {
    qkv: Qkv,
    o_proj: Linear,
    qk_norm: Option<(RmsNorm, RmsNorm)>,
    /// `[heads]`
    sinks: Option<Tensor>,
    config: AttentionConfig,
}

/// Three maps, or one for all three.
#[derive(Debug)]
enum Qkv {
    Apart(Box<[Linear; 3]>),
    Fused(Box<Linear>, [usize; 3]),
}

impl Qkv {
    fn forward(&self, x: &Tensor) -> [Tensor; 3] {
        match self {
            Self::Apart(maps) => Linear::forward_each([&maps[0], &maps[1], &maps[2]], x),
            Self::Fused(map, widths) => ops::split(&map.forward(x), *widths),
        }
    }
}

impl Attention {
    /// Loads the projections and, if configured, the two norms and the sinks.
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
        let options = config.options;
        let norm = |name, eps| match options.norms_from_one {
            true => RmsNorm::load_from_one(&scope.at(name), head_dim, eps),
            false => RmsNorm::load(&scope.at(name), head_dim, eps),
        };
        let load = |name, outputs| Linear::load(&scope.at(name), width, outputs, qkv_bias);
        let widths = [q_width, kv_width, kv_width];
        let qkv = if options.fused {
            let all = widths.iter().fold(0, |sum: usize, width| sum.saturating_add(*width));
            Qkv::Fused(Box::new(load("qkv_proj", all)?), widths)
        } else {
            let [q, k, v] = widths;
            Qkv::Apart(Box::new([load("q_proj", q)?, load("k_proj", k)?, load("v_proj", v)?]))
        };
        Ok(Self {
            qkv,
            o_proj: Linear::load(&scope.at("o_proj"), q_width, width, o_bias)?,
            qk_norm: match qk_norm {
                Some(eps) => Some((norm("q_norm", eps)?, norm("k_norm", eps)?)),
                None => None,
            },
            sinks: if options.sinks { Some(scope.vector("sinks", heads)?) } else { None },
            config,
        })
    }
}

impl Attend for Attention {
    fn cache(&self) -> LayerCache {
        let AttentionConfig { kv_heads, head_dim, remember, .. } = self.config;
        let kv = KvLayer { kv_heads, key_dim: head_dim, value_dim: head_dim };
        LayerCache { kv, remember }
    }

    fn forward(&self, x: &Tensor, batch: &Batch, cache: &mut Cache) -> Tensor {
        let AttentionConfig { layer, heads, kv_heads, head_dim, ref rope, remember, .. } =
            self.config;
        let rows = x.rows();
        let [q, k, v] = self.qkv.forward(x);
        let mut q = q.reshape(&[rows, heads, head_dim]);
        let mut k = k.reshape(&[rows, kv_heads, head_dim]);
        if let Some((q_norm, k_norm)) = &self.qk_norm {
            (q, k) = (q_norm.forward(&q), k_norm.forward(&k));
        }
        let scale = self.config.options.scale.unwrap_or((head_dim as f32).sqrt().recip());
        let Some(kv) = &mut cache.kv else {
            let plain = remember == Remember::Full && self.sinks.is_none();
            assert!(plain && self.config.options.chunks.is_none(), "attention without a cache");
            let v = v.reshape(&[rows, kv_heads, head_dim]);
            let (q, k) = (rope.apply(&q, batch), rope.apply(&k, batch));
            let sequences = batch.sequences();
            let y = scaled_dot_product_attention(&q, &k, &v, &sequences, scale, Mask::Causal);
            return self.o_proj.forward(&y);
        };
        if let Some(chunks) = self.config.options.chunks {
            kv.append(layer, &chunks.keys(&k, rope, batch), &v, &batch.spans);
            let y = chunks.attend(&q, rope, (batch, kv), (layer, scale));
            return self.o_proj.forward(&y);
        }
        (q, k) = (rope.apply(&q, batch), rope.apply(&k, batch));
        kv.append(layer, &k, &v, &batch.spans);
        let window = match remember {
            Remember::Full => None,
            Remember::Sliding(window) => Some(window),
        };
        let how = PagedAttention { layer, scale, window, sinks: self.sinks.as_ref() };
        self.o_proj.forward(&ops::paged_attention(&q, kv, &batch.spans, how))
    }
}
