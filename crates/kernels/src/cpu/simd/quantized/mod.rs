//! Vectors of 8-bit codes and their dot products in 32-bit integers, one kind for each instruction
//! set, and kernels written once for all of them.
//!
//! It works as its parent does for `f32`: a kernel is a struct of its operands with a generic
//! [`CodeKernel::run`], and everything between [`dispatch`] and an instruction is
//! `#[inline(always)]`. The families are finer here, because a dot product of bytes is where they
//! differ most: see [`Level`].
//!
//! Integer results are the same on every instruction set, to the bit.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(test)]
mod tests;

use crate::Isa;
use crate::cpu::Foresight;

/// An instruction set as far as 8-bit codes are concerned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Level {
    /// Plain Rust.
    Portable,
    /// AVX2: a dot product takes three instructions.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 with VNNI: one instruction.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// As before, and VBMI, which cuts any bitstream into bytes in two instructions.
    #[cfg(target_arch = "x86_64")]
    Avx512Vbmi,
    /// NEON: a dot product takes five instructions.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// NEON with `sdot`: one instruction.
    #[cfg(target_arch = "aarch64")]
    NeonDotprod,
}

impl Level {
    /// The best level of a family that the machine has.
    pub(crate) fn of(isa: Isa) -> Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Self::Avx2,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if is_x86_feature_detected!("avx512vbmi") => Self::Avx512Vbmi,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Self::Avx512,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Self::Neon,
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDotprod => Self::NeonDotprod,
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => Self::Portable,
            #[cfg(not(target_arch = "aarch64"))]
            Isa::Neon | Isa::NeonDotprod => Self::Portable,
            Isa::Portable => Self::Portable,
        }
    }

    /// Every level that the machine has.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            #[cfg(target_arch = "x86_64")]
            if isa == Isa::Avx512 {
                all.push(Self::Avx512);
            }
            if !all.contains(&Self::of(isa)) {
                all.push(Self::of(isa));
            }
        }
        all
    }

    /// How many 32-bit lanes a vector has.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Self::Portable => <portable::Portable as CodeSimd>::LANES,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => <avx2::Avx2 as CodeSimd>::LANES,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 | Self::Avx512Vbmi => <avx512::Avx512<true, false> as CodeSimd>::LANES,
            #[cfg(target_arch = "aarch64")]
            Self::Neon | Self::NeonDotprod => <neon::Neon<true> as CodeSimd>::LANES,
        }
    }

    /// The most rows of activations whose sums stay in registers beside one panel of weights.
    pub(crate) fn tile(self) -> usize {
        match self {
            Self::Portable => <portable::Portable as CodeSimd>::TILE,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => <avx2::Avx2 as CodeSimd>::TILE,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 | Self::Avx512Vbmi => <avx512::Avx512<true, false> as CodeSimd>::TILE,
            #[cfg(target_arch = "aarch64")]
            Self::Neon | Self::NeonDotprod => <neon::Neon<true> as CodeSimd>::TILE,
        }
    }
}

/// The bytes of the widest vector of any level.
pub(crate) const WIDEST: usize = 64;

/// The instructions of one level. A value is the proof that the machine has them.
///
/// A vector has [`LANES`](Self::LANES) 32-bit lanes, each of which is an integer, a float, or four
/// bytes.
pub(crate) trait CodeSimd: Copy {
    /// A vector of bytes: unsigned codes, or signed activations.
    type Bytes: Copy;
    /// A vector of `i32`.
    type Ints: Copy;
    /// A vector of `f32`.
    type Floats: Copy;

    /// 32-bit lanes.
    const LANES: usize;

    /// Bytes.
    const WIDTH: usize = 4 * Self::LANES;

    /// Whether there are 32 registers, and not 16.
    const MANY_REGISTERS: bool;

    /// See [`Level::tile`].
    const TILE: usize;

    /// # Safety
    ///
    /// [`WIDTH`](Self::WIDTH) bytes can be read at `from`.
    unsafe fn load(self, from: *const u8) -> Self::Bytes;

    /// The first `count` bytes from memory, zeros after them.
    ///
    /// # Safety
    ///
    /// `count` bytes, at most [`WIDTH`](Self::WIDTH), can be read at `from`.
    unsafe fn load_part(self, from: *const u8, count: usize) -> Self::Bytes;

    /// Half a vector from one place, and half a vector from another: of each the first bytes, as
    /// many as the second number says, and zeros after them.
    ///
    /// # Safety
    ///
    /// So many bytes, at most half of [`WIDTH`](Self::WIDTH), can be read in each place.
    unsafe fn load_halves(self, low: (*const u8, usize), high: (*const u8, usize)) -> Self::Bytes;

