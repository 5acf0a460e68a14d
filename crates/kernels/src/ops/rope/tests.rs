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

#[test]
fn pairs_go_by_their_own_axes() {
    for device in devices(Precision::Exact) {
        let axes = vec![0, 0, 1, 2, 2, 1, 0];
        for (rows, heads, n) in [(1, 1, 14), (5, 3, 14), (70, 2, 17)] {
            let table = Rope { axes: axes.clone(), scale: 1.1, ..Rope::new(14, 10_000.0) };
            let x = activations(&device, 1, &[rows, heads, n]);
            let apart: Vec<u32> = (0..3 * rows as u32).map(|i| i * 37 % 101).collect();
            let alike: Vec<u32> = (0..3 * rows as u32).map(|i| i / 3 * 7).collect();
            for positions in [&apart, &alike] {
                let truth = reference::rope(&x, positions, &table);
                assert_close(&rope(&x, positions, &table), &truth, 1e-5);
            }
            // Where all axes agree, it is as if there were one.
            let one: Vec<u32> = alike.iter().copied().step_by(3).collect();
            let plain = Rope { axes: Vec::new(), ..table.clone() };
            let [several, one] = [rope(&x, &alike, &table), rope(&x, &one, &plain)];
            assert_eq!(several.to_vec(), one.to_vec(), "{device:?}");
        }
    }
}
