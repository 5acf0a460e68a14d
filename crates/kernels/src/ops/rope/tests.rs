//! Both pairings, whole and partial heads.

use super::{Rope, reference, rope};
use crate::Precision;
use crate::ops::conformance::{activations, assert_close, devices};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for (rows, heads, n, dims) in
            [(1, 1, 2, 2), (3, 2, 16, 16), (5, 3, 34, 32), (200, 4, 64, 24)]
        {
            let x = activations(&device, 1, &[rows, heads, n]);
            let positions: Vec<_> = (0..rows as u32).map(|row| row * 37 % 1000).collect();
            for (traditional, scale) in [(false, 1.0), (true, 1.2)] {
                let table = Rope { traditional, scale, ..Rope::new(dims, 10_000.0) };
                let truth = reference::rope(&x, &positions, &table);
                // MLX divides by periods: angles of a thousand radians are rounded once more.
                let tolerance = if device.as_mlx().is_some() { 1e-4 } else { 1e-6 };
                assert_close(&rope(&x, &positions, &table), &truth, tolerance);
            }
        }
    }
}

#[test]
fn position_zero_changes_nothing() {
    let device = &devices(Precision::Exact)[0];
    let x = activations(device, 1, &[2, 3, 8]);
    let y = rope(&x, &[0, 0], &Rope::new(8, 10_000.0));
    assert_eq!(x.to_vec(), y.to_vec());
}
