//! Packed codes as bytes in registers.
//!
//! A packed vector is cut into *planes*, vectors of one byte for each code, by the fewest
//! instructions. Codes of 2 and 4 bits stay in their 32-bit lane: plane `p` holds, in byte `t` of
//! the lane, code `planes * t + p` of the lane. Codes that straddle bytes are put in order while
//! they are loaded; they have one plane. In either case, byte `t` of lane `j` in plane `p` is code
//!
//! `planes * (4 * j + t) + p`
//!
//! of the vector, and activations are laid out to match.
#![expect(unsafe_code, reason = "packed codes lie at any address")]

use crate::cpu::simd::quantized::CodeSimd;

/// A packing of codes.
pub(super) trait Format {
    /// The width of a code.
    const BITS: usize;
    /// Vectors of bytes in a packed vector.
    const PLANES: usize;
    /// Whether a byte may exceed 127.
    const WIDE: bool = false;
    /// Whether codes are 8-bit floats, and no integers.
    const FLOATS: bool = false;
    /// What is taken from a byte, and the rest halved, before it meets its scale; affine codes
    /// have a bias instead.
    const OFFSET: Option<i32> = None;
    /// Whether groups have biases.
    const BIASED: bool = false;

    /// Bytes that `planes * WIDTH` codes take.
    #[inline(always)]
    fn step<S: CodeSimd>() -> usize {
        S::WIDTH * Self::PLANES * Self::BITS / 8
    }

    /// The next `planes * WIDTH` codes, from a vector that can be read at `from`.
    ///
    /// # Safety
    ///
    /// A vector can be read at `from`.
    unsafe fn load<S: CodeSimd>(simd: S, from: *const u8) -> S::Bytes;

    /// One plane of a packed vector.
    fn plane<S: CodeSimd>(simd: S, packed: S::Bytes, plane: usize) -> S::Bytes;

    /// The next `WIDTH` codes in order; arbitrary ones after those that can be read.
    ///
    /// # Safety
    ///
    /// `readable` bytes can be read at `from`.
    unsafe fn in_order<S: CodeSimd>(simd: S, from: *const u8, readable: usize) -> S::Bytes;

    /// What codes stand for, a code in each lane, before they meet their scale: a number that
    /// `bf16` holds too.
    fn value<S: CodeSimd>(simd: S, words: S::Bytes) -> S::Floats;
}

/// A vector as it lies, or if `BITS` is not zero, of codes of so many bits, a byte for each;
/// arbitrary ones after those that can be read.
///
/// # Safety
///
/// `readable` bytes can be read at `from`.
#[inline(always)]
pub(super) unsafe fn load<S: CodeSimd, const BITS: usize>(
    simd: S,
    from: *const u8,
    readable: usize,
) -> S::Bytes {
    // SAFETY: so many bytes can be read.
    unsafe {
        if BITS != 0 {
            simd.unpack::<BITS>(from, readable)
        } else if readable >= S::WIDTH {
            simd.load(from)
        } else {
            simd.load_part(from, readable)
        }
    }
}

/// Unsigned integers of `BITS` bits.
pub(super) struct Affine<const BITS: usize>;

impl<const BITS: usize> Affine<BITS> {
    const STRADDLES: bool = !BITS.is_multiple_of(8) && !8_usize.is_multiple_of(BITS);
}

impl<const BITS: usize> Format for Affine<BITS> {
    const BITS: usize = BITS;
    const PLANES: usize = if Self::STRADDLES { 1 } else { 8 / BITS };
    const WIDE: bool = BITS == 8;
    const BIASED: bool = true;

    #[inline(always)]
    unsafe fn load<S: CodeSimd>(simd: S, from: *const u8) -> S::Bytes {
        // SAFETY: the caller promises the bytes.
        unsafe {
            if Self::STRADDLES {
                load::<S, BITS>(simd, from, S::WIDTH)
            } else {
                load::<S, 0>(simd, from, S::WIDTH)
            }
        }
    }

    #[inline(always)]
    fn plane<S: CodeSimd>(simd: S, packed: S::Bytes, plane: usize) -> S::Bytes {
        if Self::PLANES == 1 {
            packed
        } else {
            simd.field(packed, (plane * BITS) as u32, 0xff >> (8 - BITS))
        }
    }

    #[inline(always)]
    unsafe fn in_order<S: CodeSimd>(simd: S, from: *const u8, readable: usize) -> S::Bytes {
        // SAFETY: the caller promises the bytes.
        unsafe { simd.unpack::<BITS>(from, readable) }
    }

    #[inline(always)]
    fn value<S: CodeSimd>(simd: S, words: S::Bytes) -> S::Floats {
        simd.to_floats(simd.as_ints(words))
    }
}

