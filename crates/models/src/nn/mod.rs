//! Layers that two or more architectures share.
//!
//! An option lives here when two architectures need it; what only one needs, it writes itself.
//! Dense or quantized is decided in [`Weight`], and by no architecture.

mod attention;
mod embedding;
mod fields;
mod head;
mod linear;
mod mlp;
mod norm;
mod rope;
mod weight;
mod window;

pub use attention::{Attention, AttentionConfig};
pub use embedding::Embedding;
pub(crate) use fields::{Activation, refuse_unknown};
pub use head::Head;
pub use linear::Linear;
pub use mlp::GatedMlp;
pub use norm::{LayerNorm, RmsNorm};
pub use rope::RopeConfig;
pub use weight::Weight;
pub(crate) use window::WindowConfig;
