//! Parts of every width, and what puts them together again.

use super::{reference, split};
use crate::Precision;
use crate::ops::concatenate;
use crate::ops::conformance::{activations, devices};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for (shape, sizes) in [
            (vec![3], [1, 1, 1]),
            (vec![4, 33], [16, 1, 16]),
            (vec![2, 3, 40], [7, 0, 33]),
            (vec![0, 6], [1, 2, 3]),
            (vec![70, 300], [100, 150, 50]),
        ] {
            let x = activations(&device, 1, &shape);
            let parts = split(&x, sizes);
            let mut from = 0;
            for (part, size) in parts.iter().zip(sizes) {
                assert_eq!(part.shape()[..shape.len() - 1], shape[..shape.len() - 1]);
                assert_eq!(part.width(), size);
                if size > 0 {
                    assert_eq!(part.to_vec(), reference::columns(&x, from..from + size));
                }
                from += size;
            }
            if sizes.iter().all(|&size| size > 0) {
                let again = concatenate(&[&parts[0], &parts[1], &parts[2]]);
                assert_eq!(again.to_vec(), x.to_vec(), "{device:?}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "split: sizes")]
fn parts_that_are_not_the_whole_are_no_parts() {
    let device = &devices(Precision::Exact)[0];
    split(&activations(device, 1, &[2, 5]), [2, 2]);
}
