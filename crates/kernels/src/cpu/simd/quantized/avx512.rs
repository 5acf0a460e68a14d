//! AVX-512 with VNNI: sixteen lanes, 32 registers, masked loads, dot products of bytes.
#![expect(unsafe_code, reason = "vector instructions and unaligned loads")]

use std::arch::x86_64::*;

use super::{CodeKernel, CodeSimd, WIDEST, avx2};
use crate::cpu::Foresight;

/// The proof that the machine has AVX-512 F, BW, VL, DQ and VNNI, and AVX2 and FMA; and VBMI and
/// BF16 if the parameters say so.
#[derive(Clone, Copy)]
pub(super) struct Avx512<const VBMI: bool, const BF16: bool>(());

/// Runs a kernel that is inlined here.
///
/// # Safety
///
/// The machine has [`Isa::Avx512`](crate::Isa::Avx512).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn run<K: CodeKernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<false, false>(()))
}

/// Runs a kernel that is inlined here.
///
/// # Safety
///
/// The machine has [`Isa::Avx512`](crate::Isa::Avx512) and VBMI.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi,avx2,fma,f16c")]
pub(super) unsafe fn run_vbmi<K: CodeKernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<true, false>(()))
}

/// Runs a kernel that is inlined here.
///
/// # Safety
///
/// The machine has [`Isa::Avx512`](crate::Isa::Avx512), VBMI and BF16.
#[target_feature(
    enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi,avx512bf16,avx2,fma,f16c"
)]
pub(super) unsafe fn run_pairs<K: CodeKernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<true, true>(()))
}

/// An instruction of a set that the machine has.
macro_rules! have {
    ($instruction:expr) => {{
        // SAFETY: an `Avx512` exists only where the machine has the instructions.
        unsafe { $instruction }
    }};
}

/// The first `count` of 64 bytes.
#[inline(always)]
fn low(count: usize) -> __mmask64 {
    if count >= 64 { !0 } else { (1 << count) - 1 }
}

/// The same bits as pairs of `bf16`.
#[inline(always)]
fn pairs(words: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes of any bits.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(words) }
}

/// How 64 codes of `bits` bits become bytes: the bytes that go to each 64-bit lane, and the bit at
/// which each code begins there.
struct Spread {
    bytes: [u8; 64],
    shifts: [u8; 64],
}

impl Spread {
    const fn new(bits: usize) -> Self {
        let (mut bytes, mut shifts) = ([0; 64], [0; 64]);
        let mut i = 0;
        while i < 64 {
            let at = i / 8 * bits + i % 8;
            bytes[i] = if at < 64 { at as u8 } else { 63 };
            shifts[i] = (i % 8 * bits) as u8;
            i += 1;
        }
        Self { bytes, shifts }
    }
}

/// What floats of four bits of exponent and three of mantissa are as `bf16`, without their signs:
/// the lower bytes, and the upper ones.
struct E4m3 {
    low: [u8; 128],
    high: [u8; 128],
}

impl E4m3 {
    const fn new() -> Self {
        let (mut low, mut high) = ([0; 128], [0; 128]);
        let mut i = 0;
        while i < 128 {
            let (exponent, mantissa) = (i as u32 >> 3, i as u32 & 7);
            let bits = match (exponent, mantissa) {
                (15, 7) => 0x7fc0,
                (0, 0) => 0,
                // `mantissa * 2^-9`, whose highest bit is not written.
                (0, _) => {
                    let bit = mantissa.ilog2();
                    (bit + 127 - 9) << 7 | (mantissa << (7 - bit) & 0x7f)
                }
                _ => (exponent + 127 - 7) << 7 | mantissa << 4,
            };
            [low[i], high[i]] = (bits as u16).to_le_bytes();
            i += 1;
        }
        Self { low, high }
    }
}

impl<const VBMI: bool, const BF16: bool> CodeSimd for Avx512<VBMI, BF16> {
    type Bytes = __m512i;
    type Ints = __m512i;
    type Floats = __m512;

    const LANES: usize = 16;
    const MANY_REGISTERS: bool = true;
    const TILE: usize = 12;

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> __m512i {
        // SAFETY: the caller promises that 64 bytes can be read.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const u8, count: usize) -> __m512i {
        // SAFETY: bytes beyond `count` are not read; the caller promises the others.
        unsafe { _mm512_maskz_loadu_epi8(low(count), from.cast()) }
    }

