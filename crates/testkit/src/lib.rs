//! Tiny models, scripted worlds and tolerances, for tests only.

pub mod quantize;
pub mod safetensors;
