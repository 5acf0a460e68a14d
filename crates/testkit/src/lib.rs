//! Tiny models, scripted worlds and tolerances, for tests only.

pub mod hostile;
mod http;
pub mod hub;
pub mod mlx;
pub mod pdf;
pub mod qdrant;
pub mod quantize;
pub mod reciter;
pub mod s3;
pub mod safetensors;
pub mod seer;
