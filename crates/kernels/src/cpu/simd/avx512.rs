//! AVX-512: sixteen lanes, 32 registers, masked loads.
#![expect(unsafe_code, reason = "vector instructions and unaligned loads")]

use std::arch::x86_64::*;
use std::f32::consts::LOG2_E;
use std::mem::transmute;

use super::{Kernel, Simd, pairs};

/// What is left of a number when it is rounded down to a whole one.
const DOWN: i32 = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;

/// A polynomial that is `2^x` from 0 to 1 within one part in nine thousand.
const POWER: [f32; 4] = [0.999_900_3, 0.696_324_8, 0.224_693_16, 0.078_967_26];

/// The proof that the machine has AVX-512 F, BW, VL and DQ, and AVX2, FMA and F16C; and dot
/// products of pairs of `bf16`, if `BF16`.
#[derive(Clone, Copy)]
pub(super) struct Avx512<const BF16: bool>(());

/// Runs a kernel that is inlined here.
///
/// # Safety
///
/// The machine has [`Isa::Avx512`](crate::Isa::Avx512).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<false>(()))
}

/// Runs a kernel that is inlined here.
///
/// # Safety
///
/// The machine has [`Isa::Avx512`](crate::Isa::Avx512), and AVX-512 BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma,f16c")]
pub(super) unsafe fn run_bf16<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<true>(()))
}

/// An instruction of a set that the machine has.
macro_rules! have {
    ($instruction:expr) => {{
        // SAFETY: an `Avx512` exists only where the machine has the instructions.
        unsafe { $instruction }
    }};
}

fn low(count: usize) -> __mmask16 {
    (1 << count) - 1
}

impl<const BF16: bool> Simd for Avx512<BF16> {
    type Lanes = __m512;

    const LANES: usize = 16;
    const MANY_REGISTERS: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        have!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller promises that the memory can be read.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, count: usize) -> __m512 {
        // SAFETY: lanes beyond `count` are not read; the caller promises the others.
        unsafe { _mm512_maskz_loadu_ps(low(count), from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, lanes: __m512) {
        // SAFETY: the caller promises that the memory can be written.
        unsafe { _mm512_storeu_ps(to, lanes) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, lanes: __m512, count: usize) {
        // SAFETY: lanes beyond `count` are not written; the caller promises the others.
        unsafe { _mm512_mask_storeu_ps(to, low(count), lanes) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> __m512 {
        // SAFETY: the caller promises that 32 bytes can be read.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> __m512 {
        // SAFETY: the caller promises that 32 bytes can be read.
        unsafe {
            let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))
        }
    }

    #[inline(always)]
    unsafe fn load_u8(self, from: *const u8) -> __m512 {
        // SAFETY: the caller promises that 16 bytes can be read.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_nibbles(self, from: *const u8) -> [__m512; 2] {
        // SAFETY: the caller promises that 16 bytes can be read.
        unsafe {
            let bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()));
            let low = _mm512_and_si512(bytes, _mm512_set1_epi32(15));
            [low, _mm512_srli_epi32::<4>(bytes)].map(|half| _mm512_cvtepi32_ps(half))
        }
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        have!(_mm_prefetch::<_MM_HINT_T0>(at.cast()));
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        have!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        have!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        have!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        have!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        have!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn at_most(self, x: __m512, bound: __m512) -> __m512 {
        // The instruction answers its second operand if either is NaN.
        have!(_mm512_min_ps(bound, x))
    }

    #[inline(always)]
    fn at_least(self, x: __m512, bound: __m512) -> __m512 {
        have!(_mm512_max_ps(bound, x))
    }

    #[inline(always)]
    fn where_less(self, a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
        have!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes))
    }

    #[inline(always)]
    fn abs(self, x: __m512) -> __m512 {
        have!(_mm512_abs_ps(x))
    }

    #[inline(always)]
    fn power_of_two(self, n: __m512) -> __m512 {
        have!({
            let n = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(n))
        })
    }

    #[inline(always)]
    fn largest(self, lanes: __m512) -> f32 {
        have!(_mm512_reduce_max_ps(lanes))
    }

    #[inline(always)]
    fn dot_pairs(self, sum: __m512, a: __m512, b: __m512) -> __m512 {
        if BF16 {
            // SAFETY: `BF16` is the proof; the bits are taken as they are.
            unsafe {
                let (a, b) = (_mm512_castps_si512(a), _mm512_castps_si512(b));
                let (a, b) = (transmute::<__m512i, __m512bh>(a), transmute::<__m512i, __m512bh>(b));
                _mm512_dpbf16_ps(sum, a, b)
            }
        } else {
            pairs::dot(self, sum, a, b)
        }
    }

    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut u16, lanes: __m512) {
        if BF16 {
            // SAFETY: `BF16` is the proof, and the caller promises the memory.
            unsafe {
                let halves = transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(lanes));
                _mm256_storeu_si256(to.cast(), halves);
            }
        } else {
            // SAFETY: as the caller promises.
            unsafe { pairs::store(self, to, lanes) }
        }
    }

    #[inline(always)]
    fn round_pairs(self, first: __m512, second: __m512) -> __m512 {
        if BF16 {
            // SAFETY: `BF16` is the proof.
            unsafe {
                let first = transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(first));
                let second = transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(second));
                let second = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(second));
                _mm512_castsi512_ps(_mm512_or_si512(_mm512_cvtepu16_epi32(first), second))
            }
        } else {
            pairs::weave(self, first, second)
        }
    }

    #[inline(always)]
    fn exp_coarse(self, x: __m512) -> __m512 {
        // The instruction that multiplies by a power of two rounds its exponent down by itself.
        have!({
            let x = _mm512_mul_ps(x, _mm512_set1_ps(LOG2_E));
            let fraction = _mm512_reduce_ps::<DOWN>(x);
            let mut power = _mm512_set1_ps(POWER[3]);
            power = _mm512_fmadd_ps(power, fraction, _mm512_set1_ps(POWER[2]));
            power = _mm512_fmadd_ps(power, fraction, _mm512_set1_ps(POWER[1]));
            power = _mm512_fmadd_ps(power, fraction, _mm512_set1_ps(POWER[0]));
            _mm512_scalef_ps(power, x)
        })
    }

    #[inline(always)]
    fn sum(self, lanes: __m512) -> f32 {
        have!({
            let high = _mm512_extractf32x8_ps::<1>(lanes);
            let eight = _mm256_add_ps(_mm512_castps512_ps256(lanes), high);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        })
    }

    #[inline(always)]
    fn sums(self, [a, b, c, d]: [__m512; 4]) -> [f32; 4] {
        // Lower and upper halves of two vectors beside each other, added, then of two of those.
        have!({
            let halves = |a, b| {
                _mm512_add_ps(
                    _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b),
                    _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b),
                )
            };
            let (ab, cd) = (halves(a, b), halves(c, d));
            let quarters = _mm512_add_ps(
                _mm512_shuffle_f32x4::<0b10_00_10_00>(ab, cd),
                _mm512_shuffle_f32x4::<0b11_01_11_01>(ab, cd),
            );
            let two = _mm512_add_ps(quarters, _mm512_permute_ps::<0b01_00_11_10>(quarters));
            let one = _mm512_add_ps(two, _mm512_permute_ps::<0b10_11_00_01>(two));
            [
                _mm512_cvtss_f32(one),
                _mm_cvtss_f32(_mm512_extractf32x4_ps::<1>(one)),
                _mm_cvtss_f32(_mm512_extractf32x4_ps::<2>(one)),
                _mm_cvtss_f32(_mm512_extractf32x4_ps::<3>(one)),
            ]
        })
    }
}
