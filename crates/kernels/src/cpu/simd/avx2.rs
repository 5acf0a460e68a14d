//! AVX2 with FMA and F16C: eight lanes, 16 registers.
#![expect(unsafe_code, reason = "vector instructions and unaligned loads")]

use std::arch::x86_64::*;

use super::{Kernel, Simd};

/// The proof that the machine has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

/// Runs a kernel that is inlined here.
///
/// # Safety
///
/// The machine has [`Isa::Avx2`](crate::Isa::Avx2).
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// An instruction of a set that the machine has.
macro_rules! have {
    ($instruction:expr) => {{
        // SAFETY: an `Avx2` exists only where the machine has the instructions.
        unsafe { $instruction }
    }};
}

/// All ones in the first `count` of eight lanes.
#[inline(always)]
fn low(count: usize) -> __m256i {
    const ONES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let from = &ONES[8 - count..][..8];
    // SAFETY: the slice has eight elements, and whoever calls this has AVX2.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

impl Simd for Avx2 {
    type Lanes = __m256;

    const LANES: usize = 8;
    const MANY_REGISTERS: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        have!(_mm256_set1_ps(x))
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller promises that the memory can be read.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, count: usize) -> __m256 {
        // SAFETY: lanes beyond `count` are not read; the caller promises the others.
        unsafe { _mm256_maskload_ps(from, low(count)) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, lanes: __m256) {
        // SAFETY: the caller promises that the memory can be written.
        unsafe { _mm256_storeu_ps(to, lanes) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, lanes: __m256, count: usize) {
        // SAFETY: lanes beyond `count` are not written; the caller promises the others.
        unsafe { _mm256_maskstore_ps(to, low(count), lanes) }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> __m256 {
        // SAFETY: the caller promises that 16 bytes can be read.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> __m256 {
        // SAFETY: the caller promises that 16 bytes can be read.
        unsafe {
            let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
        }
    }

    #[inline(always)]
    unsafe fn load_u8(self, from: *const u8) -> __m256 {
        // SAFETY: the caller promises that 8 bytes can be read.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_nibbles(self, from: *const u8) -> [__m256; 2] {
        // SAFETY: the caller promises that 8 bytes can be read.
        unsafe {
            let bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()));
            let low = _mm256_and_si256(bytes, _mm256_set1_epi32(15));
            [low, _mm256_srli_epi32::<4>(bytes)].map(|half| _mm256_cvtepi32_ps(half))
        }
    }

    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        have!(_mm_prefetch::<_MM_HINT_T0>(at.cast()));
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        have!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        have!(_mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        have!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        have!(_mm256_div_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        have!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn at_most(self, x: __m256, bound: __m256) -> __m256 {
        // The instruction answers its second operand if either is NaN.
        have!(_mm256_min_ps(bound, x))
    }

    #[inline(always)]
    fn at_least(self, x: __m256, bound: __m256) -> __m256 {
        have!(_mm256_max_ps(bound, x))
    }

    #[inline(always)]
    fn where_less(self, a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
        have!(_mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)))
    }

    #[inline(always)]
    fn abs(self, x: __m256) -> __m256 {
        have!(_mm256_andnot_ps(_mm256_set1_ps(-0.0), x))
    }

    #[inline(always)]
    fn power_of_two(self, n: __m256) -> __m256 {
        have!({
            let n = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(n))
        })
    }

    #[inline(always)]
    fn sum(self, lanes: __m256) -> f32 {
        have!({
            let four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        })
    }

    #[inline(always)]
    fn sums(self, [a, b, c, d]: [__m256; 4]) -> [f32; 4] {
        have!({
            let halves = |a, b| {
                _mm256_add_ps(
                    _mm256_permute2f128_ps::<0x20>(a, b),
                    _mm256_permute2f128_ps::<0x31>(a, b),
                )
            };
            let (ab, cd) = (halves(a, b), halves(c, d));
            // Lane by lane of 128 bits: a and c, b and d.
            let two = _mm256_add_ps(
                _mm256_shuffle_ps::<0b01_00_01_00>(ab, cd),
                _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd),
            );
            let one = _mm256_add_ps(
                _mm256_shuffle_ps::<0b10_00_10_00>(two, two),
                _mm256_shuffle_ps::<0b11_01_11_01>(two, two),
            );
            let (ac, bd) = (_mm256_castps256_ps128(one), _mm256_extractf128_ps::<1>(one));
            [
                _mm_cvtss_f32(ac),
                _mm_cvtss_f32(bd),
                _mm_cvtss_f32(_mm_shuffle_ps::<1>(ac, ac)),
                _mm_cvtss_f32(_mm_shuffle_ps::<1>(bd, bd)),
            ]
        })
    }
}
