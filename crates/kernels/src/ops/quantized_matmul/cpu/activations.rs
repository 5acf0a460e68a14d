//! Activations rounded to 8 bits for each group, or to `bf16`.
//!
//! Of bytes: with `s = max|x| / 127` over a group, `x` is about `s q`, and a group's share of a product with
//! weights `a c + b` is `s a (c . q) + b (s sum(q))`: an integer dot product, and the sum of the
//! codes that was taken once for all rows of the weight. Where all codes are off by the same whole
//! number `o`, `a (c - o)`, the share is `s a (c . q - o sum(q))`, and the integers begin there.
//!
//! A group that holds NaN or an infinity gets NaN for its scale: nothing bad is hidden.
//!
//! Of `bf16`: a group's share is `a (c . x) + b sum(x)`, and the sum was taken once.
#![expect(unsafe_code, reason = "tasks write disjoint tiles of three arrays")]

use std::ops::Range;
use std::sync::Arc;

use crate::cpu::simd::pairs;
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
    /// plane, padded with zeros; scales and sums padded to a multiple of 16. Of `bf16`, a plane is
    /// the first and third numbers of each four, and then the second and fourth ones.
    Rows,
    /// For vectors across rows of the weight: tiles of at most so many rows, and in a tile, four
    /// codes of each row after another. These four are as far apart as there are planes.
    Tiles(usize),
}

/// What activations are rounded to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Number {
    /// Signed bytes, with a scale for each group.
    Byte,
    /// `bf16`.
    Bf16,
}

impl Number {
    /// How many of them a word of four bytes holds.
    fn per_word(self) -> usize {
        match self {
            Self::Byte => 4,
            Self::Bf16 => 2,
        }
    }
}

/// What to round, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Plan {
    pub(super) number: Number,
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

    /// Bytes of a row, padding included.
    pub(super) fn bytes(&self) -> usize {
        4 * self.words()
    }

    /// Words of a row, padding included.
    fn words(&self) -> usize {
        self.stride() / self.number.per_word()
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
    /// Words of four codes or two numbers, in memory for numbers.
    codes: Buffer,
    scales: Buffer,
    sums: Buffer,
}

impl Rounded {
    pub(super) fn new(cpu: &Arc<Cpu>, level: Level, plan: Plan, x: &[f32]) -> Self {
        assert_eq!(x.len(), plan.rows * plan.columns, "activations");
        let mut codes = cpu.buffer(plan.rows * plan.words());
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
                        let codes = codes.part(part(plan.words()));
                        let words = codes.as_mut_ptr().cast::<u32>();
                        let words = std::slice::from_raw_parts_mut(words, codes.len());
                        let groups = part(plan.groups());
                        (words, scales.part(groups.clone()), sums.part(groups))
                    };
                    let x = &x[part(plan.columns)];
                    let rows = rows.len();
                    match plan.number {
                        Number::Byte => {
                            dispatch(level, Round { plan, x, rows, codes, scales, sums });
                        }
                        Number::Bf16 => {
                            dispatch(level, Narrow { plan, x, rows, words: codes, sums });
                        }
                    }
                }
            });
        }
        Self { plan, codes, scales, sums }
    }

    /// The codes, or numbers, from a row on, which must be the first of its tile.
    #[inline(always)]
    pub(super) fn codes(&self, row: usize) -> &[u8] {
        let codes = &self.codes[row * self.plan.words()..];
        // SAFETY: numbers are four bytes, and bytes need no alignment.
        unsafe { std::slice::from_raw_parts(codes.as_ptr().cast(), 4 * codes.len()) }
    }

    /// The scales from a row on, which must be the first of its tile; arbitrary for `bf16`.
    #[inline(always)]
    pub(super) fn scales(&self, row: usize) -> &[f32] {
        &self.scales[row * self.plan.groups()..]
    }

    /// Of each group, the sum of its codes times its scale, as [`scales`](Self::scales), or of its
    /// `bf16`. With an
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
    fn run<S: CodeSimd>(self, simd: S) {
        match self.plan.group {
            16 => self.groups::<S, 16>(simd),
            32 => self.groups::<S, 32>(simd),
            64 => self.groups::<S, 64>(simd),
            _ => self.groups::<S, 128>(simd),
        }
    }
}