    #[inline(always)]
    fn prefetch(self, foresight: Foresight, address: *const u8) {
        match foresight {
            Foresight::Own => have!(_mm_prefetch::<_MM_HINT_T1>(address.cast())),
            Foresight::Asked => have!(_mm_prefetch::<_MM_HINT_T0>(address.cast())),
        }
    }

    #[inline(always)]
    unsafe fn load_halves(self, low: (*const u8, usize), high: (*const u8, usize)) -> __m512i {
        // SAFETY: bytes beyond the counts are not read; the caller promises the others.
        unsafe {
            let half = |(from, count): (*const u8, usize)| {
                let mask = if count >= 32 { !0 } else { (1 << count) - 1 };
                _mm256_maskz_loadu_epi8(mask, from.cast())
            };
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(half(low)), half(high))
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8, bytes: __m512i) {
        // SAFETY: the caller promises that 64 bytes can be written.
        unsafe { _mm512_storeu_si512(to.cast(), bytes) }
    }

    #[inline(always)]
    unsafe fn repeat(self, from: *const u8) -> __m512i {
        // SAFETY: the caller promises that four bytes can be read.
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    fn field(self, bytes: __m512i, shift: u32, mask: u8) -> __m512i {
        have!({
            let shifted = _mm512_srl_epi16(bytes, _mm_cvtsi32_si128(shift as i32));
            _mm512_and_si512(shifted, _mm512_set1_epi8(mask as i8))
        })
    }

    #[inline(always)]
    fn lookup(self, indices: __m512i, table: &[u8; 16]) -> __m512i {
        have!({
            let table = _mm_loadu_si128(table.as_ptr().cast());
            _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), indices)
        })
    }

    #[inline(always)]
    unsafe fn unpack<const BITS: usize>(self, from: *const u8, readable: usize) -> __m512i {
        // SAFETY: bytes beyond `readable` are not read; the caller promises the others.
        let packed = unsafe { self.load_part(from, readable.min(8 * BITS)) };
        if BITS == 8 {
            packed
        } else if VBMI {
            let spread = const { &Spread::new(BITS) };
            have!({
                let bytes = _mm512_loadu_si512(spread.bytes.as_ptr().cast());
                let shifts = _mm512_loadu_si512(spread.shifts.as_ptr().cast());
                let lanes = _mm512_permutexvar_epi8(bytes, packed);
                let codes = _mm512_multishift_epi64_epi8(shifts, lanes);
                _mm512_and_si512(codes, _mm512_set1_epi8((0xff_u8 >> (8 - BITS)) as i8))
            })
        } else {
            let mut bytes = [0; WIDEST + 16];
            // SAFETY: the array has room for a vector, and for what is read beyond the codes.
            unsafe {
                self.store(bytes.as_mut_ptr(), packed);
                let low = avx2::unpack::<BITS>(bytes.as_ptr());
                let high = avx2::unpack::<BITS>(bytes.as_ptr().add(4 * BITS));
                _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
            }
        }
    }

    #[inline(always)]
    fn transpose(self, rows: [__m512i; 16]) -> [__m512i; 16] {
        /// Lanes 4 i + j of four vectors, for each j, side by side.
        #[inline(always)]
        fn fours(a: __m512i, b: __m512i, c: __m512i, d: __m512i) -> [__m512i; 4] {
            have!({
                let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
                let (ab_high, cd_high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
                [
                    _mm512_unpacklo_epi64(ab, cd),
                    _mm512_unpackhi_epi64(ab, cd),
                    _mm512_unpacklo_epi64(ab_high, cd_high),
                    _mm512_unpackhi_epi64(ab_high, cd_high),
                ]
            })
        }
        /// Quarters of four vectors exchanged with vectors.
        #[inline(always)]
        fn quarters(a: __m512i, b: __m512i, c: __m512i, d: __m512i) -> [__m512i; 4] {
            have!({
                let (even, odd) =
                    (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
                let (even_high, odd_high) =
                    (_mm512_shuffle_i32x4::<0x88>(c, d), _mm512_shuffle_i32x4::<0xdd>(c, d));
                [
                    _mm512_shuffle_i32x4::<0x88>(even, even_high),
                    _mm512_shuffle_i32x4::<0x88>(odd, odd_high),
                    _mm512_shuffle_i32x4::<0xdd>(even, even_high),
                    _mm512_shuffle_i32x4::<0xdd>(odd, odd_high),
                ]
            })
        }
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = rows;
        let [a, b, c, d] = fours(a, b, c, d);
        let [e, f, g, h] = fours(e, f, g, h);
        let [i, j, k, l] = fours(i, j, k, l);
        let [m, n, o, p] = fours(m, n, o, p);
        let [a, e, i, m] = quarters(a, e, i, m);
        let [b, f, j, n] = quarters(b, f, j, n);
        let [c, g, k, o] = quarters(c, g, k, o);
        let [d, h, l, p] = quarters(d, h, l, p);
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    #[inline(always)]
    fn zero(self) -> __m512i {
        have!(_mm512_setzero_si512())
    }

    #[inline(always)]
    fn splat_int(self, x: i32) -> __m512i {
        have!(_mm512_set1_epi32(x))
    }

    #[inline(always)]
    fn dot<const WIDE: bool>(self, sums: __m512i, codes: __m512i, x: __m512i) -> __m512i {
        have!(_mm512_dpbusd_epi32(sums, codes, x))
    }

    #[inline(always)]
    fn dot_pairs(self, sums: __m512, a: __m512i, b: __m512i) -> __m512 {
        if BF16 {
            // SAFETY: the parameter says that the machine has the instruction.
            unsafe { _mm512_dpbf16_ps(sums, pairs(a), pairs(b)) }
        } else {
            have!({
                let upper = _mm512_set1_epi32(-0x1_0000);
                let [low_a, low_b] = [self.widen_bf16(a), self.widen_bf16(b)];
                let high_a = _mm512_castsi512_ps(_mm512_and_si512(a, upper));
                let high_b = _mm512_castsi512_ps(_mm512_and_si512(b, upper));
                _mm512_fmadd_ps(high_a, high_b, _mm512_fmadd_ps(low_a, low_b, sums))
            })
        }
    }

    #[inline(always)]
    fn pair_bytes(self, bytes: __m512i, second: bool) -> __m512i {
        have!({
            let bytes = if second { _mm512_srli_epi16::<8>(bytes) } else { bytes };
            let (low, base) = (_mm512_set1_epi16(0xff), _mm512_set1_epi16(0x4300));
            // `bytes & low | base`.
            _mm512_ternarylogic_epi32::<0xea>(bytes, low, base)
        })
    }

    #[inline(always)]
    fn pair(self, low: __m512, high: __m512) -> __m512i {
        have!({
            let low = _mm512_srli_epi32::<16>(_mm512_castps_si512(low));
            let high = _mm512_castps_si512(high);
            _mm512_mask_blend_epi16(0xaaaa_aaaa, low, high)
        })
    }

    #[inline(always)]
    fn pairs_e4m3(self, codes: __m512i) -> [__m512i; 2] {
        if !VBMI {
            let value = |shift| self.widen_e4m3(self.word_field(codes, shift, 0xff));
            return [self.pair(value(0), value(16)), self.pair(value(8), value(24))];
        }
        let table = const { &E4m3::new() };
        // SAFETY: the tables have two vectors each.
        let [low, low_2, high, high_2] = unsafe {
            let (low, high) = (table.low.as_ptr(), table.high.as_ptr());
            [self.load(low), self.load(low.add(64)), self.load(high), self.load(high.add(64))]
        };
        have!({
            // The seventh bit of an index chooses the vector; the eighth, the sign, is not read.
            let low = _mm512_permutex2var_epi8(low, codes, low_2);
            let high = _mm512_permutex2var_epi8(high, codes, high_2);
            let (sign, lower) = (_mm512_set1_epi8(-0x80), _mm512_set1_epi16(0xff));
            // `codes & sign | high`, and below `lower ? low : high`.
            let high = _mm512_ternarylogic_epi32::<0xea>(codes, sign, high);
            let (first_high, second_low) =
                (_mm512_slli_epi16::<8>(high), _mm512_srli_epi16::<8>(low));
            [
                _mm512_ternarylogic_epi32::<0xca>(lower, low, first_high),
                _mm512_ternarylogic_epi32::<0xca>(lower, second_low, high),
            ]
        })
    }

    #[inline(always)]
    fn to_floats(self, ints: __m512i) -> __m512 {
        have!(_mm512_cvtepi32_ps(ints))
    }

    #[inline(always)]
    fn as_floats(self, bits: __m512i) -> __m512 {
        have!(_mm512_castsi512_ps(bits))
    }

    #[inline(always)]
    fn as_ints(self, words: __m512i) -> __m512i {
        words
    }

    #[inline(always)]
    unsafe fn words_of_bytes(self, from: *const u8) -> __m512i {
        // SAFETY: the caller promises that 16 bytes can be read.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn words_of_halves(self, from: *const u8) -> __m512i {
        // SAFETY: the caller promises that 32 bytes can be read.
        unsafe { _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    fn word_field(self, words: __m512i, shift: u32, mask: u32) -> __m512i {
        have!({
            let shifted = _mm512_srl_epi32(words, _mm_cvtsi32_si128(shift as i32));
            _mm512_and_si512(shifted, _mm512_set1_epi32(mask as i32))
        })
    }

    #[inline(always)]
    fn widen_bf16(self, words: __m512i) -> __m512 {
        have!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(words)))
    }

    #[inline(always)]
    fn widen_f16(self, words: __m512i) -> __m512 {
        have!(_mm512_cvtph_ps(_mm512_cvtepi32_epi16(words)))
    }

    #[inline(always)]
    fn widen_e8m0(self, words: __m512i) -> __m512 {
        have!({
            let zero = _mm512_testn_epi32_mask(words, words);
            let nan = _mm512_cmpeq_epi32_mask(words, _mm512_set1_epi32(0xff));
            let powers = _mm512_slli_epi32::<23>(words);
            let powers = _mm512_mask_mov_epi32(powers, zero, _mm512_set1_epi32(1 << 22));
            let powers = _mm512_mask_mov_epi32(powers, nan, _mm512_set1_epi32(0x7fc0_0000));
            _mm512_castsi512_ps(powers)
        })
    }

    #[inline(always)]
    fn widen_e4m3(self, words: __m512i) -> __m512 {
        have!({
            let magnitude = _mm512_and_si512(words, _mm512_set1_epi32(0x7f));
            let sign = _mm512_slli_epi32::<24>(_mm512_xor_si512(words, magnitude));
            let normal = _mm512_slli_epi32::<20>(magnitude);
            let normal = _mm512_add_epi32(normal, _mm512_set1_epi32(120 << 23));
            let subnormal =
                _mm512_mul_ps(_mm512_cvtepi32_ps(magnitude), _mm512_set1_ps(1.0 / 512.0));
            let small = _mm512_cmplt_epi32_mask(magnitude, _mm512_set1_epi32(8));
            let nan = _mm512_cmpeq_epi32_mask(magnitude, _mm512_set1_epi32(0x7f));
            let value = _mm512_mask_mov_ps(_mm512_castsi512_ps(normal), small, subnormal);
            let value = _mm512_mask_mov_ps(value, nan, _mm512_set1_ps(f32::NAN));
            _mm512_or_ps(value, _mm512_castsi512_ps(sign))
        })
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        have!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    unsafe fn load_floats(self, from: *const f32) -> __m512 {
        // SAFETY: the caller promises that the numbers can be read.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store_floats(self, to: *mut f32, floats: __m512) {
        // SAFETY: the caller promises that the numbers can be written.
        unsafe { _mm512_storeu_ps(to, floats) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        have!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        have!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        have!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn sum(self, floats: __m512) -> f32 {
        have!({
            let high = _mm512_extractf32x8_ps::<1>(floats);
            let eight = _mm256_add_ps(_mm512_castps512_ps256(floats), high);
            let high = _mm256_extractf128_ps::<1>(eight);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), high);
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        })
    }

    #[inline(always)]
    unsafe fn pick(self, floats: __m512, lanes: *const i32) -> __m512 {
        // SAFETY: the caller promises that the numbers can be read.
        unsafe { _mm512_permutexvar_ps(_mm512_loadu_si512(lanes.cast()), floats) }
    }

    #[inline(always)]
    fn max_magnitude(self, most: __m512i, x: __m512) -> __m512i {
        have!({
            let magnitude = _mm512_castps_si512(_mm512_abs_ps(x));
            _mm512_max_epi32(most, magnitude)
        })
    }

    #[inline(always)]
    fn max_lane(self, ints: __m512i) -> i32 {
        have!(_mm512_reduce_max_epi32(ints))
    }

    #[inline(always)]
    unsafe fn store_low_bytes(self, to: *mut u8, words: __m512) {
        // SAFETY: the caller promises that 16 bytes can be written.
        unsafe { _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(_mm512_castps_si512(words))) }
    }

    #[inline(always)]
    fn reorder(self, bytes: __m512i, order: &[u8; 16]) -> __m512i {
        have!({
            let order = _mm_loadu_si128(order.as_ptr().cast());
            _mm512_shuffle_epi8(bytes, _mm512_broadcast_i32x4(order))
        })
    }

    #[inline(always)]
    fn first(self, floats: __m512, count: usize) -> __m512 {
        have!(_mm512_maskz_mov_ps(low(count) as __mmask16, floats))
    }
}
