//! Vectors of `f32`, one kind for each instruction set, and kernels written once for all of them.
//!
//! A kernel is a struct of its operands with a generic [`Kernel::run`]; [`dispatch`] compiles it
//! once for each instruction set and picks one when the program runs. Everything between the two
//! is `#[inline(always)]`, so that the instructions of a [`Simd`] end up inside the one function
//! that is allowed to use them; for the same reason kernels take structs where other code would
//! take closures.
#![expect(unsafe_code, reason = "vector instructions and unaligned loads")]

pub(crate) mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod dot;
pub(crate) mod dot_pairs;
pub(crate) mod elementwise;
pub(crate) mod kv_codes;
mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(crate) mod pairs;
mod portable;
pub(crate) mod quantized;
#[cfg(target_arch = "aarch64")]
pub(crate) mod signed_dot;

pub(crate) use math::{exp, normal_cdf};

use super::Isa;

/// The vector instructions of one family. A value is the proof that the machine has them.
///
/// Arithmetic is IEEE 754 in every lane, so a lane's result does not depend on how many lanes
/// there are.
pub(crate) trait Simd: Copy {
    /// Some lanes of `f32`.
    type Lanes: Copy;

    /// How many lanes.
    const LANES: usize;

    /// Whether there are 32 registers, and not 16.
    const MANY_REGISTERS: bool;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::Lanes;

    /// # Safety
    ///
    /// [`LANES`](Self::LANES) numbers can be read at `from`, which may lie at any address.
    unsafe fn load(self, from: *const f32) -> Self::Lanes;

    /// The first `count` lanes from memory, zeros in the others.
    ///
    /// # Safety
    ///
    /// `count` numbers, fewer than [`LANES`](Self::LANES), can be read at `from`, which may lie
    /// at any address.
    unsafe fn load_part(self, from: *const f32, count: usize) -> Self::Lanes;

    /// # Safety
    ///
    /// [`LANES`](Self::LANES) numbers can be written at `to`.
    unsafe fn store(self, to: *mut f32, lanes: Self::Lanes);

    /// The first `count` lanes.
    ///
    /// # Safety
    ///
    /// `count` numbers, fewer than [`LANES`](Self::LANES), can be written at `to`.
    unsafe fn store_part(self, to: *mut f32, lanes: Self::Lanes, count: usize);

    /// # Safety
    ///
    /// [`LANES`](Self::LANES) halves can be read at `from`, which may lie at any address.
    unsafe fn load_f16(self, from: *const u16) -> Self::Lanes;

    /// # Safety
    ///
    /// [`LANES`](Self::LANES) upper halves of `f32` can be read at `from`, which may lie at any
    /// address.
    unsafe fn load_bf16(self, from: *const u16) -> Self::Lanes;

    /// Bytes as numbers.
    ///
    /// # Safety
    ///
    /// [`LANES`](Self::LANES) bytes can be read at `from`.
    unsafe fn load_u8(self, from: *const u8) -> Self::Lanes;

    /// The lower and the upper halves of bytes as numbers.
    ///
    /// # Safety
    ///
    /// [`LANES`](Self::LANES) bytes can be read at `from`.
    unsafe fn load_nibbles(self, from: *const u8) -> [Self::Lanes; 2];

    /// Asks for the cache line at `at`, which may be any address.
    #[inline(always)]
    fn prefetch(self, at: *const u8) {
        let _ = at;
    }

