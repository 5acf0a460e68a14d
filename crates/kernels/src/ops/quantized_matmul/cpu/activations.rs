//! Activations rounded to 8 bits for each group.
//!
//! With `s = max|x| / 127` over a group, `x` is about `s q`, and a group's share of a product with
//! weights `a c + b` is `s a (c . q) + b (s sum(q))`: an integer dot product, and the sum of the
//! codes that was taken once for all rows of the weight. Where all codes are off by the same whole
//! number `o`, `a (c - o)`, the share is `s a (c . q - o sum(q))`, and the integers begin there.
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
    /// codes of each row after another. These four are as far apart as there are planes.
    Tiles(usize),
}

/// What to round, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Plan {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) group: usize,
    /// Vectors that a packed vector of the weight is cut into.
    pub(super) planes: usize,
    /// What is taken from each code of the weight, if it has no bias.
    pub(super) offset: Option<i32>,
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
/// `rows * groups` scales and as many sums, the numbers of one group side by side.
pub(super) struct Rounded {
    pub(super) plan: Plan,
    /// Words of four codes, in memory for numbers.
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
                    // are a number, and numbers are as long and as aligned as words.
                    let (codes, scales, sums) = unsafe {
                        let codes = codes.part(part(plan.stride() / 4));
                        let words = codes.as_mut_ptr().cast::<u32>();
                        let words = std::slice::from_raw_parts_mut(words, codes.len());
                        let groups = part(plan.groups());
                        (words, scales.part(groups.clone()), sums.part(groups))
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

    /// Of each group, the sum of its codes times its scale, as [`scales`](Self::scales). With an
    /// offset, in rows, that times minus the offset; in tiles, the bits of the whole number at
    /// which dot products begin.
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
    codes: &'a mut [u32],
    scales: &'a mut [f32],
    sums: &'a mut [f32],
}

impl CodeKernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, _: S) {
        match self.plan.group {
            16 => self.groups::<16>(),
            32 => self.groups::<32>(),
            64 => self.groups::<64>(),
            _ => self.groups::<128>(),
        }
    }
}

impl Round<'_> {
    #[inline(always)]
    fn groups<const GROUP: usize>(self) {
        let Self { plan, x, rows, codes, scales, sums } = self;
        if plan.layout == Layout::Rows {
            // What lies beyond the last column or group counts for nothing.
            let block = plan.planes * WIDEST / 4;
            codes[plan.columns / 4 / block * block..].fill(0);
            scales[plan.columns / plan.group..].fill(0.0);
            sums[plan.columns / plan.group..].fill(0.0);
        }
        for (row, x) in x.chunks_exact(plan.columns).enumerate() {
            for (number, x) in x.as_chunks::<GROUP>().0.iter().enumerate() {
                let mut rounded = [0_u8; GROUP];
                let (scale, sum) = round(x, &mut rounded);
                let mut words = [0; GROUP];
                match plan.planes {
                    1 => one_plane(&rounded, &mut words),
                    2 => two_planes(&rounded, &mut words),
                    _ => four_planes(&rounded, &mut words),
                }
                let words = &words[..GROUP / 4];
                if plan.layout == Layout::Rows {
                    scales[number] = scale;
                    sums[number] = scale * (plan.offset.map_or(sum, |offset| -offset * sum)) as f32;
                    place_row(words, number * GROUP / 4, plan.planes, codes);
                    continue;
                }
                scales[number * rows + row] = scale;
                sums[number * rows + row] = match plan.offset {
                    Some(offset) => f32::from_bits((-offset * sum) as u32),
                    None => scale * sum as f32,
                };
                let codes = &mut codes[number * (GROUP / 4) * rows..][..GROUP / 4 * rows];
                for (to, word) in codes.chunks_exact_mut(rows).zip(words) {
                    to[row] = *word;
                }
            }
        }
    }
}

/// Places the words of a group, which begin at word `at` of the row, plane after plane of a block.
#[inline(always)]
fn place_row(words: &[u32], at: usize, planes: usize, codes: &mut [u32]) {
    const VECTOR: usize = WIDEST / 4;
    let block = planes * VECTOR;
    let start = at / block * block + at % block / planes;
    for plane in 0..planes {
        let to = &mut codes[start + plane * VECTOR..][..words.len() / planes];
        for (to, word) in to.iter_mut().zip(words[plane..].iter().step_by(planes)) {
            *to = *word;
        }
    }
}

/// Rounds a group; answers its scale and the sum of its codes.
#[inline(always)]
fn round<const GROUP: usize>(x: &[f32; GROUP], codes: &mut [u8; GROUP]) -> (f32, i32) {
    // Of two floats without sign the greater has the greater bits, and what is not finite has the
    // greatest.
    let largest = x.iter().fold(0, |largest, x| largest.max(x.to_bits() & 0x7fff_ffff));
    let largest = f32::from_bits(largest);
    if !largest.is_finite() {
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

/// Four codes after another.
#[inline(always)]
fn one_plane<const GROUP: usize>(codes: &[u8; GROUP], words: &mut [u32; GROUP]) {
    for (to, four) in words.iter_mut().zip(codes.as_chunks::<4>().0) {
        *to = u32::from_le_bytes(*four);
    }
}

/// Of each eight codes the four even ones and the four odd ones.
#[inline(always)]
fn two_planes<const GROUP: usize>(codes: &[u8; GROUP], words: &mut [u32; GROUP]) {
    let eights = codes.as_chunks::<8>().0;
    for (to, eight) in words.as_chunks_mut::<2>().0.iter_mut().zip(eights) {
        let eight = u64::from_le_bytes(*eight);
        let every_second = |codes: u64| {
            let codes = codes & 0x00ff_00ff_00ff_00ff;
            let codes = (codes | codes >> 8) & 0x0000_ffff_0000_ffff;
            (codes | codes >> 16) as u32
        };
        *to = [every_second(eight), every_second(eight >> 8)];
    }
}

/// Of each sixteen codes every fourth, from the first, the second, the third and the fourth on.
#[inline(always)]
fn four_planes<const GROUP: usize>(codes: &[u8; GROUP], words: &mut [u32; GROUP]) {
    let sixteens = codes.as_chunks::<16>().0;
    for (to, codes) in words.as_chunks_mut::<4>().0.iter_mut().zip(sixteens) {
        for (plane, to) in to.iter_mut().enumerate() {
            let every_fourth =
                [codes[plane], codes[4 + plane], codes[8 + plane], codes[12 + plane]];
            *to = u32::from_le_bytes(every_fourth);
        }
    }
}
