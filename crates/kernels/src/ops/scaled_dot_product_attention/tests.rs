//! Ragged batches, grouped heads, every mask.

use super::{Mask, reference, scaled_dot_product_attention};
use crate::Precision;
use crate::ops::conformance::{activations, assert_close, devices};

#[test]
fn agrees_with_the_reference() {
    for device in devices(Precision::Exact) {
        for (heads, kv_heads, d, dv) in
            [(1, 1, 1, 1), (4, 2, 15, 16), (6, 1, 33, 8), (2, 2, 64, 64)]
        {
            let sequences = [0..1, 1..18, 18..18, 18..51];
            let q = activations(&device, 1, &[51, heads, d]);
            let k = activations(&device, 2, &[51, kv_heads, d]);
            let v = activations(&device, 3, &[51, kv_heads, dv]);
            for mask in [Mask::Full, Mask::Causal, Mask::Local(3)] {
                let truth = reference::attention([&q, &k, &v], &sequences, 0.3, mask);
                let fast = scaled_dot_product_attention(&q, &k, &v, &sequences, 0.3, mask);
                assert_close(&fast, &truth, 1e-5);
            }
        }
    }
}

/// Where pairs of `bf16` are faster, queries, keys, values and weights are rounded to them.
#[test]
fn fast_mode_agrees_with_the_reference() {
    for device in devices(Precision::Fast) {
        for (heads, kv_heads, d, dv) in [(4, 2, 64, 64), (6, 1, 33, 7), (3, 3, 300, 32)] {
            let sequences = [0..1, 1..18, 18..18, 18..151];
            let q = activations(&device, 1, &[151, heads, d]);
            let k = activations(&device, 2, &[151, kv_heads, d]);
            let v = activations(&device, 3, &[151, kv_heads, dv]);
            for mask in [Mask::Full, Mask::Causal, Mask::Local(3)] {
                let truth = reference::attention([&q, &k, &v], &sequences, 0.1, mask);
                let fast = scaled_dot_product_attention(&q, &k, &v, &sequences, 0.1, mask);
                assert_close(&fast, &truth, 1e-2);
            }
        }
    }
}

#[test]
fn large_scores_do_not_overflow() {
    for device in devices(Precision::Exact) {
        let q = activations(&device, 1, &[9, 2, 16]);
        let v = activations(&device, 3, &[9, 2, 16]);
        let sequences = std::slice::from_ref(&(0..9));
        let truth = reference::attention([&q, &q, &v], sequences, 1e4, Mask::Full);
        let fast = scaled_dot_product_attention(&q, &q, &v, sequences, 1e4, Mask::Full);
        assert_close(&fast, &truth, 1e-3);
    }
}

/// Sequences around the boundaries of tiles, blocks and segments.
#[test]
fn agrees_around_every_boundary() {
    for device in devices(Precision::Exact) {
        let sequences = [0..8, 8..17, 17..48, 48..80, 80..113, 113..655];
        let q = activations(&device, 1, &[655, 3, 7]);
        let k = activations(&device, 2, &[655, 1, 7]);
        let v = activations(&device, 3, &[655, 1, 5]);
        for mask in [Mask::Full, Mask::Causal, Mask::Local(0), Mask::Local(40)] {
            let truth = reference::attention([&q, &k, &v], &sequences, 0.5, mask);
            let fast = scaled_dot_product_attention(&q, &k, &v, &sequences, 0.5, mask);
            assert_close(&fast, &truth, 1e-5);
        }
    }
}

#[test]
fn nan_is_not_hidden_and_stays_in_its_sequence() {
    for device in devices(Precision::Exact) {
        let shape = [40, 1, 4];
        let q = activations(&device, 1, &shape);
        let mut k = q.to_vec();
        k[2] = f32::NAN;
        let k = device.tensor(&shape, k);
        let y = scaled_dot_product_attention(&q, &k, &q, &[0..20, 20..40], 0.5, Mask::Full);
        let y = y.to_vec();
        assert!(y[..80].iter().all(|y| y.is_nan()), "{device:?}");
        assert!(y[80..].iter().all(|y| y.is_finite()), "{device:?}");
    }
}