    /// `a + b`.
    fn add(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;

    /// `a - b`.
    fn sub(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;

    /// `a * b`.
    fn mul(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;

    /// `a / b`.
    fn div(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;

    /// `a * b + c`, rounded once where the machine can.
    fn fma(self, a: Self::Lanes, b: Self::Lanes, c: Self::Lanes) -> Self::Lanes;

    /// The lesser of a bound and `x`; NaN if `x` is.
    fn at_most(self, x: Self::Lanes, bound: Self::Lanes) -> Self::Lanes;

    /// The greater of a bound and `x`; NaN if `x` is.
    fn at_least(self, x: Self::Lanes, bound: Self::Lanes) -> Self::Lanes;

    /// `yes` where `a < b`, `no` elsewhere, also where either is NaN.
    fn where_less(
        self,
        a: Self::Lanes,
        b: Self::Lanes,
        yes: Self::Lanes,
        no: Self::Lanes,
    ) -> Self::Lanes;

    /// `|x|`.
    fn abs(self, x: Self::Lanes) -> Self::Lanes;

    /// `2^n` for whole `n` from -126 to 127.
    fn power_of_two(self, n: Self::Lanes) -> Self::Lanes;

    /// The largest lane; any, if one is NaN.
    #[inline(always)]
    fn largest(self, lanes: Self::Lanes) -> f32 {
        let mut all = [f32::NEG_INFINITY; 16];
        self.write(&mut all[..Self::LANES], lanes);
        all.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    /// `sum + a.0 * b.0 + a.1 * b.1`, where a lane of `a` and of `b` is a pair of `bf16`, the first
    /// in the lower half. How often it is rounded is the machine's business.
    #[inline(always)]
    fn dot_pairs(self, sum: Self::Lanes, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes {
        pairs::dot(self, sum, a, b)
    }

    /// Every lane as `bf16`, rounded to the nearest and if tied to the even one.
    ///
    /// # Safety
    ///
    /// [`LANES`](Self::LANES) halves can be written at `to`, which may lie at any address.
    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut u16, lanes: Self::Lanes) {
        // SAFETY: as the caller promises.
        unsafe { pairs::store(self, to, lanes) }
    }

    /// Pairs of `bf16` of which `first` and `second` are the halves.
    #[inline(always)]
    fn round_pairs(self, first: Self::Lanes, second: Self::Lanes) -> Self::Lanes {
        pairs::weave(self, first, second)
    }

    /// `e^x` within a quarter of what `bf16` tells apart, for `x` at most 0 or no number.
    #[inline(always)]
    fn exp_coarse(self, x: Self::Lanes) -> Self::Lanes {
        exp(self, x)
    }

    /// The sum of all lanes: the upper half is added to the lower one until one lane is left.
    fn sum(self, lanes: Self::Lanes) -> f32;

    /// The [`sum`](Self::sum) of each of four vectors, to the bit.
    #[inline(always)]
    fn sums(self, lanes: [Self::Lanes; 4]) -> [f32; 4] {
        [self.sum(lanes[0]), self.sum(lanes[1]), self.sum(lanes[2]), self.sum(lanes[3])]
    }
}

/// Reading and writing slices.
pub(crate) trait SimdSlices: Simd {
    /// The first numbers of `from`, zeros where there are none.
    fn read(self, from: &[f32]) -> Self::Lanes;

    /// As many lanes as `to` is long, if it is shorter.
    fn write(self, to: &mut [f32], lanes: Self::Lanes);
}

impl<S: Simd> SimdSlices for S {
    #[inline(always)]
    fn read(self, from: &[f32]) -> Self::Lanes {
        if from.len() >= S::LANES {
            // SAFETY: the slice is long enough.
            unsafe { self.load(from.as_ptr()) }
        } else {
            // SAFETY: the slice is as long as we say, and shorter than a vector.
            unsafe { self.load_part(from.as_ptr(), from.len()) }
        }
    }

    #[inline(always)]
    fn write(self, to: &mut [f32], lanes: Self::Lanes) {
        if to.len() >= S::LANES {
            // SAFETY: the slice is long enough.
            unsafe { self.store(to.as_mut_ptr(), lanes) }
        } else {
            // SAFETY: the slice is as long as we say, and shorter than a vector.
            unsafe { self.store_part(to.as_mut_ptr(), lanes, to.len()) }
        }
    }
}

/// Work to be compiled for every instruction set.
pub(crate) trait Kernel {
    /// What it answers.
    type Output;

    /// Does the work. Implementations are `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Runs a kernel that takes dot products of pairs of `bf16`, with the instructions of `isa` or
/// of one like it.
#[inline]
pub(crate) fn dispatch_pairs<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    if pairs::are_fast(isa) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: just asked.
        return unsafe { avx512::run_bf16(kernel) };
    }
    // Anything else is for comparing only: one more copy of each kernel would gain nothing.
    portable::run(kernel)
}

/// Runs `kernel` with the instructions of `isa`.
#[inline]
pub(crate) fn dispatch<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an open device has an instruction set that the machine has.
        Isa::Avx512 => unsafe { avx512::run(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2::run(kernel) },
        #[cfg(target_arch = "aarch64")]
        Isa::Neon | Isa::NeonDotprod => neon::run(kernel),
        #[cfg(target_arch = "x86_64")]
        Isa::Neon | Isa::NeonDotprod => portable::run(kernel),
        #[cfg(target_arch = "aarch64")]
        Isa::Avx2 | Isa::Avx512 => portable::run(kernel),
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        Isa::Avx2 | Isa::Avx512 | Isa::Neon | Isa::NeonDotprod => portable::run(kernel),
        Isa::Portable => portable::run(kernel),
    }
}
