//! Two `bf16` in the place of one `f32`: half of the memory, and on some machines a dot product of
//! pairs in one instruction.
#![expect(unsafe_code, reason = "numbers are stored by pointer")]

use super::{Kernel, Simd, SimdSlices as _};
use crate::Isa;

/// Whether products of pairs are faster than those of single numbers with `isa` on this machine.
pub(crate) fn are_fast(isa: Isa) -> bool {
    #[cfg(target_arch = "x86_64")]
    let fast = isa == Isa::Avx512 && is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    let fast = {
        let _ = isa;
        false
    };
    fast
}

/// `x` as `bf16`, rounded to the nearest and if tied to the even one.
#[inline(always)]
pub(crate) fn round(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    // A NaN keeps its upper half, and one bit that makes sure that it stays one.
    (if x.is_nan() { bits >> 16 | 0x40 } else { rounded }) as u16
}

/// Two halves in one number.
#[inline(always)]
pub(crate) fn pair(first: u16, second: u16) -> f32 {
    f32::from_bits(u32::from(first) | u32::from(second) << 16)
}

/// The numbers of a pair.
#[inline(always)]
pub(crate) fn unpair(pair: f32) -> [f32; 2] {
    let bits = pair.to_bits();
    [f32::from_bits(bits << 16), f32::from_bits(bits & 0xffff_0000)]
}

/// Rounds numbers times `scale` to pairs; an odd one is followed by a zero.
pub(crate) struct Narrow<'a> {
    pub(crate) from: &'a [f32],
    pub(crate) scale: f32,
    /// As many pairs as are needed.
    pub(crate) to: &'a mut [f32],
}

impl Kernel for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { from, scale, to } = self;
        assert_eq!(to.len(), from.len().div_ceil(2), "narrow: pairs of {}", from.len());
        let scales = simd.splat(scale);
        let vectors = from.chunks_exact(S::LANES);
        let rest = vectors.remainder();
        for (i, from) in vectors.enumerate() {
            // SAFETY: as many halves as numbers before the end of `from` fit into `to`.
            unsafe {
                let to = to.as_mut_ptr().cast::<u16>().add(i * S::LANES);
                simd.store_bf16(to, simd.mul(simd.read(from), scales));
            }
        }
        let done = (from.len() - rest.len()) / 2;
        for (to, from) in to[done..].iter_mut().zip(rest.chunks(2)) {
            let second = from.get(1).map_or(0, |x| round(x * scale));
            *to = pair(round(from[0] * scale), second);
        }
    }
}

/// Makes pairs of the elements of two arrays, of which one may be absent: zeros stand in.
pub(crate) struct Weave<'a> {
    pub(crate) first: Option<&'a [f32]>,
    pub(crate) second: Option<&'a [f32]>,
    pub(crate) to: &'a mut [f32],
}

impl Kernel for Weave<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { first, second, to } = self;
        for (i, to) in to.chunks_mut(S::LANES).enumerate() {
            let at = i * S::LANES;
            let (a, b) = (part(simd, first, at), part(simd, second, at));
            simd.write(to, simd.round_pairs(a, b));
        }
    }
}

/// A vector from number `at` of `from` on.
#[inline(always)]
fn part<S: Simd>(simd: S, from: Option<&[f32]>, at: usize) -> S::Lanes {
    match from {
        Some(from) if at < from.len() => simd.read(&from[at..]),
        _ => simd.splat(0.0),
    }
}

/// [`Simd::round_pairs`] where no instruction does it.
#[inline(always)]
pub(super) fn weave<S: Simd>(simd: S, first: S::Lanes, second: S::Lanes) -> S::Lanes {
    let (mut a, mut b) = ([0.0; 16], [0.0; 16]);
    simd.write(&mut a[..S::LANES], first);
    simd.write(&mut b[..S::LANES], second);
    for (a, b) in a.iter_mut().zip(b) {
        *a = pair(round(*a), round(b));
    }
    simd.read(&a)
}

/// [`Simd::dot_pairs`] where no instruction does it.
#[inline(always)]
pub(super) fn dot<S: Simd>(simd: S, sum: S::Lanes, a: S::Lanes, b: S::Lanes) -> S::Lanes {
    let halves = |lanes| {
        let mut all = [0.0; 16];
        simd.write(&mut all[..S::LANES], lanes);
        let mut halves = [[0.0; 16]; 2];
        for (i, lane) in all.into_iter().enumerate() {
            [halves[0][i], halves[1][i]] = unpair(lane);
        }
        halves.map(|half| simd.read(&half))
    };
    let ([a0, a1], [b0, b1]) = (halves(a), halves(b));
    simd.fma(a1, b1, simd.fma(a0, b0, sum))
}

/// [`Simd::store_bf16`] where no instruction does it.
///
/// # Safety
///
/// [`Simd::LANES`] halves can be written at `to`.
#[inline(always)]
pub(super) unsafe fn store<S: Simd>(simd: S, to: *mut u16, lanes: S::Lanes) {
    let mut all = [0.0; 16];
    simd.write(&mut all[..S::LANES], lanes);
    for (i, lane) in all.into_iter().enumerate().take(S::LANES) {
        // SAFETY: the caller promises the memory.
        unsafe { to.add(i).write_unaligned(round(lane)) };
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::{pair, round, unpair};

    #[test]
    fn rounding_is_that_of_the_crate_for_halves() {
        for bits in (0..=u32::MAX).step_by(65_521) {
            let x = f32::from_bits(bits);
            assert_eq!(round(x), bf16::from_f32(x).to_bits(), "{x:e}");
        }
        for x in [0.0, -0.0, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, f32::MAX, f32::INFINITY] {
            assert_eq!(round(x), bf16::from_f32(x).to_bits(), "{x:e}");
        }
    }

    #[test]
    fn a_pair_comes_apart_as_it_was() {
        let [a, b] = unpair(pair(round(1.5), round(-3.0)));
        assert_eq!((a, b), (1.5, -3.0));
    }
}
