//! Parts of every width.

use super::{concatenate, reference};
use crate::Precision;
use crate::ops::conformance::{activations, devices};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for (rows, widths) in [
            (vec![1], vec![1]),
            (vec![3], vec![16, 1]),
            (vec![2, 5], vec![7, 33, 2]),
            (vec![80], vec![512, 64]),
            (vec![0], vec![3, 4]),
        ] {
            let part = |(seed, &width): (usize, &usize)| {
                let shape = [&rows[..], &[width]].concat();
                activations(&device, seed as u64, &shape)
            };
            let parts: Vec<_> = widths.iter().enumerate().map(part).collect();
            let parts: Vec<_> = parts.iter().collect();
            let whole = concatenate(&parts);
            let width = widths.iter().sum::<usize>();
            assert_eq!(whole.shape(), [&rows[..], &[width]].concat());
            assert_eq!(whole.to_vec(), reference::concatenate(&parts), "{device:?}");
        }
    }
}

#[test]
#[should_panic(expected = "concatenate: rows")]
fn other_rows_do_not_fit() {
    let device = &devices(Precision::Exact)[0];
    let [a, b] = [2, 3].map(|rows| activations(device, 1, &[rows, 4]));
    concatenate(&[&a, &b]);
}
