//! AVX-512 with VNNI: sixteen lanes are one register, and four products one instruction.
#![expect(unsafe_code, reason = "vector instructions and unaligned loads")]

use std::arch::x86_64::*;

use super::blocks::Blocks;
use super::level::Work;

/// The proof that the machine has [`Isa::Avx512`](crate::Isa::Avx512), and what counts bits if the
/// parameter says so.
#[derive(Clone, Copy)]
struct Avx512<const POPCNT: bool>(());

/// Does the work, which is inlined here.
///
/// # Safety
///
/// The machine has [`Isa::Avx512`](crate::Isa::Avx512).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn run<W: Work>(work: W) {
    work.run(Avx512::<false>(()));
}

/// Does the work, which is inlined here.
///
/// # Safety
///
/// As for [`run`]; and the machine has VPOPCNTDQ.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vpopcntdq")]
pub(super) unsafe fn run_popcnt<W: Work>(work: W) {
    work.run(Avx512::<true>(()));
}

/// An instruction of a set that the machine has.
macro_rules! have {
    ($instruction:expr) => {{
        // SAFETY: an `Avx512` exists only where the machine has the instructions.
        unsafe { $instruction }
    }};
}

/// How many bits of each word of 64 bits are set.
#[inline(always)]
fn bits<const POPCNT: bool>(words: __m512i) -> __m512i {
    if POPCNT {
        return have!(_mm512_popcnt_epi64(words));
    }
    have!({
        let counts =
            _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
        let half = _mm512_set1_epi8(15);
        let low = _mm512_shuffle_epi8(counts, _mm512_and_si512(words, half));
        let high = _mm512_and_si512(_mm512_srli_epi16::<4>(words), half);
        let bytes = _mm512_add_epi8(low, _mm512_shuffle_epi8(counts, high));
        _mm512_sad_epu8(bytes, _mm512_setzero_si512())
    })
}

impl<const POPCNT: bool> Blocks for Avx512<POPCNT> {
    type Codes = __m512i;
    type Four = __m512i;
    type Ints = __m512i;
    type Floats = __m512;
    type Signs = [__m512i; 2];
    type Counts = [__m512i; 2];

    const ROWS: usize = 6;
    const FOUR_BLOCKS: bool = true;
    const UNSIGNED: bool = true;
    const SIGN_ROWS: usize = 4;

    #[inline(always)]
    unsafe fn codes(self, from: *const u8) -> __m512i {
        // SAFETY: as the caller promises.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn four(self, from: *const i8) -> __m512i {
        // SAFETY: as the caller promises.
        have!(_mm512_set1_epi32(from.cast::<i32>().read_unaligned()))
    }

    #[inline(always)]
    fn splat(self, x: i32) -> __m512i {
        have!(_mm512_set1_epi32(x))
    }

    #[inline(always)]
    fn dot(self, sums: __m512i, codes: __m512i, four: __m512i) -> __m512i {
        have!(_mm512_dpbusd_epi32(sums, codes, four))
    }

    #[inline(always)]
    fn floats(self, ints: __m512i) -> __m512 {
        have!(_mm512_cvtepi32_ps(ints))
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> __m512 {
        // SAFETY: as the caller promises.
        unsafe { _mm512_loadu_ps(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, floats: __m512) {
        // SAFETY: as the caller promises.
        unsafe { _mm512_storeu_ps(to, floats) };
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        have!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        have!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    unsafe fn signs(self, from: *const u8) -> Self::Signs {
        // SAFETY: as the caller promises.
        unsafe { [_mm512_loadu_si512(from.cast()), _mm512_loadu_si512(from.add(64).cast())] }
    }

    #[inline(always)]
    fn count(self, x: u32) -> Self::Counts {
        [have!(_mm512_set1_epi64(i64::from(x))); 2]
    }

    #[inline(always)]
    fn differing(self, counts: Self::Counts, signs: Self::Signs, word: u64) -> Self::Counts {
        let word = have!(_mm512_set1_epi64(word.cast_signed()));
        let mut counts = counts;
        for (count, signs) in counts.iter_mut().zip(&signs) {
            let differing = bits::<POPCNT>(have!(_mm512_xor_si512(*signs, word)));
            *count = have!(_mm512_add_epi64(*count, differing));
        }
        counts
    }

    #[inline(always)]
    fn least(self, a: Self::Counts, b: Self::Counts) -> Self::Counts {
        [have!(_mm512_min_epu64(a[0], b[0])), have!(_mm512_min_epu64(a[1], b[1]))]
    }

    #[inline(always)]
    fn least_lane(self, counts: Self::Counts) -> u32 {
        have!(_mm512_reduce_min_epu64(_mm512_min_epu64(counts[0], counts[1]))) as u32
    }

    #[inline(always)]
    fn prefetch(self, address: *const u8) {
        have!(_mm_prefetch::<_MM_HINT_T0>(address.cast()));
    }
}
