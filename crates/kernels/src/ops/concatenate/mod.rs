//! Rows side by side: row `r` of `y` is row `r` of each of `parts`, one after the other.
//!
//! | operand    | shape                       |
//! | ---------- | --------------------------- |
//! | `parts[i]` | `[.., n[i]]`, alike but for the last axis |
//! | `y`        | `[.., n[0] + n[1] + ..]`    |
//!
//! (MLX's own operation joins along any axis.)

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::Tensor;
use crate::tensor::Backend;

/// Joins `parts` along the last axis.
///
/// # Panics
///
/// If there are none, or the shapes differ before the last axis.
#[track_caller]
pub fn concatenate(parts: &[&Tensor]) -> Tensor {
    let Some(first) = parts.first() else { panic!("concatenate: no parts") };
    let before = |part: &Tensor| part.shape()[..part.shape().len() - 1].to_vec();
    let mut shape = before(first);
    for part in parts {
        assert_eq!(before(part), shape, "concatenate: rows");
    }
    shape.push(parts.iter().map(|part| part.width()).sum());
    match first.backend() {
        Backend::Cpu => cpu::concatenate(parts, &shape),
        Backend::Mlx(_) => mlx::concatenate(parts, &shape),
    }
}
