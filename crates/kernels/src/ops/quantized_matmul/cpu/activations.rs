//! Activations rounded to 8 bits for each group.
//!
//! With `s = max|x| / 127` over a group, `x` is about `s q`, and a group's share of a product with
//! weights `a c + b` is `s a (c . q) + b (s sum(q))`: an integer dot product, and the sum of the
//! codes that was taken once for all rows of the weight.
//!
//! A group that holds NaN or an infinity gets NaN for its scale: nothing bad is hidden.
#![expect(unsafe_code, reason = "tasks write disjoint tiles of three arrays")]

use std::ops::Range;
use std::sync::Arc;

use crate::cpu::simd::quantized::{CodeKernel, CodeSimd, Level, WIDEST, dispatch};
use crate::cpu::{Buffer, Cpu, SharedMut};

/// How many numbers are worth a task of their own.
const GRAIN: usize = 16 * 1024;

/// The most elements of a group.
pub(super) const LARGEST_GROUP: usize = 128;

/// How rounded activations are arranged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Layout {
    /// For vectors along a row: each row in blocks of `planes * 64` codes, a block plane after
    /// plane, padded with zeros; scales and sums padded to a multiple of 16.
    Rows,
    /// For vectors across rows of the weight: tiles of at most so many rows, and in a tile, four
    /// codes of each row after another.
    Tiles(usize),
}

/// What to round, and how.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) group: usize,
    /// Vectors that a packed vector of the weight is cut into.
    pub(super) planes: usize,
    pub(super) layout: Layout,
}

impl Plan {
    /// How many tiles there are; in rows, each is one.
    pub(super) fn tiles(&self) -> usize {
        match self.layout {
            Layout::Rows => self.rows,
            Layout::Tiles(most) => self.rows.div_ceil(most),
        }
    }

    /// The rows of a tile: all tiles have equally many, or one less.
    pub(super) fn tile(&self, tile: usize) -> Range<usize> {
        let tiles = self.tiles();
        tile * self.rows / tiles..(tile + 1) * self.rows / tiles
    }

    /// Codes of a row, padding included.
    pub(super) fn stride(&self) -> usize {
        match self.layout {
            Layout::Rows => self.columns.next_multiple_of(self.planes * WIDEST),
            Layout::Tiles(_) => self.columns,
        }
    }

    /// Groups of a row, padding included.
    pub(super) fn groups(&self) -> usize {
        let groups = self.columns / self.group;
        match self.layout {
            Layout::Rows => groups.next_multiple_of(WIDEST / 4),
            Layout::Tiles(_) => groups,
        }
    }
}

/// Rounded activations. Each array holds tile after tile: of `rows * stride` codes, of
/// `rows * groups` scales and as many sums.
pub(super) struct Rounded {
    pub(super) plan: Plan,
    /// Bytes, in memory for numbers.
    codes: Buffer,
    scales: Buffer,
    sums: Buffer,
}

impl Rounded {
    pub(super) fn new(cpu: &Arc<Cpu>, level: Level, plan: Plan, x: &[f32]) -> Self {
        assert_eq!(x.len(), plan.rows * plan.columns, "activations");
        let mut codes = cpu.buffer(plan.rows * plan.stride() / 4);
        let mut scales = cpu.buffer(plan.rows * plan.groups());
        let mut sums = cpu.buffer(plan.rows * plan.groups());
        {
            let codes = SharedMut::new(&mut codes);
            let (scales, sums) = (SharedMut::new(&mut scales), SharedMut::new(&mut sums));
            let width = (plan.columns * plan.rows.div_ceil(plan.tiles().max(1))).max(1);
            cpu.pool().run_ranges(plan.tiles(), GRAIN.div_ceil(width), |tiles| {
                for tile in tiles {
                    let rows = plan.tile(tile);
                    let part = |width: usize| rows.start * width..rows.end * width;
                    // SAFETY: tiles are disjoint, and so are their parts of each array; any bits
                    // are a number, and numbers are four bytes.
                    let (codes, scales, sums) = unsafe {
                        let codes = codes.part(part(plan.stride() / 4));
                        let bytes = std::slice::from_raw_parts_mut(
                            codes.as_mut_ptr().cast::<u8>(),
                            4 * codes.len(),
                        );
                        let groups = part(plan.groups());
                        (bytes, scales.part(groups.clone()), sums.part(groups))
                    };
                    let x = &x[part(plan.columns)];
                    dispatch(level, Round { plan, x, rows: rows.len(), codes, scales, sums });
                }
            });
        }
        Self { plan, codes, scales, sums }
    }