    /// Asks for the line at an address, which may be any; does nothing where there is no such
    /// instruction.
    #[inline(always)]
    fn prefetch(self, _foresight: Foresight, _address: *const u8) {}

    /// # Safety
    ///
    /// [`WIDTH`](Self::WIDTH) bytes can be written at `to`.
    unsafe fn store(self, to: *mut u8, bytes: Self::Bytes);

    /// The same four bytes in each lane.
    ///
    /// # Safety
    ///
    /// Four bytes can be read at `from`.
    unsafe fn repeat(self, from: *const u8) -> Self::Bytes;

    /// `(byte >> shift) & mask` of each byte; `mask` has no bit that a shift by `shift` of wider
    /// words would fill from a neighbour.
    fn field(self, bytes: Self::Bytes, shift: u32, mask: u8) -> Self::Bytes;

    /// The element of `table` that each byte, less than 16, is the number of.
    fn lookup(self, indices: Self::Bytes, table: &[u8; 16]) -> Self::Bytes;

    /// The first [`WIDTH`](Self::WIDTH) codes of a little-endian stream of `BITS`-wide codes, in
    /// order; zeros, or fields of them, for bytes that cannot be read.
    ///
    /// # Safety
    ///
    /// `readable` bytes can be read at `from`.
    unsafe fn unpack<const BITS: usize>(self, from: *const u8, readable: usize) -> Self::Bytes;

    /// Exchanges vectors and lanes: lane `j` of vector `i` becomes lane `i` of vector `j`, for
    /// the first [`LANES`](Self::LANES) vectors.
    fn transpose(self, rows: [Self::Bytes; 16]) -> [Self::Bytes; 16];

    /// Zero in every lane.
    fn zero(self) -> Self::Ints;

    /// `x` in every lane.
    fn splat_int(self, x: i32) -> Self::Ints;

    /// Adds to each lane the dot product of its four unsigned codes and its four signed
    /// activations, none of which is -128. Codes are below 128 unless `WIDE`.
    fn dot<const WIDE: bool>(
        self,
        sums: Self::Ints,
        codes: Self::Bytes,
        x: Self::Bytes,
    ) -> Self::Ints;

    /// Adds to each lane the products of its two `bf16` in `a` and `b`.
    #[inline(always)]
    fn dot_pairs(self, sums: Self::Floats, a: Self::Bytes, b: Self::Bytes) -> Self::Floats {
        let high = |words| self.word_field(words, 16, 0xffff);
        let sums = self.fma(self.widen_bf16(a), self.widen_bf16(b), sums);
        self.fma(self.widen_bf16(high(a)), self.widen_bf16(high(b)), sums)
    }

    /// The sums of 128 and every second byte, from the first or the second on, as `bf16`: bytes are
    /// below 128.
    fn pair_bytes(self, bytes: Self::Bytes, second: bool) -> Self::Bytes;

    /// The `bf16` of each lane of two vectors, which are rounded towards zero, side by side.
    fn pair(self, low: Self::Floats, high: Self::Floats) -> Self::Bytes;

    /// The floats of four bits of exponent and three of mantissa in each lane as two pairs of
    /// `bf16`: the first with the third, the second with the fourth.
    #[inline(always)]
    fn pairs_e4m3(self, codes: Self::Bytes) -> [Self::Bytes; 2] {
        let value = |shift| self.widen_e4m3(self.word_field(codes, shift, 0xff));
        [self.pair(value(0), value(16)), self.pair(value(8), value(24))]
    }

    /// The nearest `f32` of each lane.
    fn to_floats(self, ints: Self::Ints) -> Self::Floats;

    /// The floats whose bits these are.
    fn as_floats(self, bits: Self::Bytes) -> Self::Floats;

    /// The lanes as integers.
    fn as_ints(self, words: Self::Bytes) -> Self::Ints;

    /// As many bytes as there are lanes, each in a lane of its own.
    ///
    /// # Safety
    ///
    /// [`LANES`](Self::LANES) bytes can be read at `from`.
    unsafe fn words_of_bytes(self, from: *const u8) -> Self::Bytes;

    /// As many pairs of bytes as there are lanes, each in a lane of its own.
    ///
    /// # Safety
    ///
    /// Twice [`LANES`](Self::LANES) bytes can be read at `from`.
    unsafe fn words_of_halves(self, from: *const u8) -> Self::Bytes;

    /// `(word >> shift) & mask` of each lane.
    fn word_field(self, words: Self::Bytes, shift: u32, mask: u32) -> Self::Bytes;

