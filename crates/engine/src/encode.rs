//! Passages, made into batches, made into hidden states.

use std::ops::Range;

use kernels::Tensor;
use models::{Batch, Encoder, Vision};

use crate::{Look, PromptImage};

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

/// Tokens to be read at once, and the images among them.
#[derive(Clone, Debug, Default)]
pub struct Passage {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// The images, in order. Their tokens may be any that the network knows.
    pub images: Vec<PromptImage>,
    /// What was seen of the first of them already: features, `[tokens, hidden]`.
    pub seen: Vec<Tensor>,
}

impl From<Vec<u32>> for Passage {
    fn from(tokens: Vec<u32>) -> Self {
        Self { tokens, ..Self::default() }
    }
}

impl Passage {
    /// Whether an image is still to be looked at.
    pub fn is_unseen(&self) -> bool {
        self.seen.len() < self.images.len()
    }

    /// Does the next piece of a look at the first image that is still to be seen, if there is one; `look` is what the piece
    /// before left, and new after the last.
    pub fn look(&mut self, look: &mut Look, vision: &dyn Vision) {
        let Some(image) = self.images.get(self.seen.len()) else { return };
        if let Some(features) = look.advance(&image.picture, vision) {
            self.seen.push(features);
            *look = Look::default();
        }
    }

    /// Puts it into `batch` as a sequence of its own from position 0, its past and present in `pages`, with what was seen of its
    /// images, and what `vision` makes of the others.
    ///
    /// # Panics
    ///
    /// If there are images to be seen, and no `vision`.
    pub fn push(&self, batch: &mut Batch, pages: Vec<u32>, vision: Option<&dyn Vision>) {
        batch.push(&self.tokens, 0, pages);
        let see = |(at, image): (usize, &PromptImage)| {
            if let Some(features) = self.seen.get(at) {
                return image.span(Some(features.clone()));
            }
            let Some(vision) = vision else { panic!("images for a network without sight") };
            image.span(Some(vision.forward(&image.picture, batch.taps())))
        };
        let images = self.images.iter().enumerate().map(see).collect();
        batch.show(images);
    }
}

/// Runs one batch: the hidden states of all passages, packed end to end, `[tokens, hidden]`, and
/// the batch that says which rows are whose.
///
/// # Panics
///
/// If there are images, and the network sees none.
pub fn encode(model: &dyn Encoder, passages: &[Passage]) -> (Tensor, Batch) {
    let mut batch = Batch::default();
    for passage in passages {
        passage.push(&mut batch, Vec::new(), model.vision());
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
