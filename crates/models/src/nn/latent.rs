//! Multi-head latent attention: keys and values of all heads come of one narrow latent, and that is
//! what is kept of a token.
//!
//! Of a token the cache keeps its normalized latent and one rotated key that all heads share. What
//! made keys of the latent is applied to the queries instead, and what made values of it to the
//! result: `q_h . (K_h c) = (K_h^T q_h) . c` and `sum w V_h c = V_h (sum w c)`. So attention has a
//! single key/value head as wide as the latent, for prompts and for single tokens alike. (For a long
//! prompt this multiplies more than making all keys would; it never makes them again.)
//!
//! `kv_b_proj` holds `K_h` and `V_h` in turn. It is laid out anew when it is loaded, as one stack of
//! transposed `K_h` and one of `V_h`, in floats: of the file's type, or of 32 bits (16, unless exact)
//! where it was codes. Keys and values are kept apart, the latent twice: a page has them in two
//! layouts.
//!
//! Source: DeepSeek-AI, "DeepSeek-V2" (2024), section 2.1.

use std::sync::Arc;

use kernels::ops::{Gather, PagedAttention};
use kernels::{KvLayer, Tensor, ops};

use super::{Attend, Linear, RmsNorm, Rotation, Weight};
use crate::{Batch, Cache, LayerCache, Remember, Result, Scope};

/// The shape of a latent attention.
#[derive(Clone, Debug)]
pub struct LatentConfig {
    /// Which layer it is, counted from 0.
    pub layer: usize,
    /// The width of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// The width of the latent of the queries, if they come of one.
    pub q_rank: Option<usize>,
    /// The width of the latent of keys and values.
    pub kv_rank: usize,
    /// The part of a query head that is not rotated.
    pub plain: usize,
    /// The part that is.
    pub rotated: usize,
    /// The width of a value head.
    pub value: usize,
    /// Whether the maps into latents, and the output, have biases.
    pub bias: bool,
    /// `eps` of the norms of latents.
    pub eps: f32,
    /// How the rotated parts are rotated.
    pub rope: Arc<Rotation>,
    /// A factor of the scores.
    pub scale: f32,
}

/// Attention over latents, with a cache.
#[derive(Debug)]
pub struct LatentAttention {
    queries: Queries,
    kv_a_proj: Linear,
    kv_a_layernorm: RmsNorm,
    /// `[heads, kv_rank, plain]`, below each other.
    to_latent: Weight,
    /// `[heads, value, kv_rank]`, below each other.
    from_latent: Weight,
    o_proj: Linear,
    config: LatentConfig,
}

#[derive(Debug)]
enum Queries {
    Direct(Box<Linear>),
    Latent(Box<(Linear, RmsNorm, Linear)>),
}

impl LatentAttention {
    /// Loads the projections and the norms.
    ///
    /// # Errors
    ///
    /// If a tensor is missing or has another shape.
    pub fn load(scope: &Scope<'_>, config: LatentConfig) -> Result<Self> {
        let LatentConfig { width, heads, kv_rank, plain, rotated, value, bias, eps, .. } = config;
        scope.expect(heads > 0, "num_attention_heads", heads, "above zero")?;
        scope.expect(kv_rank > 0, "kv_lora_rank", kv_rank, "above zero")?;
        let wide = |each: usize| heads.saturating_mul(each);
        let q_width = wide(plain.saturating_add(rotated));
        let queries = match config.q_rank {
            None => {
                let q_proj = Linear::load(&scope.at("q_proj"), width, q_width, false)?;
                Queries::Direct(Box::new(q_proj))
            }
            Some(rank) => Queries::Latent(Box::new((
                Linear::load(&scope.at("q_a_proj"), width, rank, bias)?,
                RmsNorm::load(&scope.at("q_a_layernorm"), rank, eps)?,
                Linear::load(&scope.at("q_b_proj"), rank, q_width, false)?,
            ))),
        };
        let kv_a = scope.at("kv_a_proj_with_mqa");
        let (to_latent, from_latent) = taken_apart(&scope.at("kv_b_proj"), &config)?;
        Ok(Self {
            queries,
            kv_a_proj: Linear::load(&kv_a, width, kv_rank.saturating_add(rotated), bias)?,
            kv_a_layernorm: RmsNorm::load(&scope.at("kv_a_layernorm"), kv_rank, eps)?,
            to_latent,
            from_latent,
            o_proj: Linear::load(&scope.at("o_proj"), wide(value), width, bias)?,
            config,
        })
    }
}