impl Round<'_> {
    #[inline(always)]
    fn groups<S: CodeSimd, const GROUP: usize>(self, simd: S) {
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
                let (scale, sum, words) = round(simd, plan.planes, x);
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

/// How sixteen codes become four words: of `planes * 4` codes in turn, each word has every
/// `planes`th.
const fn order(planes: usize) -> [u8; 16] {
    let mut order = [0; 16];
    let mut i = 0;
    while i < 16 {
        let (run, at) = (i / (4 * planes), i % (4 * planes));
        order[i] = (run * 4 * planes + at % 4 * planes + at / 4) as u8;
        i += 1;
    }
    order
}

/// What a group is multiplied with, so that the greatest is 127: nothing, if it is so small that
/// this overflows, for such a group is zero to any weight.
#[inline(always)]
fn inverse(largest: f32) -> f32 {
    if largest > 1e-36 { 127.0 / largest } else { 0.0 }
}

/// Rounds a group; answers its scale, the sum of its codes, and these as words in the order of
/// [`order`].
#[inline(always)]
fn round<S: CodeSimd, const GROUP: usize>(
    simd: S,
    planes: usize,
    x: &[f32; GROUP],
) -> (f32, i32, [u32; LARGEST_GROUP / 4]) {
    let mut words = [0_u32; LARGEST_GROUP / 4];
    let mut most = simd.zero();
    for x in x.chunks_exact(S::LANES) {
        // SAFETY: a number for each lane.
        most = simd.max_magnitude(most, unsafe { simd.load_floats(x.as_ptr()) });
    }
    let largest = f32::from_bits(simd.max_lane(most) as u32);
    if !largest.is_finite() {
        return (f32::NAN, 0, words);
    }
    // The nearest whole number: adding 1.5 * 2^23 leaves no bit for a fraction, and the lowest
    // bits are the number.
    const MAGIC: f32 = 12_582_912.0;
    let (inverse, magic) = (simd.splat(inverse(largest)), simd.splat(MAGIC));
    let mut codes = [0_u8; LARGEST_GROUP];
    for (x, to) in x.chunks_exact(S::LANES).zip(codes.chunks_exact_mut(S::LANES)) {
        // SAFETY: a number, and room for a byte, for each lane.
        unsafe {
            let scaled = simd.mul(simd.load_floats(x.as_ptr()), inverse);
            simd.store_low_bytes(to.as_mut_ptr(), simd.add(scaled, magic));
        }
    }
    let order = const { &[order(1), order(2), order(4)] };
    let order = &order[planes.trailing_zeros() as usize % 3];
    let ones = [1_u8; WIDEST];
    let (mut sums, to) = (simd.zero(), words.as_mut_ptr().cast::<u8>());
    for at in (0..GROUP).step_by(S::WIDTH) {
        // SAFETY: both arrays hold the largest group, which is a multiple of any vector; what lies
        // behind the group is zeros.
        unsafe {
            let codes = simd.load(codes.as_ptr().add(at));
            sums = simd.dot::<false>(sums, simd.load(ones.as_ptr()), codes);
            simd.store(to.add(at), simd.reorder(codes, order));
        }
    }
    // Whole numbers that an `f32` holds.
    (largest / 127.0, simd.sum(simd.to_floats(sums)) as i32, words)
}

/// Rounds one tile to `bf16`: for each four columns, in the order of [`order`], the first and the
/// third of each row in a word, and then the second and the fourth.
struct Narrow<'a> {
    plan: Plan,
    x: &'a [f32],
    rows: usize,
    words: &'a mut [u32],
    sums: &'a mut [f32],
}

impl CodeKernel for Narrow<'_> {
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

impl Narrow<'_> {
    #[inline(always)]
    fn groups<const GROUP: usize>(self) {
        let Self { plan, x, rows, words, sums } = self;
        let order = order(plan.planes);
        let along = plan.layout == Layout::Rows;
        if along {
            // What lies beyond the last column or group counts for nothing.
            let block = plan.planes * WIDEST / 2;
            words[plan.columns / 2 / block * block..].fill(0);
            sums[plan.columns / plan.group..].fill(0.0);
        }
        for (row, x) in x.chunks_exact(plan.columns).enumerate() {
            for (number, x) in x.as_chunks::<GROUP>().0.iter().enumerate() {
                let mut rounded = [0_u16; GROUP];
                let mut sum = 0.0;
                for (rounded, x) in rounded.iter_mut().zip(x) {
                    *rounded = pairs::round(*x);
                    sum += f32::from_bits(u32::from(*rounded) << 16);
                }
                sums[number * rows + row] = sum;
                for (at, sixteen) in (0..).step_by(4).zip(rounded.as_chunks::<16>().0) {
                    for (at, four) in (at..).zip(order.as_chunks::<4>().0) {
                        let at = number * (GROUP / 4) + at;
                        let [a, b, c, d] = four.map(|i| u32::from(sixteen[usize::from(i)]));
                        let [first, second] = if along {
                            place(at, plan.planes)
                        } else {
                            [2 * at * rows + row, (2 * at + 1) * rows + row]
                        };
                        words[first] = a | c << 16;
                        words[second] = b | d << 16;
                    }
                }
            }
        }
    }
}

/// Where the pairs of the four numbers that are word `at` of a row lie in [`Layout::Rows`].
#[inline(always)]
fn place(at: usize, planes: usize) -> [usize; 2] {
    const VECTOR: usize = WIDEST / 4;
    let (block, within) = (at / (planes * VECTOR), at % (planes * VECTOR));
    let plane = block * planes + within % planes;
    let first = 2 * plane * VECTOR + within / planes;
    [first, first + VECTOR]
}
