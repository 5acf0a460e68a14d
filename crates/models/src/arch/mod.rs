//! One file per architecture. A file here is named in `registry.rs` and nowhere else.

pub(crate) mod bert;
pub(crate) mod llama;
pub(crate) mod mistral;
pub(crate) mod qwen2;
pub(crate) mod qwen3;
