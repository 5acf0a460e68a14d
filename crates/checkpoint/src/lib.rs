//! Bytes on disk, made into names, shapes and numbers.
//!
//! Everything that reads a model folder: `config.json` and the small files beside it, safetensors in one file or in
//! shards, quantization parameters. This crate knows no device and builds no network. It parses strangers' bytes, so
//! it is small, it is fuzzed, and no input makes it panic.
//!
//! ```no_run
//! # fn main() -> checkpoint::Result<()> {
//! let folder = checkpoint::Folder::open(std::path::Path::new("model"))?;
//! let weights = folder.weights()?;
//! let place = weights.root().at("model").at("layers").at(0).at("self_attn").at("q_proj");
//! let matrix = place.matrix(4096, 4096)?; // dense or quantized, checked
//! # let _ = matrix;
//! weights.finish() // every tensor was taken
//! # }
//! ```

mod adapter;
mod config;
mod dtype;
mod error;
mod files;
mod folder;
mod generation;
mod index;
mod json;
mod matrix;
mod quantization;
pub mod safetensors;
mod sentence_transformers;
mod shards;
mod torch;
mod weights;
mod writer;

pub use adapter::{Adapter, LowRank};
pub use config::Config;
pub use dtype::Dtype;
pub use error::{Error, Kind, Result};
pub use folder::Folder;
pub use generation::Generation;
pub use index::{Index, IndexFile, IndexTensor};
pub use matrix::{Matrix, QuantizedMatrix};
pub use quantization::{Declared, Mode, Quantization, QuantizationRules};
pub use sentence_transformers::{
    Activation, Dense, Module, Pooling, PoolingMode, SentenceTransformers,
};
pub use weights::{Care, MatrixUse, Path, RawTensor, Weights};
pub use writer::{NewTensor, TensorHeader, write, write_streamed};
