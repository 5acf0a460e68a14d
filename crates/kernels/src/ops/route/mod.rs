//! Which experts a token asks, and how much each answer counts: a function of the router's scores.
//!
//! | operand   | shape               | element type |
//! | --------- | ------------------- | ------------ |
//! | `scores`  | `[tokens, experts]` | any float    |
//! | `experts` | `[tokens * chosen]` | `U32`        |
//! | `weights` | `[tokens * chosen]` | `F32`        |
//!
//! The largest `chosen` scores of each row win, the largest first; of equal ones, the first expert
//! (on a GPU, any). What is chosen stays where it is computed, as [`Indices`](crate::Indices) of the
//! products that follow: a device that puts work off need not be waited for. (MLX has no such
//! operation; its networks compose it of a softmax, a sort and `take_along_axis`.)

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use crate::Tensor;
use crate::tensor::Backend;

/// How scores become a choice and its weights.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scoring {
    /// The softmax of all scores, of which the largest are chosen; divided by their sum if so.
    SoftmaxThenTop {
        /// Whether the chosen weights add up to one.
        normalized: bool,
    },
    /// The largest scores, and the softmax of those.
    TopThenSoftmax,
}

/// Experts in groups of equal size, of which only some may be asked: those with the largest scores.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Groups {
    /// Groups in all.
    pub count: usize,
    /// Groups that stay.
    pub kept: usize,
}

/// How a router chooses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Routing {
    /// Experts in all.
    pub experts: usize,
    /// Experts that a token asks.
    pub chosen: usize,
    /// How scores become weights.
    pub scoring: Scoring,
    /// Which experts may be asked, if not all.
    pub groups: Option<Groups>,
    /// A factor of the weights.
    pub scale: f32,
}

/// What was chosen: `chosen` experts for each token, one token after the other.
#[derive(Clone, Debug)]
pub struct Routed {
    /// Matrices of a stack.
    pub experts: Tensor,
    /// How much the answer of each counts.
    pub weights: Tensor,
}

/// Chooses for each row of `scores`.
///
/// # Panics
///
/// If the rows are not as wide as there are experts, there are fewer than are chosen, or groups are
/// of unequal size.
#[track_caller]
pub fn route(scores: &Tensor, routing: &Routing) -> Routed {
    let &[tokens, experts] = scores.shape() else { panic!("route: shape {:?}", scores.shape()) };
    assert_eq!(experts, routing.experts, "route: experts");
    let enough = (1..=experts).contains(&routing.chosen);
    assert!(enough, "route: {} of {experts} experts", routing.chosen);
    if let Some(Groups { count, kept }) = routing.groups {
        let even = count > 0 && experts.is_multiple_of(count) && kept <= count;
        assert!(even, "route: {kept} of {count} groups of {experts} experts");
    }
    if tokens == 0 {
        let device = scores.device();
        return Routed { experts: device.integers(&[]), weights: device.tensor(&[0], Vec::new()) };
    }
    match scores.backend() {
        Backend::Cpu => cpu::route(scores, routing),
        Backend::Mlx(_) => mlx::route(scores, routing),
    }
}
