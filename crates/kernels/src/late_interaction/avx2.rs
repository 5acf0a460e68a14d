//! AVX2: sixteen lanes are two registers. Bytes become 16-bit numbers, so that products of pairs are
//! exact: the instruction that multiplies bytes saturates.
#![expect(unsafe_code, reason = "vector instructions and unaligned loads")]

use std::arch::x86_64::*;

use super::blocks::Blocks;
use super::level::Work;

/// The proof that the machine has [`Isa::Avx2`](crate::Isa::Avx2).
#[derive(Clone, Copy)]
struct Avx2(());

/// Does the work, which is inlined here.
///
/// # Safety
///
/// The machine has [`Isa::Avx2`](crate::Isa::Avx2).
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn run<W: Work>(work: W) {
    work.run(Avx2(()));
}

/// An instruction of a set that the machine has.
macro_rules! have {
    ($instruction:expr) => {{
        // SAFETY: an `Avx2` exists only where the machine has the instructions.
        unsafe { $instruction }
    }};
}

/// 32 bytes of four for each lane: of each word of 16 bits the lower one, and the upper one.
#[derive(Clone, Copy)]
struct Pairs {
    even: __m256i,
    odd: __m256i,
}

/// 32 stored codes.
///
/// # Safety
///
/// The machine has AVX2, and 32 bytes can be read at `from`.
#[inline(always)]
unsafe fn pairs(from: *const u8) -> Pairs {
    // SAFETY: as the caller promises.
    unsafe {
        let bytes = _mm256_loadu_si256(from.cast());
        let even = _mm256_and_si256(bytes, _mm256_set1_epi16(0xff));
        Pairs { even, odd: _mm256_srli_epi16::<8>(bytes) }
    }
}

/// How many bits of each word of 64 bits are set.
#[inline(always)]
fn bits(words: __m256i) -> __m256i {
    have!({
        let counts = _mm256_broadcastsi128_si256(_mm_setr_epi8(
            0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
        ));
        let half = _mm256_set1_epi8(15);
        let low = _mm256_shuffle_epi8(counts, _mm256_and_si256(words, half));
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(words), half);
        let bytes = _mm256_add_epi8(low, _mm256_shuffle_epi8(counts, high));
        _mm256_sad_epu8(bytes, _mm256_setzero_si256())
    })
}

impl Blocks for Avx2 {
    type Codes = [Pairs; 2];
    type Four = Pairs;
    type Ints = [__m256i; 2];
    type Floats = [__m256; 2];
    type Signs = [__m256i; 4];
    type Counts = [__m256i; 4];

    const ROWS: usize = 4;
    const FOUR_BLOCKS: bool = false;
    const UNSIGNED: bool = true;
    const SIGN_ROWS: usize = 1;

    #[inline(always)]
    unsafe fn codes(self, from: *const u8) -> Self::Codes {
        // SAFETY: the caller promises 64 bytes.
        unsafe { [pairs(from), pairs(from.add(32))] }
    }

    #[inline(always)]
    unsafe fn four(self, from: *const i8) -> Pairs {
        // SAFETY: as the caller promises.
        have!({
            let bytes = _mm256_set1_epi32(from.cast::<i32>().read_unaligned());
            Pairs {
                even: _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(bytes)),
                odd: _mm256_srai_epi16::<8>(bytes),
            }
        })
    }

    #[inline(always)]
    fn splat(self, x: i32) -> Self::Ints {
        [have!(_mm256_set1_epi32(x)); 2]
    }

    #[inline(always)]
    fn dot(self, sums: Self::Ints, codes: Self::Codes, four: Pairs) -> Self::Ints {
        let mut sums = sums;
        for (sum, codes) in sums.iter_mut().zip(&codes) {
            *sum = have!({
                let even = _mm256_madd_epi16(codes.even, four.even);
                let odd = _mm256_madd_epi16(codes.odd, four.odd);
                _mm256_add_epi32(*sum, _mm256_add_epi32(even, odd))
            });
        }
        sums
    }

    #[inline(always)]
    fn floats(self, ints: Self::Ints) -> Self::Floats {
        [have!(_mm256_cvtepi32_ps(ints[0])), have!(_mm256_cvtepi32_ps(ints[1]))]
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> Self::Floats {
        // SAFETY: as the caller promises.
        unsafe { [_mm256_loadu_ps(from.cast()), _mm256_loadu_ps(from.add(32).cast())] }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, floats: Self::Floats) {
        // SAFETY: as the caller promises.
        unsafe {
            _mm256_storeu_ps(to, floats[0]);
            _mm256_storeu_ps(to.add(8), floats[1]);
        }
    }

    #[inline(always)]
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        [have!(_mm256_mul_ps(a[0], b[0])), have!(_mm256_mul_ps(a[1], b[1]))]
    }

    #[inline(always)]
    fn max(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        [have!(_mm256_max_ps(a[0], b[0])), have!(_mm256_max_ps(a[1], b[1]))]
    }

    #[inline(always)]
    unsafe fn signs(self, from: *const u8) -> Self::Signs {
        let mut signs = self.count(0);
        for (i, signs) in signs.iter_mut().enumerate() {
            // SAFETY: the caller promises 128 bytes.
            *signs = unsafe { _mm256_loadu_si256(from.add(32 * i).cast()) };
        }
        signs
    }

    #[inline(always)]
    fn count(self, x: u32) -> Self::Counts {
        [have!(_mm256_set1_epi64x(i64::from(x))); 4]
    }

    #[inline(always)]
    fn differing(self, counts: Self::Counts, signs: Self::Signs, word: u64) -> Self::Counts {
        let word = have!(_mm256_set1_epi64x(word.cast_signed()));
        let mut counts = counts;
        for (count, signs) in counts.iter_mut().zip(&signs) {
            let differing = bits(have!(_mm256_xor_si256(*signs, word)));
            *count = have!(_mm256_add_epi64(*count, differing));
        }
        counts
    }

    #[inline(always)]
    fn least(self, a: Self::Counts, b: Self::Counts) -> Self::Counts {
        // The upper halves of all words are zero.
        let mut least = a;
        for (a, b) in least.iter_mut().zip(&b) {
            *a = have!(_mm256_min_epu32(*a, *b));
        }
        least
    }

    #[inline(always)]
    fn least_lane(self, counts: Self::Counts) -> u32 {
        let mut least = u32::MAX;
        for counts in counts {
            let mut words = [0_u64; 4];
            // SAFETY: the array is as long as a register.
            unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), counts) };
            least = words.into_iter().fold(least, |least, word| least.min(word as u32));
        }
        least
    }

    #[inline(always)]
    fn prefetch(self, address: *const u8) {
        have!(_mm_prefetch::<_MM_HINT_T0>(address.cast()));
    }
}
