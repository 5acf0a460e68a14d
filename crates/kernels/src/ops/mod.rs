//! One folder per operation.
//!
//! `mod.rs` is the contract (equation, shapes, panics), `reference.rs` the definition with no
//! thought for speed, `cpu.rs` the fast way to the same answer, `mlx.rs` the way on MLX, `tests.rs` what compares the two
//! on every instruction set of the machine. Operations carry the names MLX gives them.

#[cfg(test)]
pub(crate) mod conformance;

mod add;
mod categorical;
mod clamped_swiglu;
mod concatenate;
mod dual_chunk_attention;
mod gather_mm;
mod gather_qmm;
mod gelu;
mod layer_norm;
mod matmul;
mod multiply;
mod paged_attention;
mod quantized_matmul;
mod quantized_take;
mod rms_norm;
mod rope;
mod route;
mod scale;
mod scaled_dot_product_attention;
mod slice_update;
mod split;
mod swiglu;
mod take;
mod weighted_sum;

pub use add::add;
pub use categorical::{Candidates, Choice, Draw, categorical};
pub use clamped_swiglu::{Clamp, clamped_swiglu};
pub use concatenate::concatenate;
pub use dual_chunk_attention::{DualChunk, dual_chunk_attention};
pub use gather_mm::{Gather, Pairs, gather_each, gather_mm};
pub use gather_qmm::gather_qmm;
pub use gelu::{Gelu, gelu};
pub use layer_norm::layer_norm;
pub use matmul::matmul;
pub use multiply::multiply;
pub use paged_attention::{PagedAttention, paged_attention};
pub(crate) use quantized_matmul::LaidOut;
pub use quantized_matmul::{quantized_matmul, quantized_matmuls};
pub use quantized_take::quantized_take;
pub use rms_norm::rms_norm;
pub use rope::{Rope, rope};
pub use route::{Groups, Routed, Routing, Scoring, route};
pub use scale::scale;
pub use scaled_dot_product_attention::{Mask, scaled_dot_product_attention};
pub use slice_update::slice_update;
pub use split::split;
pub use swiglu::swiglu;
pub use take::take;
pub use weighted_sum::weighted_sum;
