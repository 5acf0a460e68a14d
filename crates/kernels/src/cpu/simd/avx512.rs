//! AVX-512: sixteen lanes, 32 registers, masked loads.
#![expect(unsafe_code, reason = "vector instructions and unaligned loads")]

use std::arch::x86_64::*;

use super::{Kernel, Simd};

/// The proof that the machine has AVX-512 F, BW, VL and DQ, and AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

/// Runs a kernel that is inlined here.
///
/// # Safety
///
/// The machine has [`Isa::Avx512`](crate::Isa::Avx512).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
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

impl Simd for Avx512 {
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
