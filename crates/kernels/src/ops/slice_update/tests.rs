//! Rows from here and there.

use super::{reference, slice_update};
use crate::Precision;
use crate::ops::conformance::{activations, devices};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for (rows, width, updates) in [
            (1, 1, vec![(0, 1)]),
            (5, 7, vec![]),
            (9, 33, vec![(0, 2), (2, 1), (8, 1)]),
            (90, 64, vec![(3, 40), (50, 0), (60, 30)]),
        ] {
            let x = activations(&device, 1, &[rows, width]);
            let update = |(start, n): (usize, usize)| {
                (start, activations(&device, 2 + start as u64, &[n, width]))
            };
            let updates: Vec<_> = updates.into_iter().map(update).collect();
            let y = slice_update(&x, &updates);
            assert_eq!(y.shape(), x.shape());
            assert_eq!(y.to_vec(), reference::slice_update(&x, &updates), "{device:?}");
        }
    }
}

#[test]
#[should_panic(expected = "slice_update: updates")]
fn updates_do_not_overlap() {
    let device = &devices(Precision::Exact)[0];
    let part = || activations(device, 1, &[2, 4]);
    slice_update(&activations(device, 1, &[6, 4]), &[(0, part()), (1, part())]);
}
