//! Which rows of a table: what the host says, or what the device has found out for itself.

use std::borrow::Cow;

use crate::mlx::Array;
use crate::tensor::Backend;
use crate::{DType, Tensor};

/// Rows of a table, by number.
#[derive(Clone, Copy, Debug)]
pub enum Indices<'a> {
    /// Known to the host.
    Host(&'a [u32]),
    /// `[n]` of [`DType::U32`], perhaps not computed yet. Whoever computes them keeps them in
    /// bounds: a device that puts work off cannot check them.
    Device(&'a Tensor),
}

impl<'a> Indices<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Host(indices) => indices.len(),
            Self::Device(tensor) => tensor.elements(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Panics if one that can be seen without waiting is not below `end`.
    #[track_caller]
    pub(crate) fn validate(&self, op: &str, end: usize) {
        if let Self::Device(tensor) = self {
            assert_eq!(tensor.dtype(), DType::U32, "{op}: the type of indices");
            if let Backend::Mlx(_) = tensor.backend() {
                return;
            }
        }
        for &index in &*self.host() {
            assert!((index as usize) < end, "{op}: row {index} of {end}");
        }
    }

    /// The numbers themselves; waits for the device that has them.
    pub(crate) fn host(&self) -> Cow<'a, [u32]> {
        match self {
            Self::Host(indices) => Cow::Borrowed(indices),
            Self::Device(tensor) => Cow::Owned(tensor.to_u32()),
        }
    }

    /// Calls `with` with the numbers as an array on the device of `beside`.
    pub(crate) fn on<T>(&self, beside: &Array, with: impl FnOnce(&Array) -> T) -> T {
        match self {
            Self::Host(indices) => with(&Array::indices(beside.mlx(), indices)),
            Self::Device(tensor) => with(tensor.array()),
        }
    }
}

/// `known`, but with `drawn[from]` at each place `at` of `instead`, pairs of `(at, from)`.
///
/// # Panics
///
/// If a place is beyond `known` or `drawn`.
#[track_caller]
pub fn mixed(known: &[u32], drawn: &Tensor, instead: &[(u32, u32)]) -> Tensor {
    assert_eq!(drawn.dtype(), DType::U32, "mixed: the type of indices");
    for &(at, from) in instead {
        let inside = (at as usize) < known.len() && (from as usize) < drawn.elements();
        assert!(inside, "mixed: {from} at {at}, of {} at {}", drawn.elements(), known.len());
    }
    let whole = instead.len() == known.len() && known.len() == drawn.elements();
    if whole && instead.iter().enumerate().all(|(i, &pair)| pair == (i as u32, i as u32)) {
        return drawn.clone();
    }
    match drawn.backend() {
        Backend::Cpu => {
            let (mut all, drawn_) = (known.to_vec(), drawn.to_u32());
            for &(at, from) in instead {
                all[at as usize] = drawn_[from as usize];
            }
            drawn.device().integers(&all)
        }
        Backend::Mlx(mlx) => {
            let mut places: Vec<u32> = (0..known.len() as u32).collect();
            for &(at, from) in instead {
                places[at as usize] = known.len() as u32 + from;
            }
            let all = Array::joined(&[&Array::indices(mlx, known), drawn.array()], 0);
            let all = all.take(&Array::indices(mlx, &places), DType::U32);
            Tensor::from_array(&[known.len()], all)
        }
    }
}

impl<'a> From<&'a [u32]> for Indices<'a> {
    fn from(indices: &'a [u32]) -> Self {
        Self::Host(indices)
    }
}

impl<'a> From<&'a Vec<u32>> for Indices<'a> {
    fn from(indices: &'a Vec<u32>) -> Self {
        Self::Host(indices)
    }
}

impl<'a, const N: usize> From<&'a [u32; N]> for Indices<'a> {
    fn from(indices: &'a [u32; N]) -> Self {
        Self::Host(indices)
    }
}

impl<'a> From<&'a Tensor> for Indices<'a> {
    fn from(indices: &'a Tensor) -> Self {
        Self::Device(indices)
    }
}

#[cfg(test)]
mod tests {
    use super::{Indices, mixed};
    use crate::ops::conformance::{activations, devices};
    use crate::{Precision, ops};

    #[test]
    fn what_a_device_drew_stands_among_what_is_known() {
        for device in devices(Precision::Exact) {
            let drawn = device.integers(&[7, 8, 9]);
            let mix =
                |known: &[u32], instead: &[(u32, u32)]| mixed(known, &drawn, instead).to_u32();
            assert_eq!(mix(&[0; 3], &[(0, 0), (1, 1), (2, 2)]), [7, 8, 9]);
            assert_eq!(mix(&[0; 3], &[(0, 2), (1, 1), (2, 0)]), [9, 8, 7]);
            assert_eq!(mix(&[1, 2, 3, 4, 5], &[(3, 0), (0, 2)]), [9, 2, 3, 7, 5]);
            assert_eq!(mix(&[0, 4], &[(0, 1)]), [8, 4]);
            let table = activations(&device, 1, &[10, 5]);
            let there = ops::take(&table, &mixed(&[0, 4], &drawn, &[(0, 1)]));
            assert_eq!(there.to_vec(), ops::take(&table, &[8, 4]).to_vec());
            assert_eq!(Indices::from(&drawn).len(), 3);
        }
    }

    #[test]
    #[should_panic(expected = "mixed: 3 at 0, of 3 at 1")]
    fn a_place_beyond_what_was_drawn_is_a_bug() {
        let drawn = devices(Precision::Exact)[0].integers(&[7, 8, 9]);
        mixed(&[0], &drawn, &[(0, 3)]);
    }
}
