//! Layers that architectures are made of.
//!
//! Mechanism lives here, also where one architecture alone has it so far; which of it a network has,
//! and under which fields, its own file says.
//! Dense or quantized is decided in [`Weight`], and by no architecture.

mod attention;
mod chunks;
mod clip;
mod embedding;
mod encoder_attention;
mod fields;
mod head;
mod labels;
mod latent;
mod linear;
mod mlp;
mod moe;
mod norm;
pub(crate) mod pieces;
pub(crate) mod plane;
mod post_norm;
mod rope;
mod seeing;
mod stack;
mod weight;
mod window;

pub use attention::{Attention, AttentionConfig, AttentionOptions};
pub use chunks::Chunks;
pub(crate) use chunks::ChunksConfig;
pub(crate) use clip::{ClipConfig, ClipTower};
pub use embedding::Embedding;
pub(crate) use embedding::rounded;
pub(crate) use encoder_attention::{EncoderAttention, EncoderAttentionConfig};
pub(crate) use fields::{Activation, refuse_unknown};
pub use head::Head;
pub use kernels::ops::{Groups, Routing, Scoring};
pub(crate) use labels::{LabelConfig, first_rows, head_map, mean_rows, tanh};
pub use latent::{LatentAttention, LatentConfig};
pub use linear::Linear;
pub use mlp::{FusedMlp, GatedMlp};
pub use moe::{Mlp, Moe, MoeConfig};
pub use norm::{LayerNorm, RmsNorm};
pub(crate) use post_norm::{PostNormConfig, PostNormStack};
pub use rope::{RopeConfig, Rotation};
pub use seeing::{Language, Seeing};
pub use stack::{Attend, Block, Stack, StackConfig, StackOptions};
pub use weight::Weight;
pub(crate) use window::{LayerTypes, WindowConfig};
