//! Plain Rust, sixteen lanes of it.
#![expect(unsafe_code, reason = "blocks are read by pointer")]

use super::blocks::Blocks;
use super::layout::BLOCK;
use super::level::Work;

/// Every machine has it.
#[derive(Clone, Copy)]
pub(super) struct Portable;

/// Does the work.
pub(super) fn run<W: Work>(work: W) {
    work.run(Portable);
}

impl Blocks for Portable {
    type Codes = [[i32; 4]; BLOCK];
    type Four = [i32; 4];
    type Ints = [i32; BLOCK];
    type Floats = [f32; BLOCK];
    type Signs = [u64; BLOCK];
    type Counts = [u32; BLOCK];

    const ROWS: usize = 2;
    const FOUR_BLOCKS: bool = false;
    const UNSIGNED: bool = false;
    const SIGN_ROWS: usize = 1;

    #[inline(always)]
    unsafe fn codes(self, from: *const u8) -> Self::Codes {
        // SAFETY: as the caller promises; bytes have no alignment.
        let bytes: [[u8; 4]; BLOCK] = unsafe { from.cast::<[[u8; 4]; BLOCK]>().read() };
        bytes.map(|four| four.map(|code| i32::from(code) - 128))
    }

    #[inline(always)]
    unsafe fn four(self, from: *const i8) -> Self::Four {
        // SAFETY: as above.
        unsafe { from.cast::<[i8; 4]>().read() }.map(i32::from)
    }

    #[inline(always)]
    fn splat(self, x: i32) -> Self::Ints {
        [x; BLOCK]
    }

    #[inline(always)]
    fn dot(self, mut sums: Self::Ints, codes: Self::Codes, four: Self::Four) -> Self::Ints {
        for (sum, codes) in sums.iter_mut().zip(codes) {
            for (code, other) in codes.iter().zip(four) {
                *sum += code * other;
            }
        }
        sums
    }

    #[inline(always)]
    fn floats(self, ints: Self::Ints) -> Self::Floats {
        ints.map(|x| x as f32)
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> Self::Floats {
        // SAFETY: as the caller promises.
        unsafe { from.cast::<[u32; BLOCK]>().read_unaligned() }
            .map(|bits| f32::from_bits(u32::from_le(bits)))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, floats: Self::Floats) {
        // SAFETY: as the caller promises.
        unsafe { to.cast::<[f32; BLOCK]>().write_unaligned(floats) };
    }

    #[inline(always)]
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        std::array::from_fn(|lane| a[lane] * b[lane])
    }

    #[inline(always)]
    fn max(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        std::array::from_fn(|lane| if a[lane] > b[lane] { a[lane] } else { b[lane] })
    }

    #[inline(always)]
    unsafe fn signs(self, from: *const u8) -> Self::Signs {
        // SAFETY: as the caller promises.
        unsafe { from.cast::<[u64; BLOCK]>().read_unaligned() }.map(u64::from_le)
    }

    #[inline(always)]
    fn count(self, x: u32) -> Self::Counts {
        [x; BLOCK]
    }

    #[inline(always)]
    fn differing(self, counts: Self::Counts, signs: Self::Signs, word: u64) -> Self::Counts {
        std::array::from_fn(|lane| counts[lane] + (signs[lane] ^ word).count_ones())
    }

    #[inline(always)]
    fn least(self, a: Self::Counts, b: Self::Counts) -> Self::Counts {
        std::array::from_fn(|lane| a[lane].min(b[lane]))
    }

    #[inline(always)]
    fn least_lane(self, counts: Self::Counts) -> u32 {
        counts.into_iter().fold(u32::MAX, u32::min)
    }
}
