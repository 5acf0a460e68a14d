//! Scores of signs: how many differ, of each query vector's best match.
#![expect(unsafe_code, reason = "blocks are walked by pointer")]

use super::blocks::Blocks;
use super::layout::{BLOCK, Query};
use super::level::Work;

/// The scores of some pages' signs. Pages are whole blocks, at least one.
pub(super) struct Scores<'a> {
    pub(super) query: &'a Query,
    pub(super) pages: &'a [&'a [u8]],
    pub(super) scores: &'a mut [i32],
}

impl Work for Scores<'_> {
    #[inline(always)]
    fn run<B: Blocks>(self, blocks: B) {
        let layout = self.query.layout();
        let (words, dim) = (layout.words(), layout.dim() as i32);
        for (page, score) in self.pages.iter().zip(self.scores) {
            let mut rows = self.query.signs.as_slice();
            let mut differing = 0;
            while !rows.is_empty() {
                let take = if rows.len() >= 4 * words { B::SIGN_ROWS } else { 1 };
                let (now, rest) = rows.split_at(take * words);
                // The width of most models' vectors is worth a loop that the compiler knows the length of.
                differing += match (take, words) {
                    (4, 2) => least::<B, 4, 2>(blocks, page, now, 2),
                    (4, _) => least::<B, 4, 0>(blocks, page, now, words),
                    (_, 2) => least::<B, 1, 2>(blocks, page, now, 2),
                    _ => least::<B, 1, 0>(blocks, page, now, words),
                };
                rows = rest;
            }
            *score = self.query.len() as i32 * dim - 2 * differing as i32;
        }
    }
}

/// The sum, over `R` vectors of a query, of how many signs differ from those of the page's vector
/// where fewest do. `W` is the number of words, where it is known to the compiler.
#[inline(always)]
fn least<B: Blocks, const R: usize, const W: usize>(
    blocks: B,
    page: &[u8],
    rows: &[u64],
    words: usize,
) -> u32 {
    let words = if W == 0 { words } else { W };
    let mut least = [blocks.count(u32::MAX >> 1); R];
    for block in page.chunks_exact(words * BLOCK * size_of::<u64>()) {
        let mut counts = [blocks.count(0); R];
        for (word, part) in block.chunks_exact(BLOCK * size_of::<u64>()).enumerate() {
            // SAFETY: the part has sixteen words.
            let signs = unsafe { blocks.signs(part.as_ptr()) };
            for (counts, row) in counts.iter_mut().zip(rows.chunks_exact(words)) {
                *counts = blocks.differing(*counts, signs, row[word]);
            }
        }
        for (least, counts) in least.iter_mut().zip(counts) {
            *least = blocks.least(*least, counts);
        }
    }
    least.into_iter().map(|counts| blocks.least_lane(counts)).sum()
}
