//! What the bytes of a cache are for.

use super::load::{Preemption, for_images};

/// How the bytes of a cache are shared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) per_token: u64,
    pub(super) page_size: usize,
    /// Tokens that there can ever be.
    pub(super) most: usize,
    /// Whether features of images have a part.
    pub(super) sees: bool,
    /// Whether copies of sequences that are put aside have one.
    pub(super) preemption: Preemption,
}

/// A cache's tokens, and the bytes that are something else's.
pub(super) struct Divided {
    pub(super) tokens: usize,
    pub(super) images: usize,
    pub(super) copies: usize,
}

impl Share {
    pub(super) fn of(&self, bytes: u64) -> Divided {
        let images = if self.sees { for_images(bytes) } else { 0 };
        let bytes = bytes - images;
        let copies = self.preemption.bytes(bytes);
        let affordable = usize::try_from((bytes - copies) / self.per_token).unwrap_or(usize::MAX);
        let [images, copies] =
            [images, copies].map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        // At least one page: a budget of nothing is refused with words when a request comes.
        Divided { tokens: affordable.min(self.most).max(self.page_size), images, copies }
    }
}
