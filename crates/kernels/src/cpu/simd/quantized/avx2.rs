//! AVX2 with FMA: eight lanes, 16 registers, bytes multiplied in pairs.
#![expect(unsafe_code, reason = "vector instructions and unaligned loads")]

use std::arch::x86_64::*;

use super::{CodeKernel, CodeSimd, copy_part};
use crate::cpu::Foresight;

/// The proof that the machine has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

/// Runs a kernel that is inlined here.
///
/// # Safety
///
/// The machine has [`Isa::Avx2`](crate::Isa::Avx2).
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn run<K: CodeKernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// An instruction of a set that the machine has.
macro_rules! have {
    ($instruction:expr) => {{
        // SAFETY: an `Avx2` exists only where the machine has the instructions.
        unsafe { $instruction }
    }};
}

/// How eight codes of `bits` bits become 16-bit words: the two bytes that hold each code, and the
/// factor that brings it to bit 8 of the word.
struct Spread {
    bytes: [i8; 16],
    factors: [i16; 8],
}

impl Spread {
    const fn new(bits: usize) -> Self {
        let (mut bytes, mut factors) = ([0; 16], [0; 8]);
        let mut i = 0;
        while i < 8 {
            let at = i * bits;
            bytes[2 * i] = (at / 8) as i8;
            bytes[2 * i + 1] = (at / 8 + 1) as i8;
            factors[i] = 1 << (8 - at % 8);
            i += 1;
        }
        Self { bytes, factors }
    }
}

/// 32 codes of `BITS` bits in order.
///
/// # Safety
///
/// The machine has AVX2, and `3 * BITS + 8` bytes can be read at `from`.
#[inline(always)]
pub(super) unsafe fn unpack<const BITS: usize>(from: *const u8) -> __m256i {
    let spread = const { &Spread::new(BITS) };
    // SAFETY: the caller promises the instructions and the bytes; the tables are as long as is
    // read.
    unsafe {
        let eight = |i: usize| _mm_loadl_epi64(from.add(i * BITS).cast());
        let bytes = _mm256_broadcastsi128_si256(_mm_loadu_si128(spread.bytes.as_ptr().cast()));
        let factors = _mm256_broadcastsi128_si256(_mm_loadu_si128(spread.factors.as_ptr().cast()));
        let words = |codes| {
            _mm256_srli_epi16::<8>(_mm256_mullo_epi16(_mm256_shuffle_epi8(codes, bytes), factors))
        };
        let even = words(_mm256_set_m128i(eight(2), eight(0)));
        let odd = words(_mm256_set_m128i(eight(3), eight(1)));
        let mask = _mm256_set1_epi8((0xff_u8 >> (8 - BITS)) as i8);
        _mm256_and_si256(_mm256_packus_epi16(even, odd), mask)
    }
}

impl CodeSimd for Avx2 {
    type Bytes = __m256i;
    type Ints = __m256i;
    type Floats = __m256;

    const LANES: usize = 8;
    const MANY_REGISTERS: bool = false;
    const TILE: usize = 8;

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> __m256i {
        // SAFETY: the caller promises that 32 bytes can be read.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const u8, count: usize) -> __m256i {
        // SAFETY: the caller promises that `count` bytes can be read; the copy has 64.
        unsafe { _mm256_loadu_si256(copy_part(from, count).as_ptr().cast()) }
    }

    #[inline(always)]
    fn prefetch(self, foresight: Foresight, address: *const u8) {
        match foresight {
            Foresight::Own => have!(_mm_prefetch::<_MM_HINT_T1>(address.cast())),
            Foresight::Asked => have!(_mm_prefetch::<_MM_HINT_T0>(address.cast())),
        }
    }

    #[inline(always)]
    unsafe fn load_halves(self, low: (*const u8, usize), high: (*const u8, usize)) -> __m256i {
        // SAFETY: the caller promises the bytes; a copy has 64.
        unsafe {
            let half = |(from, count): (*const u8, usize)| match count {
                16 => _mm_loadu_si128(from.cast()),
                _ => _mm_loadu_si128(copy_part(from, count).as_ptr().cast()),
            };
            _mm256_set_m128i(half(high), half(low))
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8, bytes: __m256i) {
        // SAFETY: the caller promises that 32 bytes can be written.
        unsafe { _mm256_storeu_si256(to.cast(), bytes) }
    }

    #[inline(always)]
    unsafe fn repeat(self, from: *const u8) -> __m256i {
        // SAFETY: the caller promises that four bytes can be read.
        unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    fn field(self, bytes: __m256i, shift: u32, mask: u8) -> __m256i {
        have!({
            let shifted = _mm256_srl_epi16(bytes, _mm_cvtsi32_si128(shift as i32));
            _mm256_and_si256(shifted, _mm256_set1_epi8(mask as i8))
        })
    }

    #[inline(always)]
    fn lookup(self, indices: __m256i, table: &[u8; 16]) -> __m256i {
        have!({
            let table = _mm_loadu_si128(table.as_ptr().cast());
            _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), indices)
        })
    }

