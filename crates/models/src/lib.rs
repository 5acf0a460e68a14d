//! Architectures: a configuration and weights, made into a function from tokens to numbers.
//!
//! `arch/` holds one file per architecture, named after its `model_type`. [`nn`] holds the layers
//! they share. `registry` is the only place that lists them all. The whole crate is meant to be
//! read beside mlx-lm's `models/` by someone who knows nothing else of this project.

mod arch;
mod batch;
mod cache;
mod decoder;
mod encoder;
mod error;
mod head;
pub mod media;
pub mod nn;
mod pooling;
mod registry;
mod scope;
mod token_heads;
mod vision;

pub use batch::{Batch, Taps, Tokens};
pub use cache::{Cache, LayerCache, Remember};
pub use decoder::Decoder;
pub use encoder::{Classifier, Encoder, Retrieval};
pub use error::{Error, Kind, Result};
pub use head::{EmbeddingHead, activate};
pub use pooling::{normalize, pool};
pub use registry::{Model, Network, architectures, build, load, load_adapted};
pub use scope::Scope;
pub use token_heads::{TokenHeads, token_vectors};
pub use vision::{ImageSpan, Picture, Preprocess, Vision};
