//! New checkpoints from old.
//!
//! A conversion reads a model folder and writes another with the same network in fewer bits, in MLX's formats. It asks
//! the architecture which tensors are matrices, so that no list of names is kept here. Memory is bounded by the
//! largest matrix. What is finished stays finished: a conversion that was stopped goes on where it was.

mod convert;
mod error;
mod plan;
mod quantize;
mod recipe;
mod side_files;

pub use convert::{Progress, Stopped};
pub use error::{Error, Kind, Result};
pub use plan::{Conversion, Part};

// What a recipe is made of: those who write one depend on this crate alone.
pub use checkpoint::{Dtype, Mode, Quantization};
pub use quantize::{Quantized, quantize};
pub use recipe::{Override, Recipe};