    #[inline(always)]
    unsafe fn unpack<const BITS: usize>(self, from: *const u8, readable: usize) -> __m256i {
        if readable >= 3 * BITS + 8 {
            // SAFETY: the caller promises the bytes.
            unsafe { unpack::<BITS>(from) }
        } else {
            // SAFETY: the caller promises `readable` bytes; the copy has 64.
            unsafe { unpack::<BITS>(copy_part(from, readable).as_ptr()) }
        }
    }

    #[inline(always)]
    fn transpose(self, rows: [__m256i; 16]) -> [__m256i; 16] {
        /// Lanes 4 i + j of four vectors, for each j, side by side.
        #[inline(always)]
        fn fours(a: __m256i, b: __m256i, c: __m256i, d: __m256i) -> [__m256i; 4] {
            have!({
                let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
                let (ab_high, cd_high) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
                [
                    _mm256_unpacklo_epi64(ab, cd),
                    _mm256_unpackhi_epi64(ab, cd),
                    _mm256_unpacklo_epi64(ab_high, cd_high),
                    _mm256_unpackhi_epi64(ab_high, cd_high),
                ]
            })
        }
        let [a, b, c, d, e, f, g, h, rest @ ..] = rows;
        let [a, b, c, d] = fours(a, b, c, d);
        let [e, f, g, h] = fours(e, f, g, h);
        let low = |x, y| have!(_mm256_permute2x128_si256::<0x20>(x, y));
        let high = |x, y| have!(_mm256_permute2x128_si256::<0x31>(x, y));
        let [i, j, k, l, m, n, o, p] = rest;
        let (low, high) = (
            [low(a, e), low(b, f), low(c, g), low(d, h)],
            [high(a, e), high(b, f), high(c, g), high(d, h)],
        );
        let ([a, b, c, d], [e, f, g, h]) = (low, high);
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    #[inline(always)]
    fn zero(self) -> __m256i {
        have!(_mm256_setzero_si256())
    }

    #[inline(always)]
    fn splat_int(self, x: i32) -> __m256i {
        have!(_mm256_set1_epi32(x))
    }

    #[inline(always)]
    fn dot<const WIDE: bool>(self, sums: __m256i, codes: __m256i, x: __m256i) -> __m256i {
        have!({
            let ones = _mm256_set1_epi16(1);
            if WIDE {
                // A pair may sum to 2 * 255 * 127, which 16 bits do not hold: one at a time.
                let low = _mm256_set1_epi16(0xff);
                let even = _mm256_maddubs_epi16(codes, _mm256_and_si256(low, x));
                let odd = _mm256_maddubs_epi16(codes, _mm256_andnot_si256(low, x));
                let sums = _mm256_add_epi32(sums, _mm256_madd_epi16(even, ones));
                _mm256_add_epi32(sums, _mm256_madd_epi16(odd, ones))
            } else {
                // At most 2 * 127 * 127.
                let pairs = _mm256_maddubs_epi16(codes, x);
                _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, ones))
            }
        })
    }

    #[inline(always)]
    fn pair_bytes(self, bytes: __m256i, second: bool) -> __m256i {
        have!({
            let bytes = if second { _mm256_srli_epi16::<8>(bytes) } else { bytes };
            let low = _mm256_and_si256(bytes, _mm256_set1_epi16(0xff));
            _mm256_or_si256(low, _mm256_set1_epi16(0x4300))
        })
    }

    #[inline(always)]
    fn pair(self, low: __m256, high: __m256) -> __m256i {
        have!({
            let low = _mm256_srli_epi32::<16>(_mm256_castps_si256(low));
            _mm256_blend_epi16::<0b1010_1010>(low, _mm256_castps_si256(high))
        })
    }

    #[inline(always)]
    fn to_floats(self, ints: __m256i) -> __m256 {
        have!(_mm256_cvtepi32_ps(ints))
    }

    #[inline(always)]
    fn as_floats(self, bits: __m256i) -> __m256 {
        have!(_mm256_castsi256_ps(bits))
    }

    #[inline(always)]
    fn as_ints(self, words: __m256i) -> __m256i {
        words
    }

    #[inline(always)]
    unsafe fn words_of_bytes(self, from: *const u8) -> __m256i {
        // SAFETY: the caller promises that eight bytes can be read.
        unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast())) }
    }

    #[inline(always)]
    unsafe fn words_of_halves(self, from: *const u8) -> __m256i {
        // SAFETY: the caller promises that 16 bytes can be read.
        unsafe { _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    fn word_field(self, words: __m256i, shift: u32, mask: u32) -> __m256i {
        have!({
            let shifted = _mm256_srl_epi32(words, _mm_cvtsi32_si128(shift as i32));
            _mm256_and_si256(shifted, _mm256_set1_epi32(mask as i32))
        })
    }

    #[inline(always)]
    fn widen_bf16(self, words: __m256i) -> __m256 {
        have!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(words)))
    }

    #[inline(always)]
    fn widen_f16(self, words: __m256i) -> __m256 {
        have!({
            let halves = _mm256_packus_epi32(words, words);
            let halves = _mm256_permute4x64_epi64::<0b1000>(halves);
            _mm256_cvtph_ps(_mm256_castsi256_si128(halves))
        })
    }

    #[inline(always)]
    fn widen_e8m0(self, words: __m256i) -> __m256 {
        have!({
            let zero = _mm256_cmpeq_epi32(words, _mm256_setzero_si256());
            let nan = _mm256_cmpeq_epi32(words, _mm256_set1_epi32(0xff));
            let smallest = _mm256_and_si256(zero, _mm256_set1_epi32(1 << 22));
            let quiet = _mm256_and_si256(nan, _mm256_set1_epi32(1 << 22));
            let powers = _mm256_or_si256(_mm256_slli_epi32::<23>(words), smallest);
            _mm256_castsi256_ps(_mm256_or_si256(powers, quiet))
        })
    }

    #[inline(always)]
    fn widen_e4m3(self, words: __m256i) -> __m256 {
        have!({
            let magnitude = _mm256_and_si256(words, _mm256_set1_epi32(0x7f));
            let sign = _mm256_slli_epi32::<24>(_mm256_xor_si256(words, magnitude));
            let normal = _mm256_slli_epi32::<20>(magnitude);
            let normal = _mm256_add_epi32(normal, _mm256_set1_epi32(120 << 23));
            let subnormal =
                _mm256_mul_ps(_mm256_cvtepi32_ps(magnitude), _mm256_set1_ps(1.0 / 512.0));
            let small = _mm256_cmpgt_epi32(_mm256_set1_epi32(8), magnitude);
            let nan = _mm256_cmpeq_epi32(magnitude, _mm256_set1_epi32(0x7f));
            let value = _mm256_castsi256_ps(normal);
            let value = _mm256_blendv_ps(value, subnormal, _mm256_castsi256_ps(small));
            let nan_or_value = _mm256_or_ps(value, _mm256_castsi256_ps(nan));
            _mm256_or_ps(nan_or_value, _mm256_castsi256_ps(sign))
        })
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        have!(_mm256_set1_ps(x))
    }

    #[inline(always)]
    unsafe fn load_floats(self, from: *const f32) -> __m256 {
        // SAFETY: the caller promises that the numbers can be read.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store_floats(self, to: *mut f32, floats: __m256) {
        // SAFETY: the caller promises that the numbers can be written.
        unsafe { _mm256_storeu_ps(to, floats) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        have!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        have!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        have!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn sum(self, floats: __m256) -> f32 {
        have!({
            let high = _mm256_extractf128_ps::<1>(floats);
            let four = _mm_add_ps(_mm256_castps256_ps128(floats), high);
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        })
    }

    #[inline(always)]
    unsafe fn pick(self, floats: __m256, lanes: *const i32) -> __m256 {
        // SAFETY: the caller promises that the numbers can be read.
        unsafe { _mm256_permutevar8x32_ps(floats, _mm256_loadu_si256(lanes.cast())) }
    }

    #[inline(always)]
    fn max_magnitude(self, most: __m256i, x: __m256) -> __m256i {
        have!({
            let magnitude = _mm256_castps_si256(_mm256_andnot_ps(_mm256_set1_ps(-0.0), x));
            _mm256_max_epi32(most, magnitude)
        })
    }

    #[inline(always)]
    fn max_lane(self, ints: __m256i) -> i32 {
        have!({
            let four =
                _mm_max_epi32(_mm256_castsi256_si128(ints), _mm256_extracti128_si256::<1>(ints));
            let two = _mm_max_epi32(four, _mm_shuffle_epi32::<0b1110>(four));
            _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32::<1>(two)))
        })
    }

    #[inline(always)]
    unsafe fn store_low_bytes(self, to: *mut u8, words: __m256) {
        have!({
            let low = _mm256_and_si256(_mm256_castps_si256(words), _mm256_set1_epi32(0xff));
            let halves = _mm256_packus_epi32(low, low);
            let bytes = _mm256_packus_epi16(halves, halves);
            let low = _mm256_castsi256_si128(bytes);
            let both = _mm_unpacklo_epi32(low, _mm256_extracti128_si256::<1>(bytes));
            // The caller promises that eight bytes can be written.
            _mm_storel_epi64(to.cast(), both);
        });
    }

    #[inline(always)]
    fn reorder(self, bytes: __m256i, order: &[u8; 16]) -> __m256i {
        have!({
            let order = _mm_loadu_si128(order.as_ptr().cast());
            _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(order))
        })
    }

    #[inline(always)]
    fn first(self, floats: __m256, count: usize) -> __m256 {
        have!({
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let kept = _mm256_cmpgt_epi32(_mm256_set1_epi32(count.min(8) as i32), lanes);
            _mm256_and_ps(floats, _mm256_castsi256_ps(kept))
        })
    }
}
