//! Passages, made into batches, made into hidden states.

use std::ops::Range;

use kernels::Tensor;
use models::{Batch, Encoder};

/// Cuts a row of passages of these `lengths` into batches of at most `budget` tokens each, in
/// order. A passage that is longer than the budget has a batch of its own.
pub fn pack(lengths: &[usize], budget: usize) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut from, mut tokens) = (0, 0);
    for (i, &length) in lengths.iter().enumerate() {
        if i > from && tokens + length > budget {
            batches.push(from..i);
            (from, tokens) = (i, 0);
        }
        tokens += length;
    }
    if from < lengths.len() {
        batches.push(from..lengths.len());
    }
    batches
}

/// Runs one batch: the hidden states of all passages, packed end to end, `[tokens, hidden]`, and
/// the batch that says which rows are whose.
pub fn encode(model: &dyn Encoder, passages: &[Vec<u32>]) -> (Tensor, Batch) {
    let mut batch = Batch::default();
    for passage in passages {
        batch.push(passage, 0, Vec::new());
    }
    (model.forward(&batch), batch)
}

#[cfg(test)]
mod tests {
    use super::pack;

    #[test]
    fn batches_are_full_but_not_over() {
        assert_eq!(pack(&[], 10), []);
        assert_eq!(pack(&[3, 3, 3, 3], 6), [0..2, 2..4]);
        assert_eq!(pack(&[3, 4, 3, 3, 1], 6), [0..1, 1..2, 2..4, 4..5]);
        assert_eq!(pack(&[1, 99, 1], 6), [0..1, 1..2, 2..3]);
        assert_eq!(pack(&[0, 0, 6, 0, 1], 6), [0..4, 4..5]);
    }
}
