//! `y[i] = x[lhs_indices[i]] w[rhs_indices[i]]^T`: each row meets a matrix of its own choice out of
//! a stack, as in a mixture of experts.
//!
//! | operand       | shape                | element type    |
//! | ------------- | -------------------- | --------------- |
//! | `x`           | `[m, k]`             | `F32`           |
//! | `w`           | `[matrices, n, k]`   | any float       |
//! | `lhs_indices` | `[t]`, below `m`     |                 |
//! | `rhs_indices` | `[t]`, below `matrices` |              |
//! | `y`           | `[t, n]`             | `F32`           |
//!
//! The choice is known to the host ([`Gather`]), or to the device alone ([`Pairs`]). (MLX's own
//! operation also takes matrices that are not transposed, and batches.)

mod cpu;
mod mlx;
mod reference;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub(super) use cpu::{scatter, slice};

use crate::tensor::Backend;
use crate::{Indices, Tensor, ops};

/// Which row meets which matrix: pair `i` gives row `i` of the result.
#[derive(Clone, Copy, Debug)]
pub struct Gather<'a> {
    /// Rows of the activations.
    pub lhs_indices: &'a [u32],
    /// Matrices of the stack.
    pub rhs_indices: &'a [u32],
}

/// The same, either known to the host or computed by the device.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    /// Rows of the activations.
    pub lhs_indices: Indices<'a>,
    /// Matrices of the stack.
    pub rhs_indices: Indices<'a>,
}

impl<'a> From<Gather<'a>> for Pairs<'a> {
    fn from(gather: Gather<'a>) -> Self {
        let (lhs, rhs) = (gather.lhs_indices, gather.rhs_indices);
        Self { lhs_indices: lhs.into(), rhs_indices: rhs.into() }
    }
}

impl Pairs<'_> {
    /// Panics unless there are as many of both, all that can be seen below `rows` and `matrices`.
    #[track_caller]
    pub(super) fn validate(&self, rows: usize, matrices: usize) {
        assert_eq!(self.lhs_indices.len(), self.rhs_indices.len(), "gather: pairs");
        self.lhs_indices.validate("gather of activations", rows);
        self.rhs_indices.validate("gather of matrices", matrices);
    }

    /// Calls `with` with the numbers themselves; waits for a device that has them.
    pub fn host<T>(&self, with: impl FnOnce(Gather<'_>) -> T) -> T {
        let (lhs, rhs) = (self.lhs_indices.host(), self.rhs_indices.host());
        with(Gather { lhs_indices: &lhs, rhs_indices: &rhs })
    }
}

impl Gather<'_> {
    /// For each matrix that is chosen, the pairs that choose it, in order.
    pub(super) fn by_matrix(&self) -> BTreeMap<u32, Vec<usize>> {
        let mut all: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (pair, &matrix) in self.rhs_indices.iter().enumerate() {
            all.entry(matrix).or_default().push(pair);
        }
        all
    }

    /// The rows of activations that some pairs take.
    pub(super) fn rows(&self, pairs: &[usize]) -> Vec<u32> {
        pairs.iter().map(|&pair| self.lhs_indices[pair]).collect()
    }
}

/// Multiplies chosen rows of `x` with the transposes of chosen matrices of the mapped stack `w`.
///
/// # Panics
///
/// If the inner extents differ or an index is out of bounds; one that only MLX knows is not looked
/// at.
#[track_caller]
pub fn gather_mm<'a>(x: &Tensor, w: &Tensor, pairs: impl Into<Pairs<'a>>) -> Tensor {
    let pairs = pairs.into();
    let (&[m, k], &[matrices, _, inner]) = (x.shape(), w.shape()) else {
        panic!("gather_mm: shapes {:?} and {:?}", x.shape(), w.shape())
    };
    assert_eq!(k, inner, "gather_mm: inner extents");
    pairs.validate(m, matrices);
    match x.backend() {
        Backend::Cpu => pairs.host(|gather| cpu::gather_mm(x, w, gather)),
        Backend::Mlx(_) => mlx::gather_mm(x, w, pairs),
    }
}

/// The same for matrices that do not lie in one stack: `multiply` gives the product of some rows
/// with matrix number so and so, `n` wide. It is asked once for each matrix that is chosen.
///
/// # Panics
///
/// If an index is out of bounds, or a product has another shape.
#[track_caller]
pub fn gather_each(
    x: &Tensor,
    (matrices, n): (usize, usize),
    gather: Gather<'_>,
    mut multiply: impl FnMut(usize, &Tensor) -> Tensor,
) -> Tensor {
    Pairs::from(gather).validate(x.rows(), matrices);
    let shape = [gather.lhs_indices.len(), n];
    let groups = gather.by_matrix();
    let products = groups.iter().map(|(&matrix, pairs)| {
        let y = multiply(matrix as usize, &ops::take(x, &gather.rows(pairs)));
        assert_eq!(y.shape(), [pairs.len(), n], "gather_each: a product");
        y
    });
    let products: Vec<_> = products.collect();
    if products.is_empty() {
        return x.device().tensor(&shape, Vec::new());
    }
    match x.backend() {
        Backend::Cpu => cpu::in_order(&products, groups.values(), &shape),
        Backend::Mlx(_) => mlx::in_order(products, groups.values(), &shape),
    }
}