    /// What each lane's lower half is as bfloat16.
    fn widen_bf16(self, words: Self::Bytes) -> Self::Floats;

    /// What each lane, which is below `1 << 16`, is as a float of 16 bits.
    fn widen_f16(self, words: Self::Bytes) -> Self::Floats;

    /// What each lane, which is below `1 << 8`, is as a power of two with bias 127.
    fn widen_e8m0(self, words: Self::Bytes) -> Self::Floats;

    /// What each lane, which is below `1 << 8`, is as a float of four bits of exponent and three
    /// of mantissa.
    fn widen_e4m3(self, words: Self::Bytes) -> Self::Floats;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::Floats;

    /// # Safety
    ///
    /// [`LANES`](Self::LANES) numbers can be read at `from`.
    unsafe fn load_floats(self, from: *const f32) -> Self::Floats;

    /// # Safety
    ///
    /// [`LANES`](Self::LANES) numbers can be written at `to`.
    unsafe fn store_floats(self, to: *mut f32, floats: Self::Floats);

    /// `a + b`.
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;

    /// `a * b`.
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;

    /// `a * b + c`, rounded once where the machine can.
    fn fma(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;

    /// The sum of all lanes.
    fn sum(self, floats: Self::Floats) -> f32;

    /// Lane `lanes[i]` of `floats` in each lane `i`.
    ///
    /// # Safety
    ///
    /// [`LANES`](Self::LANES) numbers below [`LANES`](Self::LANES) can be read at `lanes`.
    unsafe fn pick(self, floats: Self::Floats, lanes: *const i32) -> Self::Floats;

    /// Of each lane the greater of `most` and the bits of `|x|`, as integers: what is not finite is
    /// greater than what is.
    fn max_magnitude(self, most: Self::Ints, x: Self::Floats) -> Self::Ints;

    /// The greatest of all lanes, none of which is negative.
    fn max_lane(self, ints: Self::Ints) -> i32;

    /// Writes the lowest byte of each lane.
    ///
    /// # Safety
    ///
    /// [`LANES`](Self::LANES) bytes can be written at `to`.
    unsafe fn store_low_bytes(self, to: *mut u8, words: Self::Floats);

    /// Of each sixteen bytes the ones that `order` names.
    fn reorder(self, bytes: Self::Bytes, order: &[u8; 16]) -> Self::Bytes;

    /// The first `count` lanes, and zeros after them.
    fn first(self, floats: Self::Floats, count: usize) -> Self::Floats;
}

/// Work to be compiled for every level.
pub(crate) trait CodeKernel {
    /// What it answers.
    type Output;

    /// Does the work. Implementations are `#[inline(always)]`.
    fn run<S: CodeSimd>(self, simd: S) -> Self::Output;
}

/// Runs `kernel` with the instructions of `level`.
#[inline]
#[cfg_attr(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    expect(unsafe_code, reason = "a level that exists may be entered")
)]
pub(crate) fn dispatch<K: CodeKernel>(level: Level, kernel: K) -> K::Output {
    match level {
        Level::Portable => portable::run(kernel),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an open device has an instruction set that the machine has, and a level is made
        // of it.
        Level::Avx2 => unsafe { avx2::run(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { avx512::run(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above; VBMI was detected.
        Level::Avx512Vbmi => unsafe { avx512::run_vbmi(kernel) },
        #[cfg(target_arch = "aarch64")]
        Level::Neon => neon::run(kernel),
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Level::NeonDotprod => unsafe { neon::run_dotprod(kernel) },
    }
}

/// As [`dispatch`], for kernels whose work is [`CodeSimd::dot_pairs`].
#[inline]
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the instructions were detected"))]
pub(crate) fn dispatch_pairs<K: CodeKernel>(level: Level, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if level == Level::Avx512Vbmi && is_x86_feature_detected!("avx512bf16") {
        // SAFETY: the machine has what the level says, and dot products of pairs.
        return unsafe { avx512::run_pairs(kernel) };
    }
    dispatch(level, kernel)
}

/// Copies `count` bytes, at most 64, to the front of zeros.
///
/// # Safety
///
/// `count` bytes can be read at `from`.
#[inline(always)]
#[expect(unsafe_code, reason = "the bytes are anywhere")]
unsafe fn copy_part(from: *const u8, count: usize) -> [u8; WIDEST] {
    let mut bytes = [0; WIDEST];
    let count = count.min(WIDEST);
    // SAFETY: the caller promises `count` bytes at `from`, and the array has as many.
    unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), count) };
    bytes
}
