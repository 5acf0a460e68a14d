//! Scores of codes: tiles of a query's vectors and a page's blocks.
#![expect(unsafe_code, reason = "blocks are walked by pointer")]

use super::blocks::Blocks;
use super::layout::{BLOCK, Layout, Page, Query};
use super::level::Work;

/// How far ahead of what is multiplied memory is asked for.
const AHEAD: usize = 16 * 1024;

/// The scores of some pages. Pages fit the query's layout.
pub(super) struct Scores<'a> {
    pub(super) query: &'a Query,
    pub(super) pages: &'a [Page<'a>],
    pub(super) scores: &'a mut [f32],
}

impl Work for Scores<'_> {
    #[inline(always)]
    fn run<B: Blocks>(self, blocks: B) {
        // The greatest of each lane so far, for each of the query's vectors.
        let mut best = vec![0.0; self.query.len() * BLOCK];
        for (page, score) in self.pages.iter().zip(self.scores) {
            best.fill(f32::NEG_INFINITY);
            let Some(count) = self.query.layout().check(page) else { continue };
            let scene = Scene { query: self.query, page };
            let mut block = 0;
            // SAFETY: `check` has found so many blocks, and `best` has sixteen lanes for each of
            // the query's vectors.
            unsafe {
                while B::FOUR_BLOCKS && block + 4 <= count {
                    scene.rows::<B, 4>(blocks, block, &mut best);
                    block += 4;
                }
                while block < count {
                    scene.rows::<B, 1>(blocks, block, &mut best);
                    block += 1;
                }
            }
            *score = sum(&best, &self.query.scales);
        }
    }
}

/// The fourth step of the module's rounding.
fn sum(best: &[f32], scales: &[f32]) -> f32 {
    let greatest = |lanes: &[f32; BLOCK]| lanes.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (lanes, _) = best.as_chunks();
    lanes.iter().zip(scales).fold(0.0, |sum, (lanes, scale)| sum + scale * greatest(lanes))
}

struct Scene<'a> {
    query: &'a Query,
    page: &'a Page<'a>,
}

impl Scene<'_> {
    /// Compares all of the query's vectors with `N` blocks from `block` on.
    ///
    /// # Safety
    ///
    /// The page has these blocks, and `best` a lane for each vector of a block and of the query.
    #[inline(always)]
    unsafe fn rows<B: Blocks, const N: usize>(&self, blocks: B, block: usize, best: &mut [f32]) {
        let count = self.query.len();
        let mut row = 0;
        while row < count {
            // As many in each tile as in any other.
            let left = count - row;
            let rows = left.div_ceil(left.div_ceil(B::ROWS));
            // SAFETY: the rows are the query's; the rest is as the caller promises.
            row += unsafe {
                // A tile that an instruction set never uses is not compiled for it.
                match rows {
                    6 if B::ROWS >= 6 => self.tile::<B, 6, N>(blocks, row, block, best),
                    5 if B::ROWS >= 5 => self.tile::<B, 5, N>(blocks, row, block, best),
                    4 if B::ROWS >= 4 => self.tile::<B, 4, N>(blocks, row, block, best),
                    3 if B::ROWS >= 3 => self.tile::<B, 3, N>(blocks, row, block, best),
                    2 if B::ROWS >= 2 => self.tile::<B, 2, N>(blocks, row, block, best),
                    _ => self.tile::<B, 1, N>(blocks, row, block, best),
                }
            };
        }
    }

    /// Compares `R` of the query's vectors with `N` blocks. Answers `R`.
    ///
    /// # Safety
    ///
    /// As for [`rows`](Self::rows); the query has so many vectors.
    #[inline(always)]
    unsafe fn tile<B: Blocks, const R: usize, const N: usize>(
        &self,
        blocks: B,
        row: usize,
        block: usize,
        best: &mut [f32],
    ) -> usize {
        let layout = self.query.layout();
        let (width, size) = (layout.row(), layout.code_bytes());
        let mut sums = [[blocks.splat(0); N]; R];
        if B::UNSIGNED {
            for (sums, offset) in sums.iter_mut().zip(&self.query.offsets[row..row + R]) {
                *sums = [blocks.splat(*offset); N];
            }
        }
        // SAFETY: the pointers stay within the codes of the query and of the page, as the caller
        // promises; what is merely asked for may lie anywhere.
        unsafe {
            let query = self.query.codes.as_ptr().add(row * width);
            let codes = self.page.codes.as_ptr().add(block * size);
            for at in (0..width).step_by(4) {
                let mut stored = [blocks.codes(codes.add(at * BLOCK)); N];
                for (n, stored) in stored.iter_mut().enumerate() {
                    let from = codes.add(n * size + at * BLOCK);
                    *stored = blocks.codes(from);
                    if row == 0 {
                        blocks.prefetch(from.wrapping_add(AHEAD));
                    }
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let four = blocks.four(query.add(r * width + at));
                    for (sum, stored) in sums.iter_mut().zip(&stored) {
                        *sum = blocks.dot(*sum, *stored, four);
                    }
                }
            }
            let scales = self.page.scales.as_ptr().add(block * Layout::SCALE_BYTES);
            let best = best.as_mut_ptr().add(row * BLOCK);
            for (r, sums) in sums.iter().enumerate() {
                let mut most = blocks.load(best.add(r * BLOCK).cast());
                for (n, sum) in sums.iter().enumerate() {
                    let scale = blocks.load(scales.add(n * Layout::SCALE_BYTES));
                    most = blocks.max(most, blocks.mul(blocks.floats(*sum), scale));
                }
                blocks.store(best.add(r * BLOCK), most);
            }
        }
        R
    }
}