impl Attend for LatentAttention {
    fn cache(&self) -> LayerCache {
        let LatentConfig { kv_rank, rotated, .. } = self.config;
        let kv = KvLayer { kv_heads: 1, key_dim: kv_rank + rotated, value_dim: kv_rank };
        LayerCache { kv, remember: Remember::Full }
    }

    fn forward(&self, x: &Tensor, batch: &Batch, cache: &mut Cache) -> Tensor {
        let LatentConfig { layer, heads, kv_rank, plain, rotated, value, scale, .. } = self.config;
        let (rows, rope) = (x.rows(), &self.config.rope);
        let q = match &self.queries {
            Queries::Direct(q_proj) => q_proj.forward(x),
            Queries::Latent(maps) => maps.2.forward(&maps.1.forward(&maps.0.forward(x))),
        };
        let [q, q_rotated] =
            ops::split(&q.reshape(&[rows, heads, plain + rotated]), [plain, rotated]);
        let [latent, k_rotated] = ops::split(&self.kv_a_proj.forward(x), [kv_rank, rotated]);
        let latent = self.kv_a_layernorm.forward(&latent).reshape(&[rows, 1, kv_rank]);
        let k_rotated = rope.apply(&k_rotated.reshape(&[rows, 1, rotated]), batch);
        let q_rotated = rope.apply(&q_rotated, batch);

        let pairs: Vec<u32> = (0..(rows * heads) as u32).collect();
        let head: Vec<u32> = pairs.iter().map(|pair| pair % heads as u32).collect();
        let each = Gather { lhs_indices: &pairs, rhs_indices: &head };
        let q = self.to_latent.gather(&q.reshape(&[rows * heads, plain]), heads, each);
        let q = ops::concatenate(&[&q.reshape(&[rows, heads, kv_rank]), &q_rotated]);
        let k = ops::concatenate(&[&latent, &k_rotated]);
        let Some(kv) = &mut cache.kv else { panic!("attention without a cache") };
        kv.append(layer, &k, &latent, &batch.spans);
        let how = PagedAttention { layer, scale, window: None, sinks: None };
        let y = ops::paged_attention(&q, kv, &batch.spans, how);
        let y = self.from_latent.gather(&y.reshape(&[rows * heads, kv_rank]), heads, each);
        self.o_proj.forward(&y.reshape(&[rows, heads * value]))
    }
}

/// The stacks that `weight: [heads * (plain + value), kv_rank]` consists of: its first parts
/// transposed, and its second ones.
fn taken_apart(scope: &Scope<'_>, config: &LatentConfig) -> Result<(Weight, Weight)> {
    let &LatentConfig { heads, kv_rank, plain, value, .. } = config;
    let both = plain.saturating_add(value);
    let (dtype, bytes) = scope.numbers(heads.saturating_mul(both), kv_rank)?;
    let size = dtype.size();
    let mut keys = vec![0; heads * kv_rank * plain * size];
    let mut values = Vec::with_capacity(heads * value * kv_rank * size);
    for head in 0..heads {
        let part = &bytes[head * both * kv_rank * size..][..both * kv_rank * size];
        let (first, second) = part.split_at(plain * kv_rank * size);
        values.extend_from_slice(second);
        let to = &mut keys[head * kv_rank * plain * size..][..kv_rank * plain * size];
        for (i, row) in first.chunks_exact(kv_rank * size).enumerate() {
            for (j, element) in row.chunks_exact(size).enumerate() {
                to[(j * plain + i) * size..][..size].copy_from_slice(element);
            }
        }
    }
    let keys = scope.laid_out(&[heads * kv_rank, plain], dtype, keys);
    Ok((keys, scope.laid_out(&[heads * value, kv_rank], dtype, values)))
}