    /// The codes from a row on, which must be the first of its tile.
    #[inline(always)]
    pub(super) fn codes(&self, row: usize) -> &[u8] {
        let codes = &self.codes[row * (self.plan.stride() / 4)..];
        // SAFETY: numbers are four bytes, and bytes need no alignment.
        unsafe { std::slice::from_raw_parts(codes.as_ptr().cast(), 4 * codes.len()) }
    }

    /// The scales from a row on, which must be the first of its tile.
    #[inline(always)]
    pub(super) fn scales(&self, row: usize) -> &[f32] {
        &self.scales[row * self.plan.groups()..]
    }

    /// Of each group, the sum of its codes times its scale; as [`scales`](Self::scales).
    #[inline(always)]
    pub(super) fn sums(&self, row: usize) -> &[f32] {
        &self.sums[row * self.plan.groups()..]
    }
}

/// Rounds one tile.
struct Round<'a> {
    plan: Plan,
    x: &'a [f32],
    rows: usize,
    codes: &'a mut [u8],
    scales: &'a mut [f32],
    sums: &'a mut [f32],
}

impl CodeKernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, _: S) {
        match self.plan.planes {
            1 => self.planes::<1>(),
            2 => self.planes::<2>(),
            4 => self.planes::<4>(),
            planes => unreachable!("{planes} planes"),
        }
    }
}

impl Round<'_> {
    #[inline(always)]
    fn planes<const PLANES: usize>(self) {
        let Self { plan, x, rows, codes, scales, sums } = self;
        let group = plan.group;
        if plan.layout == Layout::Rows {
            // What lies beyond the last column or group counts for nothing.
            codes[plan.columns / (PLANES * WIDEST) * (PLANES * WIDEST)..].fill(0);
            scales[plan.columns / group..].fill(0.0);
            sums[plan.columns / group..].fill(0.0);
        }
        for (row, x) in x.chunks_exact(plan.columns).enumerate() {
            for (number, x) in x.chunks_exact(group).enumerate() {
                let mut rounded = [0_u8; LARGEST_GROUP];
                let rounded = &mut rounded[..group];
                let (scale, sum) = round(x, rounded);
                let at = number * group;
                let place = match plan.layout {
                    Layout::Rows => {
                        interleave_row::<PLANES>(rounded, at, codes);
                        number
                    }
                    Layout::Tiles(_) => {
                        interleave_tile::<PLANES>(rounded, at, (row, rows), codes);
                        number * rows + row
                    }
                };
                scales[place] = scale;
                sums[place] = scale * sum as f32;
            }
        }
    }
}

/// Rounds a group; answers its scale and the sum of its codes.
#[inline(always)]
fn round(x: &[f32], codes: &mut [u8]) -> (f32, i32) {
    // Of two floats without sign the greater has the greater bits, and what is not finite has the
    // greatest.
    let largest = x.iter().fold(0, |largest, x| largest.max(x.to_bits() & 0x7fff_ffff));
    let largest = f32::from_bits(largest);
    if !largest.is_finite() {
        codes.fill(0);
        return (f32::NAN, 0);
    }
    // A group of numbers so small that this overflows is zero to any weight.
    let inverse = if largest > 1e-36 { 127.0 / largest } else { 0.0 };
    let mut sum = 0;
    for (code, x) in codes.iter_mut().zip(x) {
        // The nearest whole number: adding 1.5 * 2^23 leaves no bit for a fraction, and the low
        // bits are the number.
        let bits = (x * inverse + 12_582_912.0).to_bits();
        *code = bits as u8;
        sum += bits as i32 - 0x4b40_0000;
    }
    (largest / 127.0, sum)
}

/// Places a group that begins at element `at` of its row.
#[inline(always)]
fn interleave_row<const PLANES: usize>(group: &[u8], at: usize, codes: &mut [u8]) {
    let block = PLANES * WIDEST;
    let start = at / block * block + at % block / PLANES;
    let per_plane = group.len() / PLANES;
    let groups = group.as_chunks::<PLANES>().0;
    for plane in 0..PLANES {
        let to = &mut codes[start + plane * WIDEST..][..per_plane];
        for (to, from) in to.iter_mut().zip(groups) {
            *to = from[plane];
        }
    }
}

/// Places a group that begins at element `at` of row `row` of `rows`.
#[inline(always)]
fn interleave_tile<const PLANES: usize>(
    group: &[u8],
    at: usize,
    (row, rows): (usize, usize),
    codes: &mut [u8],
) {
    for (i, lane) in group.chunks_exact(4 * PLANES).enumerate() {
        let lane = lane.as_chunks::<PLANES>().0;
        for plane in 0..PLANES {
            let word = at / 4 + i * PLANES + plane;
            let to = &mut codes[(word * rows + row) * 4..][..4];
            for (to, from) in to.iter_mut().zip(lane) {
                *to = from[plane];
            }
        }
    }
}
