//! Late interaction: how well the vectors of a query fit those of a page.
//!
//! `score(q, p) = Σ_i max_j q_i · p_j` (MaxSim). Vectors are 8-bit codes with a
//! scale each, and their dot products exact in 32-bit integers. Floats are rounded in one order
//! only, so that every instruction set gives the same bits:
//!
//! 1. `x_ij`, the dot product of the codes, is rounded to `f32` (nothing is lost below 2^24);
//! 2. `y_ij = x_ij * scale_j`, rounded to `f32`;
//! 3. `m_i = max_j y_ij`, which rounds nothing;
//! 4. `score = ((0 + s_0 * m_0) + s_1 * m_1) + ...` in the order of the query's vectors, where `s_i` is
//!    the scale of a query's vector; products and sums are rounded to `f32` each, never fused.
//!
//! The signs of the numbers alone are a plane of their own, an eighth as large, whose score
//! `Σ_i max_j (dim - 2 * differing signs)` is an integer: a first, coarse stage.
//!
//! Vectors lie in blocks of [`BLOCK`], so that a lane of a vector register belongs to a page's
//! vector and no sum crosses lanes. The last vector of a page is repeated until its block is
//! full, which changes no maximum. See [`Layout`].

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
mod exact;
mod layout;
mod level;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod reference;
mod signs;
#[cfg(test)]
mod tests;

pub use layout::{BLOCK, Layout, Packed, Page, Query};
pub use reference::similarities;

use level::Level;

use crate::cpu::{Cpu, SharedMut};

/// Bytes of pages that one task reads: some tens of microseconds.
const GRAIN: usize = 1 << 20;

/// The score of each page for the query, as the module says, to the bit.
///
/// # Panics
///
/// If `out` is not as long as `pages`, or the planes of a page are not what [`Layout::check`] wants.
#[track_caller]
pub fn max_sim(cpu: &Cpu, query: &Query, pages: &[Page<'_>], out: &mut [f32]) {
    assert_eq!(pages.len(), out.len(), "max_sim: a score for each page");
    let layout = query.layout();
    let mut bytes = 0;
    for page in pages {
        assert!(layout.check(page).is_some(), "max_sim: a page of whole blocks");
        bytes += page.codes.len();
    }
    let level = Level::of(cpu.isa());
    let grain = grain(pages.len(), bytes);
    let scores = SharedMut::new(out);
    cpu.pool().run_ranges(pages.len(), grain, |range| {
        #[expect(unsafe_code, reason = "tasks write disjoint scores")]
        // SAFETY: the ranges are disjoint.
        let scores = unsafe { scores.part(range.clone()) };
        level::dispatch(level, exact::Scores { query, pages: &pages[range], scores });
    });
}

/// The score of each page's signs for the query's: how many more agree than differ, of each query
/// vector's best match, summed.
///
/// # Panics
///
/// If `out` is not as long as `pages`, or a page is not one or more blocks of signs.
#[track_caller]
pub fn max_sign_sim(cpu: &Cpu, query: &Query, pages: &[&[u8]], out: &mut [i32]) {
    assert_eq!(pages.len(), out.len(), "max_sign_sim: a score for each page");
    let block = query.layout().sign_bytes();
    let mut bytes = 0;
    for page in pages {
        let whole = !page.is_empty() && page.len().is_multiple_of(block);
        assert!(whole, "max_sign_sim: a page of whole blocks");
        bytes += page.len();
    }
    let level = Level::of(cpu.isa());
    let grain = grain(pages.len(), 4 * bytes);
    let scores = SharedMut::new(out);
    cpu.pool().run_ranges(pages.len(), grain, |range| {
        #[expect(unsafe_code, reason = "tasks write disjoint scores")]
        // SAFETY: the ranges are disjoint.
        let scores = unsafe { scores.part(range.clone()) };
        level::dispatch(level, signs::Scores { query, pages: &pages[range], scores });
    });
}

/// How many of so many pages, which have so many bytes together, are a task.
fn grain(pages: usize, bytes: usize) -> usize {
    (GRAIN * pages / bytes.max(1)).max(1)
}
