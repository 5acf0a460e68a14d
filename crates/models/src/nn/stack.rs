//! The stack of a decoder: a table of tokens, layers that add to what runs through them, a norm and
//! an output head. Nearly all decoders have it, under these names.

use std::fmt::Debug;

use kernels::{Tensor, ops};

use super::{Embedding, Head, Mlp, RmsNorm};
use crate::{Batch, Cache, Decoder, Encoder, LayerCache, Result, Scope};

/// What looks back over a cache: an attention, or a layer around one.
pub trait Attend: Debug + Send {
    /// What it remembers.
    fn cache(&self) -> LayerCache;

    /// Attends within each span of `batch`, over its past: `[rows, width]` to `[rows, width]`.
    fn forward(&self, x: &Tensor, batch: &Batch, cache: &mut Cache) -> Tensor;
}

/// A layer with a norm before attention, and one before its feed-forward block.
#[derive(Debug)]
pub struct Block<A> {
    name: String,
    input_layernorm: RmsNorm,
    self_attn: A,
    post_attention_layernorm: RmsNorm,
    mlp: Mlp,
}

impl<A: Attend> Block<A> {
    /// Loads the norms, `[width]`, and what `self_attn` and `mlp` make of the places of their names.
    ///
    /// # Errors
    ///
    /// If a tensor is missing or has another shape.
    pub fn load<M: Into<Mlp>>(
        scope: &Scope<'_>,
        width: usize,
        eps: f32,
        self_attn: impl FnOnce(&Scope<'_>) -> Result<A>,
        mlp: impl FnOnce(&Scope<'_>) -> Result<M>,
    ) -> Result<Self> {
        let norm = |name| RmsNorm::load(&scope.at(name), width, eps);
        scope.at("self_attn.rotary_emb").ignore("inv_freq");
        Ok(Self {
            name: scope.name().to_owned(),
            input_layernorm: norm("input_layernorm")?,
            self_attn: self_attn(&scope.at("self_attn"))?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            mlp: mlp(&scope.at("mlp"))?.into(),
        })
    }
}

impl<A: Attend> Attend for Block<A> {
    fn cache(&self) -> LayerCache {
        self.self_attn.cache()
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

/// The shape of a stack.
#[derive(Clone, Copy, Debug)]
pub struct StackConfig {
    /// Tokens that the table knows.
    pub vocabulary: usize,
    /// The width of the residual stream.
    pub width: usize,
    /// How many layers there are.
    pub layers: usize,
    /// `eps` of the last norm.
    pub eps: f32,
    /// Whether the output head is the table, where the configuration says so.
    pub tied: Option<bool>,
    /// What few stacks have.
    pub options: StackOptions,
}

/// What only some stacks have; none of it by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct StackOptions {
    /// The weight of the last norm has one added to it.
    pub norm_from_one: bool,
    /// A factor of the embeddings.
    pub embed_scale: Option<f32>,
    /// See [`Decoder::turn`].
    pub turn: Option<usize>,
    /// There is no output head.
    pub headless: bool,
}

/// A table, layers, a norm and a head.
#[derive(Debug)]
pub struct Stack<L> {
    name: String,
    embed_tokens: Embedding,
    layers: Vec<L>,
    norm: RmsNorm,
    lm_head: Option<Head>,
    options: StackOptions,
}

impl<L: Attend> Stack<L> {
    /// Loads what lies at `model`, each layer as `layer` makes it of its place and number, and the
    /// head beside it.
    ///
    /// # Errors
    ///
    /// If a tensor is missing or has another shape.
    pub fn load(
        root: &Scope<'_>,
        config: StackConfig,
        layer: impl Fn(&Scope<'_>, usize) -> Result<L>,
    ) -> Result<Self> {
        Self::load_at([&root.at("model"), root], config, layer)
    }

    /// As [`load`](Self::load), from what lies at `model`, with the head below `root`.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn load_at(
        [model, root]: [&Scope<'_>; 2],
        config: StackConfig,
        layer: impl Fn(&Scope<'_>, usize) -> Result<L>,
    ) -> Result<Self> {
        let StackConfig { vocabulary, width, layers, eps, tied, options } = config;
        let (norm, places) = (model.at("norm"), model.at("layers"));
        Ok(Self {
            name: model.name().to_owned(),
            embed_tokens: match root.has("lm_head") {
                true => Embedding::table(&model.at("embed_tokens"), vocabulary, width)?,
                false => Embedding::load(&model.at("embed_tokens"), vocabulary, width)?,
            },
            layers: (0..layers).map(|i| layer(&places.at(i), i)).collect::<Result<_>>()?,
            norm: match options.norm_from_one {
                true => RmsNorm::load_from_one(&norm, width, eps)?,
                false => RmsNorm::load(&norm, width, eps)?,
            },
            lm_head: match options.headless {
                true => None,
                false => Some(Head::load(root, tied, width, vocabulary)?),
            },
            options,
        })
    }
}

impl<L: Attend> Decoder for Stack<L> {
    fn layers(&self) -> Vec<LayerCache> {
        self.layers.iter().map(Attend::cache).collect()
    }

    fn turn(&self) -> Option<usize> {
        self.options.turn
    }

    fn forward(&self, batch: &Batch, cache: &mut Cache) -> Tensor {
        let tap = |name, value| batch.tap(&format!("{}.{name}", self.name), value);
        let embedded = self.embed_tokens.forward(&batch.tokens);
        let embedded = match self.options.embed_scale {
            Some(factor) => ops::scale(&embedded, factor),
            None => embedded,
        };
        let mut x = batch.with_images(&tap("embed_tokens", embedded));
        for layer in &self.layers {
            x = layer.forward(&x, batch, cache);
        }
        tap("norm", self.norm.forward(&x))
    }

    fn unembed(&self, hidden: &Tensor) -> Tensor {
        match &self.lm_head {
            Some(head) => head.forward(hidden, &self.embed_tokens),
            None => panic!("logits of a stack without a head"),
        }
    }
}

/// A stack that reads whole passages, from left to right, and keeps nothing of them.
impl<L: Attend> Encoder for Stack<L> {
    fn forward(&self, batch: &Batch) -> Tensor {
        Decoder::forward(self, batch, &mut Cache::nothing())
    }
}
