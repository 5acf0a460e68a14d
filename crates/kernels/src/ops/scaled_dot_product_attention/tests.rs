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
