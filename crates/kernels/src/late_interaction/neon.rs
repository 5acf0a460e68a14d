//! NEON, with or without dot products: sixteen lanes are four registers.
#![expect(unsafe_code, reason = "vector instructions and unaligned loads")]

use std::arch::aarch64::*;

use super::blocks::Blocks;
use super::level::Work;
use crate::cpu::simd::signed_dot::{sdot, widening_dot};

/// Every 64-bit Arm has the instructions, but for the dot product that the parameter tells of.
#[derive(Clone, Copy)]
struct Neon<const DOTPROD: bool>(());

/// Does the work.
pub(super) fn run<W: Work>(work: W) {
    work.run(Neon::<false>(()));
}

/// Does the work, which is inlined here.
///
/// # Safety
///
/// The machine has [`Isa::NeonDotprod`](crate::Isa::NeonDotprod).
#[target_feature(enable = "dotprod")]
pub(super) unsafe fn run_dotprod<W: Work>(work: W) {
    work.run(Neon::<true>(()));
}

/// An instruction that the machine has.
macro_rules! have {
    ($instruction:expr) => {{
        // SAFETY: NEON is part of the architecture, and nothing more is used here.
        unsafe { $instruction }
    }};
}

impl<const DOTPROD: bool> Blocks for Neon<DOTPROD> {
    type Codes = [int8x16_t; 4];
    type Four = int8x16_t;
    type Ints = [int32x4_t; 4];
    type Floats = [float32x4_t; 4];
    type Signs = [uint64x2_t; 8];
    type Counts = [uint64x2_t; 8];

    const ROWS: usize = 5;
    const FOUR_BLOCKS: bool = false;
    const UNSIGNED: bool = false;
    const SIGN_ROWS: usize = 1;

    #[inline(always)]
    unsafe fn codes(self, from: *const u8) -> Self::Codes {
        let mut codes = [have!(vdupq_n_s8(0)); 4];
        for (i, codes) in codes.iter_mut().enumerate() {
            // SAFETY: the caller promises 64 bytes.
            let bytes = unsafe { vld1q_u8(from.add(16 * i)) };
            *codes = have!(vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(0x80))));
        }
        codes
    }

    #[inline(always)]
    unsafe fn four(self, from: *const i8) -> int8x16_t {
        // SAFETY: as the caller promises.
        have!(vreinterpretq_s8_s32(vdupq_n_s32(from.cast::<i32>().read_unaligned())))
    }

    #[inline(always)]
    fn splat(self, x: i32) -> Self::Ints {
        [have!(vdupq_n_s32(x)); 4]
    }

    #[inline(always)]
    fn dot(self, sums: Self::Ints, codes: Self::Codes, four: int8x16_t) -> Self::Ints {
        let mut sums = sums;
        for (sum, codes) in sums.iter_mut().zip(&codes) {
            *sum = if DOTPROD {
                // SAFETY: a `Neon<true>` exists only where the machine has the instruction.
                unsafe { sdot(*sum, *codes, four) }
            } else {
                widening_dot(*sum, *codes, four)
            };
        }
        sums
    }

    #[inline(always)]
    fn floats(self, ints: Self::Ints) -> Self::Floats {
        let mut floats = [have!(vdupq_n_f32(0.0)); 4];
        for (to, from) in floats.iter_mut().zip(&ints) {
            *to = have!(vcvtq_f32_s32(*from));
        }
        floats
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> Self::Floats {
        let mut floats = [have!(vdupq_n_f32(0.0)); 4];
        for (i, floats) in floats.iter_mut().enumerate() {
            // SAFETY: the caller promises 64 bytes.
            *floats = unsafe { vreinterpretq_f32_u8(vld1q_u8(from.add(16 * i))) };
        }
        floats
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, floats: Self::Floats) {
        for (i, floats) in floats.into_iter().enumerate() {
            // SAFETY: the caller promises room for sixteen.
            unsafe { vst1q_f32(to.add(4 * i), floats) };
        }
    }

    #[inline(always)]
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        let mut out = a;
        for (a, b) in out.iter_mut().zip(&b) {
            *a = have!(vmulq_f32(*a, *b));
        }
        out
    }

    #[inline(always)]
    fn max(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        let mut out = a;
        for (a, b) in out.iter_mut().zip(&b) {
            *a = have!(vmaxq_f32(*a, *b));
        }
        out
    }

    #[inline(always)]
    unsafe fn signs(self, from: *const u8) -> Self::Signs {
        let mut signs = self.count(0);
        for (i, signs) in signs.iter_mut().enumerate() {
            // SAFETY: the caller promises 128 bytes.
            *signs = unsafe { vreinterpretq_u64_u8(vld1q_u8(from.add(16 * i))) };
        }
        signs
    }

    #[inline(always)]
    fn count(self, x: u32) -> Self::Counts {
        [have!(vdupq_n_u64(u64::from(x))); 8]
    }

    #[inline(always)]
    fn differing(self, counts: Self::Counts, signs: Self::Signs, word: u64) -> Self::Counts {
        let mut counts = counts;
        for (count, signs) in counts.iter_mut().zip(&signs) {
            *count = have!({
                let bits = vreinterpretq_u8_u64(veorq_u64(*signs, vdupq_n_u64(word)));
                let words = vpaddlq_u16(vpaddlq_u8(vcntq_u8(bits)));
                vpadalq_u32(*count, words)
            });
        }
        counts
    }

    #[inline(always)]
    fn least(self, a: Self::Counts, b: Self::Counts) -> Self::Counts {
        // The upper halves of all words are zero.
        let mut least = a;
        for (a, b) in least.iter_mut().zip(&b) {
            *a = have!({
                let least = vminq_u32(vreinterpretq_u32_u64(*a), vreinterpretq_u32_u64(*b));
                vreinterpretq_u64_u32(least)
            });
        }
        least
    }

    #[inline(always)]
    fn least_lane(self, counts: Self::Counts) -> u32 {
        let mut least = u32::MAX;
        for counts in counts {
            let words = have!([vgetq_lane_u64::<0>(counts), vgetq_lane_u64::<1>(counts)]);
            least = words.into_iter().fold(least, |least, word| least.min(word as u32));
        }
        least
    }
}
