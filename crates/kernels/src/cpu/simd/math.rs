//! Functions of every lane.

use std::f32::consts::LOG2_E;

use super::Simd;

/// `e^x` within two units in the last place: 0 for minus infinity, infinity where the result
/// would be too large, denormal numbers where it is small, NaN for NaN.
///
/// `x = n ln 2 + r` with whole `n`; `e^r = 1 + r + r^2 g(r)` with a polynomial `g` fitted to
/// `|r| <= ln 2 / 2`; two factors of about `2^(n/2)`, because `2^n` alone may not be a number.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::Lanes) -> S::Lanes {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const G: [f32; 5] = [0.5, 0.166_665_17, 0.041_666_2, 0.008_369_177, 0.001_395_097_9];
    // Beyond these the result is zero or infinity all the same.
    let x = simd.at_least(simd.at_most(x, simd.splat(89.0)), simd.splat(-104.0));
    let n = round(simd, simd.mul(x, simd.splat(LOG2_E)));
    let r = simd.fma(n, simd.splat(-LN2_HIGH), x);
    let r = simd.fma(n, simd.splat(-LN2_LOW), r);
    let g = polynomial(simd, r, &G);
    let power = simd.add(simd.fma(simd.mul(r, r), g, r), simd.splat(1.0));
    let half = round(simd, simd.mul(n, simd.splat(0.5)));
    let rest = simd.sub(n, half);
    simd.mul(simd.mul(power, simd.power_of_two(half)), simd.power_of_two(rest))
}

/// The probability that a standard normal variable is below `x`, accurate in both tails.
///
/// For `a = |x|` the upper tail is `e^(-a^2/2) t P(t)` with `t = 1 / (1 + 0.35 a)` and a
/// polynomial `P` fitted to `0 <= a <= 14` with a relative error of `3.2e-8`.
#[inline(always)]
pub(crate) fn normal_cdf<S: Simd>(simd: S, x: S::Lanes) -> S::Lanes {
    const P: [f32; 9] = [
        0.139_621_4,
        0.139_861_93,
        0.119_832_486,
        0.105_509_594,
        -0.023_113_746,
        0.159_180_05,
        -0.255_719_57,
        0.143_974_33,
        -0.029_146_481,
    ];
    let (zero, one) = (simd.splat(0.0), simd.splat(1.0));
    let a = simd.abs(x);
    let t = simd.div(one, simd.fma(a, simd.splat(0.35), one));
    let bell = exp(simd, simd.mul(simd.mul(a, a), simd.splat(-0.5)));
    let tail = simd.mul(simd.mul(bell, t), polynomial(simd, t, &P));
    simd.where_less(x, zero, tail, simd.sub(one, tail))
}

/// `c[0] + c[1] x + c[2] x^2 + ..`.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::Lanes, c: &[f32; N]) -> S::Lanes {
    let mut sum = simd.splat(c[N - 1]);
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        sum = simd.fma(sum, x, simd.splat(c[i]));
    }
    sum
}

/// The nearest whole number, for `|x| < 2^22`: adding 1.5 * 2^23 leaves no bit for a fraction.
#[inline(always)]
fn round<S: Simd>(simd: S, x: S::Lanes) -> S::Lanes {
    let shift = simd.splat(12_582_912.0);
    simd.sub(simd.add(x, shift), shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::cpu::simd::{Kernel, SimdSlices as _, dispatch};

    /// Applies `exp`, or `normal_cdf`, to every number.
    struct Each<'a> {
        bell: bool,
        numbers: &'a mut [f32],
    }

    impl Kernel for Each<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            for numbers in self.numbers.chunks_mut(S::LANES) {
                let x = simd.read(numbers);
                simd.write(numbers, if self.bell { normal_cdf(simd, x) } else { exp(simd, x) });
            }
        }
    }

    fn each(isa: Isa, bell: bool, mut numbers: Vec<f32>) -> Vec<f32> {
        dispatch(isa, Each { bell, numbers: &mut numbers });
        numbers
    }

    fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        let inputs: Vec<f32> = (-105_000..89_000).map(|i| i as f32 * 1e-3 + 1e-5).collect();
        for isa in available() {
            for (x, y) in inputs.iter().zip(each(isa, false, inputs.clone())) {
                let truth = f64::from(*x).exp();
                // The distance of two neighbours at the truth, denormal ones included.
                let unit = f64::from((truth as f32).max(f32::MIN_POSITIVE).next_up())
                    - f64::from((truth as f32).max(f32::MIN_POSITIVE));
                if truth <= f64::from(f32::MAX) {
                    let error = (f64::from(y) - truth).abs() / unit;
                    assert!(error <= 2.0, "exp({x}) = {y}, not {truth}: {error} units on {isa}");
                }
            }
        }
    }

    #[test]
    fn exp_has_the_right_limits() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        for isa in available() {
            let y = each(isa, false, vec![0.0, -0.0, -inf, -1e30, inf, 1e30, 88.8, -104.1, nan]);
            assert_eq!(y[..8], [1.0, 1.0, 0.0, 0.0, inf, inf, inf, 0.0], "{isa}");
            assert!(y[8].is_nan(), "{isa}");
        }
    }

    #[test]
    fn the_normal_distribution_is_accurate_in_both_tails() {
        let inputs: Vec<f32> = (-13_000..13_000).map(|i| i as f32 * 1e-3).collect();
        for isa in available() {
            for (x, y) in inputs.iter().zip(each(isa, true, inputs.clone())) {
                let truth = 0.5 * libm::erfc(-f64::from(*x) / 2.0_f64.sqrt());
                let error = (f64::from(y) - truth).abs();
                // The rounding of `x^2 / 2` grows with it.
                let bound = truth * (4e-7 + 1e-7 * f64::from(x * x)) + 1e-44;
                assert!(error <= bound, "{x}: {y}, not {truth} on {isa}");
            }
            let y = each(isa, true, vec![f32::NEG_INFINITY, f32::INFINITY, f32::NAN]);
            assert_eq!(y[..2], [0.0, 1.0], "{isa}");
            assert!(y[2].is_nan(), "{isa}");
        }
    }

    /// What makes a query's attention the same in a narrow vector as in a wide one.
    #[test]
    fn fused_families_agree_to_the_bit() {
        let inputs: Vec<f32> = (-9_000..9_000).map(|i| i as f32 * 1.1e-2).collect();
        let mut first = None;
        for isa in available().filter(|&isa| isa != Isa::Portable) {
            let y: Vec<_> =
                each(isa, false, inputs.clone()).into_iter().map(f32::to_bits).collect();
            assert_eq!(first.get_or_insert_with(|| y.clone()), &y, "{isa}");
        }
    }
}
