//! Numbers in, numbers out.
//!
//! A [`Tensor`] on a [`Device`] and the operations a network is made of. This crate knows no file,
//! no token, no model and no request. Each operation is one folder under [`ops`]: its contract,
//! its plain reference, its fast ways to the same answer, its tests.
//!
//! Operations are infallible inside a forward pass: weights were checked against the configuration
//! when they were loaded, so a mismatch afterwards is a bug of ours and panics where it was made.

pub mod cpu;
mod device;
mod dtype;
mod error;
mod indices;
mod kv;
mod kv_format;
pub mod late_interaction;
mod mlx;
pub mod ops;
mod quantized;
mod samples;
pub mod self_test;
mod tensor;

pub use cpu::{CpuOptions, Isa, Precision, WeightLayout};
pub use device::Device;
pub use dtype::DType;
pub use error::{Error, Kind, Result};
pub use indices::{Indices, mixed};
pub use kv::{KvCache, KvLayer, Span};
pub use kv_format::{KvFormat, KvQuantization};
pub use mlx::{MLX_ABI, MLX_VERSION, Mlx, MlxMemory, MlxOptions};
pub use quantized::{QuantizationMode, QuantizedTensor, scale_and_bias};
pub use tensor::Tensor;
