//! Images of sequences: told apart by content, and seen once.

use std::collections::BTreeMap;

use kernels::{DType, Tensor, ops};
use models::{ImageSpan, Picture, Taps, Vision};

use crate::PromptImage;

/// How many images are told apart before all are forgotten.
const MOST_KNOWN: usize = 1 << 16;

/// Numbers for images by content. In a sequence each row of an image has its number in the place of a token, so that
/// beginnings are shared by those with the same images only.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    known: BTreeMap<[u8; 32], u32>,
    given: u32,
}

impl Numbers {
    /// The number of the image with this digest: at least `from`, and never that of another. `None` if there are none left.
    pub(crate) fn of(&mut self, digest: &[u8; 32], from: u32) -> Option<u32> {
        if let Some(number) = self.known.get(digest) {
            return Some(*number);
        }
        if self.known.len() == MOST_KNOWN {
            // Whoever comes again gets another number, and shares nothing with its past self.
            self.known.clear();
        }
        // The last number of all stands for a token that nobody has read.
        let number = from.checked_add(self.given).filter(|&number| number < u32::MAX)?;
        self.given += 1;
        self.known.insert(*digest, number);
        Some(number)
    }
}

/// How often an image was seen already.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SightStats {
    /// How often an image was looked at, or shown in a pass.
    pub asked: u64,
    /// How often its features were there.
    pub found: u64,
}

/// A look at an image: one piece of a tower's work at a time, so that others have the device in between.
#[derive(Debug, Default)]
pub struct Look {
    piece: usize,
    left: Vec<Tensor>,
}

impl Look {
    /// Does the next piece, and waits for it. The last makes the features, `[tokens, hidden]`. `picture` and `vision` are the same
    /// for all pieces.
    pub fn advance(&mut self, picture: &Picture, vision: &dyn Vision) -> Option<Tensor> {
        let left = std::mem::take(&mut self.left);
        self.left = vision.piece(picture, self.piece, left, &Taps::default());
        self.piece += 1;
        if let Some(last) = self.left.last()
            && last.device().puts_off()
        {
            // To read a row of it is to compute it; what else is left was computed before.
            drop(ops::take(last, &[0]).to_vec());
        }
        if self.piece < vision.pieces(picture) { None } else { self.left.pop() }
    }
}

/// Features of the images that were used last.
#[derive(Debug)]
pub(crate) struct Features {
    budget: usize,
    held: usize,
    kept: BTreeMap<[u8; 32], (Tensor, u64)>,
    clock: u64,
    pub(crate) stats: SightStats,
}

impl Features {
    /// Keeps `budget` bytes at most, but always the last.
    pub(crate) fn new(budget: usize) -> Self {
        let (kept, stats) = (BTreeMap::new(), SightStats::default());
        Self { budget, held: 0, kept, clock: 0, stats }
    }

    /// Whether those of the image with this digest are kept.
    pub(crate) fn has(&self, digest: &[u8; 32]) -> bool {
        self.kept.contains_key(digest)
    }

    /// Keeps what was seen of an image. What is to be shown yet, as `needed` says, goes after all else.
    pub(crate) fn keep(
        &mut self,
        digest: [u8; 32],
        features: Tensor,
        needed: impl Fn(&[u8; 32]) -> bool,
    ) {
        self.clock += 1;
        self.stats.asked += 1;
        self.held += bytes(&features);
        if let Some((before, _)) = self.kept.insert(digest, (features, self.clock)) {
            self.held -= bytes(&before);
        }
        while self.held > self.budget {
            let others = self.kept.iter().filter(|(other, _)| **other != digest);
            let first = others.min_by_key(|(other, (_, last))| (needed(other), *last));
            let Some(first) = first.map(|(other, _)| *other) else { break };
            if let Some((gone, _)) = self.kept.remove(&first) {
                self.held -= bytes(&gone);
            }
        }
    }

    /// Those of `image`.
    ///
    /// # Panics
    ///
    /// If they are not kept.
    fn of(&mut self, image: &PromptImage) -> Tensor {
        self.clock += 1;
        let Some((features, last)) = self.kept.get_mut(&image.digest) else {
            panic!("a row of an image that was not looked at")
        };
        *last = self.clock;
        self.stats.asked += 1;
        self.stats.found += 1;
        features.clone()
    }

    /// Keeps `budget` bytes at most from now on, beside what is to be shown yet.
    pub(crate) fn resize(&mut self, budget: usize, needed: impl Fn(&[u8; 32]) -> bool) {
        self.budget = budget;
        while self.held > self.budget {
            let others = self.kept.iter().filter(|(digest, _)| !needed(digest));
            let oldest = others.min_by_key(|(_, (_, last))| *last).map(|(digest, _)| *digest);
            let Some(digest) = oldest else { break };
            if let Some((gone, _)) = self.kept.remove(&digest) {
                self.held -= bytes(&gone);
            }
        }
    }

    /// Forgets all of them: the device that computed them has failed.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
        self.held = 0;
    }

    /// What a batch is shown that computes the tokens `from..to` of a sequence with these images.
    pub(crate) fn shown(
        &mut self,
        images: &[PromptImage],
        (from, to): (usize, usize),
    ) -> Vec<ImageSpan> {
        let begun = images.iter().filter(|image| image.positions.start < to);
        let mut features =
            |image: &PromptImage| (image.positions.end > from).then(|| self.of(image));
        begun.map(|image| image.span(features(image))).collect()
    }
}

fn bytes(features: &Tensor) -> usize {
    features.elements() * DType::F32.size()
}

#[cfg(test)]
mod tests {
    use super::{MOST_KNOWN, Numbers};

    #[test]
    fn a_number_is_one_image_only() {
        let mut numbers = Numbers::default();
        let digest = |i: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&i.to_le_bytes());
            digest
        };
        let all: Vec<_> = (0..MOST_KNOWN).map(|i| numbers.of(&digest(i), 100).unwrap()).collect();
        assert_eq!(all[..3], [100, 101, 102]);
        assert_eq!(numbers.of(&digest(1), 100), Some(101));
        // There are too many now: the first comes back as another.
        let other = numbers.of(&digest(MOST_KNOWN), 100).unwrap();
        assert!(!all.contains(&other));
        assert!(numbers.of(&digest(1), 100).unwrap() > other);
        assert_eq!(Numbers::default().of(&digest(0), u32::MAX), None);
    }
}
