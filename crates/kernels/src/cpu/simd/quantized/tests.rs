//! The instructions of every level against plain arithmetic.
#![expect(unsafe_code, reason = "vectors are loaded from arrays")]

use super::{CodeKernel, CodeSimd, Level, WIDEST, dispatch};

/// Bytes that are the same on every run.
fn noise(seed: u32) -> [u8; WIDEST] {
    let mut state = seed;
    std::array::from_fn(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
}

struct Dots<const WIDE: bool>([u8; WIDEST], [u8; WIDEST]);

impl<const WIDE: bool> CodeKernel for Dots<WIDE> {
    type Output = Vec<i32>;

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) -> Vec<i32> {
        let mut out = Vec::new();
        for at in (0..WIDEST).step_by(S::WIDTH) {
            let mut floats = [0.0_f32; 16];
            // SAFETY: the arrays are a multiple of a vector long.
            unsafe {
                let (c, x) =
                    (simd.load(self.0.as_ptr().add(at)), simd.load(self.1.as_ptr().add(at)));
                let dots = simd.dot::<WIDE>(simd.dot::<WIDE>(simd.zero(), c, x), c, x);
                simd.store_floats(floats.as_mut_ptr(), simd.to_floats(dots));
            }
            out.extend(floats[..S::LANES].iter().map(|&x| x as i32));
        }
        out
    }
}

fn check_dots<const WIDE: bool>(codes: [u8; WIDEST], x: [u8; WIDEST]) {
    let truth = (0..16).map(|lane| {
        let product = |i: usize| i32::from(codes[i]) * i32::from(x[i] as i8);
        2 * (4 * lane..4 * lane + 4).map(product).sum::<i32>()
    });
    let truth = truth.collect::<Vec<_>>();
    for level in Level::all() {
        assert_eq!(dispatch(level, Dots::<WIDE>(codes, x)), truth, "{level:?}");
    }
}

#[test]
fn dots_do_not_saturate() {
    for x in [127, 129, 0, 1] {
        let mixed = std::array::from_fn(|i| if i % 3 == 0 { 127 } else { x });
        for x in [[x; WIDEST], mixed] {
            check_dots::<true>([255; WIDEST], x);
            check_dots::<false>([127; WIDEST], x);
        }
    }
    for seed in 0..100 {
        let x = noise(seed).map(|x| if x == 128 { 127 } else { x });
        check_dots::<true>(noise(seed + 1000), x);
        check_dots::<false>(noise(seed + 1000).map(|code| code & 127), x);
    }
}

struct Unpacked<'a, const BITS: usize>(&'a [u8]);

impl<const BITS: usize> CodeKernel for Unpacked<'_, BITS> {
    type Output = Vec<u8>;

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) -> Vec<u8> {
        let mut out = [0; WIDEST];
        // SAFETY: the slice is as long as we say, and the array has room for a vector.
        unsafe {
            let codes = simd.unpack::<BITS>(self.0.as_ptr(), self.0.len());
            simd.store(out.as_mut_ptr(), codes);
        }
        out[..S::WIDTH].to_vec()
    }
}

fn check_unpack<const BITS: usize>() {
    let bytes = noise(BITS as u32);
    for readable in 0..=WIDEST {
        let from = bytes[..readable].to_vec();
        let bit = |i: usize| from[i / 8] >> (i % 8) & 1;
        let code = |i: usize| (0..BITS).map(|j| bit(i * BITS + j) << j).sum::<u8>();
        for level in Level::all() {
            let codes = dispatch(level, Unpacked::<BITS>(&from));
            let whole = (readable * 8 / BITS).min(codes.len());
            let truth = (0..whole).map(code).collect::<Vec<_>>();
            assert_eq!(codes[..whole], truth, "{BITS} bits on {level:?}");
        }
    }
}

#[test]
fn codes_of_any_width_come_in_order() {
    check_unpack::<2>();
    check_unpack::<3>();
    check_unpack::<4>();
    check_unpack::<5>();
    check_unpack::<6>();
    check_unpack::<8>();
}

struct Transposed;

impl CodeKernel for Transposed {
    type Output = ();

    #[inline(always)]
    fn run<S: CodeSimd>(self, simd: S) {
        let number = |i: usize, j: usize| (16 * i + j) as u32;
        let mut rows = [[0_u32; 16]; 16];
        for (i, row) in rows.iter_mut().enumerate() {
            for (j, x) in row.iter_mut().enumerate() {
                *x = number(i, j);
            }
        }
        // SAFETY: each array is as long as the widest vector.
        unsafe {
            let mut vectors = [simd.load(rows[0].as_ptr().cast()); 16];
            for (vector, row) in vectors.iter_mut().zip(&rows).take(S::LANES) {
                *vector = simd.load(row.as_ptr().cast());
            }
            vectors = simd.transpose(vectors);
            for (vector, row) in vectors.iter().zip(&mut rows).take(S::LANES) {
                simd.store(row.as_mut_ptr().cast(), *vector);
            }
        }
        for (i, row) in rows.iter().enumerate().take(S::LANES) {
            for (j, &x) in row.iter().enumerate().take(S::LANES) {
                assert_eq!(x, number(j, i), "row {i}, lane {j}");
            }
        }
    }
}

#[test]
fn squares_are_transposed() {
    for level in Level::all() {
        dispatch(level, Transposed);
    }
}