/// 4-bit floats, looked up as twice their value plus 12: an integer from 0 to 24, the `c` of
/// `0.5 c - 6`.
pub(super) struct E2m1;

impl E2m1 {
    const TABLE: [u8; 16] = [12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0];
}

impl Format for E2m1 {
    const BITS: usize = 4;
    const PLANES: usize = 2;
    const OFFSET: Option<i32> = Some(12);

    #[inline(always)]
    unsafe fn load<S: CodeSimd>(simd: S, from: *const u8) -> S::Bytes {
        // SAFETY: the caller promises the bytes.
        unsafe { load::<S, 0>(simd, from, S::WIDTH) }
    }

    #[inline(always)]
    fn plane<S: CodeSimd>(simd: S, packed: S::Bytes, plane: usize) -> S::Bytes {
        simd.lookup(simd.field(packed, 4 * plane as u32, 15), &Self::TABLE)
    }

    #[inline(always)]
    unsafe fn in_order<S: CodeSimd>(simd: S, from: *const u8, readable: usize) -> S::Bytes {
        // SAFETY: the caller promises the bytes.
        simd.lookup(unsafe { simd.unpack::<4>(from, readable) }, &Self::TABLE)
    }

    #[inline(always)]
    fn value<S: CodeSimd>(simd: S, words: S::Bytes) -> S::Floats {
        let twice = simd.add(simd.to_floats(simd.as_ints(words)), simd.splat(-12.0));
        simd.mul(twice, simd.splat(0.5))
    }
}

/// 8-bit floats, which have no integer form.
pub(super) struct E4m3;

impl Format for E4m3 {
    const BITS: usize = 8;
    const PLANES: usize = 1;
    const WIDE: bool = true;
    const FLOATS: bool = true;

    #[inline(always)]
    unsafe fn load<S: CodeSimd>(simd: S, from: *const u8) -> S::Bytes {
        // SAFETY: the caller promises the bytes.
        unsafe { load::<S, 0>(simd, from, S::WIDTH) }
    }

    #[inline(always)]
    fn plane<S: CodeSimd>(_: S, packed: S::Bytes, _: usize) -> S::Bytes {
        packed
    }

    #[inline(always)]
    unsafe fn in_order<S: CodeSimd>(simd: S, from: *const u8, readable: usize) -> S::Bytes {
        // SAFETY: the caller promises the bytes.
        unsafe { load::<S, 0>(simd, from, readable) }
    }

    #[inline(always)]
    fn value<S: CodeSimd>(simd: S, words: S::Bytes) -> S::Floats {
        simd.widen_e4m3(words)
    }
}

/// Evaluates an expression with `$format` standing for the [`Format`] of `$codes`; or another one
/// for codes without an integer form, if there is one.
macro_rules! with_format {
    ($codes:expr, $format:ident => $do:expr $(, otherwise => $otherwise:expr)?) => {
        with_format!(each 3, 5; $codes, $format => $do $(, otherwise => $otherwise)?)
    };
    (each $three:literal, $five:literal; $codes:expr, $format:ident => $do:expr) => {
        with_format!(each $three, $five; $codes, $format => $do, otherwise => {
            type $format = $crate::ops::quantized_matmul::cpu::formats::E4m3;
            $do
        })
    };
    (
        each $three:literal, $five:literal;
        $codes:expr, $format:ident => $do:expr, otherwise => $otherwise:expr
    ) => {{
        use $crate::ops::quantized_matmul::cpu::formats::{Affine, E2m1};
        use $crate::ops::quantized_matmul::cpu::weights::Codes;
        macro_rules! with {
            ($type:ty) => {{
                type $format = $type;
                $do
            }};
        }
        match $codes {
            Codes::Affine(2) => with!(Affine<2>),
            Codes::Affine(3) => with!(Affine<$three>),
            Codes::Affine(4) => with!(Affine<4>),
            Codes::Affine(5) => with!(Affine<$five>),
            Codes::Affine(6) => with!(Affine<6>),
            Codes::Affine(8) => with!(Affine<8>),
            Codes::E2m1 => with!(E2m1),
            Codes::E4m3 => $otherwise,
            Codes::Affine(bits) => unreachable!("{bits}-bit codes were refused"),
        }
    }};
}
pub(super) use with_format;

/// As [`with_format`], where codes are loaded already: then all that straddle bytes are alike.
macro_rules! with_planes {
    ($codes:expr, $format:ident => $do:expr $(, otherwise => $otherwise:expr)?) => {
        with_format!(each 6, 6; $codes, $format => $do $(, otherwise => $otherwise)?)
    };
}
pub(super) use with_planes;
