//! Layers that two or more architectures share.
//!
//! An option lives here when two architectures need it; what only one needs, it writes itself.
//! Dense or quantized is decided in [`Weight`], and by no architecture.

mod attention;
mod chunks;
mod embedding;
mod fields;
mod head;
mod latent;
mod linear;
mod mlp;
mod moe;
mod norm;
mod rope;
mod weight;
mod window;

pub use attention::{Attention, AttentionConfig, AttentionOptions};
pub use chunks::Chunks;
pub(crate) use chunks::ChunksConfig;
pub use embedding::Embedding;
pub(crate) use embedding::rounded;
pub(crate) use fields::{Activation, refuse_unknown};
pub use head::Head;
pub use kernels::ops::{Groups, Routing, Scoring};
pub use latent::{LatentAttention, LatentConfig};
pub use linear::Linear;
pub use mlp::{FusedMlp, GatedMlp};
pub use moe::{Mlp, Moe, MoeConfig};
pub use norm::{LayerNorm, RmsNorm};
pub use rope::{RopeConfig, Rotation};
pub use weight::Weight;
pub(crate) use window::WindowConfig;
