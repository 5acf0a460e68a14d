//! NEON, with or without dot products: four lanes, 32 registers.
#![expect(unsafe_code, reason = "vector instructions and unaligned loads")]

use std::arch::aarch64::*;

use super::{CodeKernel, CodeSimd, copy_part};
use crate::cpu::simd::signed_dot::{sdot, widening_dot};

/// Every 64-bit Arm has the instructions, but for the dot product that the parameter tells of.
#[derive(Clone, Copy)]
pub(super) struct Neon<const DOTPROD: bool>(());

/// Runs a kernel.
pub(super) fn run<K: CodeKernel>(kernel: K) -> K::Output {
    kernel.run(Neon::<false>(()))
}

/// Runs a kernel that is inlined here.
///
/// # Safety
///
/// The machine has [`Isa::NeonDotprod`](crate::Isa::NeonDotprod).
#[target_feature(enable = "dotprod")]
pub(super) unsafe fn run_dotprod<K: CodeKernel>(kernel: K) -> K::Output {
    kernel.run(Neon::<true>(()))
}

/// An instruction that the machine has.
macro_rules! have {
    ($instruction:expr) => {{
        // SAFETY: NEON is part of the architecture, and nothing more is used here.
        unsafe { $instruction }
    }};
}

/// How eight codes of `bits` bits become 16-bit words: the two bytes that hold each code, and how
/// far down it is to be shifted.
struct Spread {
    bytes: [u8; 16],
    shifts: [i16; 8],
}

impl Spread {
    const fn new(bits: usize) -> Self {
        let (mut bytes, mut shifts) = ([0; 16], [0; 8]);
        let mut i = 0;
        while i < 8 {
            let at = i * bits;
            bytes[2 * i] = (at / 8) as u8;
            bytes[2 * i + 1] = (at / 8 + 1) as u8;
            shifts[i] = -((at % 8) as i16);
            i += 1;
        }
        Self { bytes, shifts }
    }
}

/// 16 codes of `BITS` bits in order.
///
/// # Safety
///
/// `BITS + 8` bytes can be read at `from`.
#[inline(always)]
unsafe fn unpack<const BITS: usize>(from: *const u8) -> uint8x16_t {
    let spread = const { &Spread::new(BITS) };
    // SAFETY: the caller promises the bytes; the tables are as long as is read.
    unsafe {
        let bytes = vld1q_u8(spread.bytes.as_ptr());
        let shifts = vld1q_s16(spread.shifts.as_ptr());
        let eight = |from: *const u8| {
            let packed = vcombine_u8(vld1_u8(from), vdup_n_u8(0));
            let words = vreinterpretq_u16_u8(vqtbl1q_u8(packed, bytes));
            vmovn_u16(vshlq_u16(words, shifts))
        };
        let codes = vcombine_u8(eight(from), eight(from.add(BITS)));
        vandq_u8(codes, vdupq_n_u8(0xff >> (8 - BITS)))
    }
}

impl<const DOTPROD: bool> Neon<DOTPROD> {
    #[inline(always)]
    fn signed_dot(self, sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        if DOTPROD {
            // SAFETY: a `Neon<true>` exists only where the machine has the instruction.
            unsafe { sdot(sums, a, b) }
        } else {
            widening_dot(sums, a, b)
        }
    }
}

impl<const DOTPROD: bool> CodeSimd for Neon<DOTPROD> {
    type Bytes = uint8x16_t;
    type Ints = int32x4_t;
    type Floats = float32x4_t;

    const LANES: usize = 4;
    const MANY_REGISTERS: bool = true;
    const TILE: usize = 12;

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> uint8x16_t {
        // SAFETY: the caller promises that 16 bytes can be read.
        unsafe { vld1q_u8(from) }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const u8, count: usize) -> uint8x16_t {
        // SAFETY: the caller promises that `count` bytes can be read; the copy has 64.
        unsafe { vld1q_u8(copy_part(from, count).as_ptr()) }
    }

    #[inline(always)]
    unsafe fn load_halves(self, low: (*const u8, usize), high: (*const u8, usize)) -> uint8x16_t {
        // SAFETY: the caller promises the bytes; a copy has 64.
        unsafe {
            let half = |(from, count): (*const u8, usize)| match count {
                8 => vld1_u8(from),
                _ => vld1_u8(copy_part(from, count).as_ptr()),
            };
            vcombine_u8(half(low), half(high))
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8, bytes: uint8x16_t) {
        // SAFETY: the caller promises that 16 bytes can be written.
        unsafe { vst1q_u8(to, bytes) }
    }

    #[inline(always)]
    unsafe fn repeat(self, from: *const u8) -> uint8x16_t {
        // SAFETY: the caller promises that four bytes can be read.
        unsafe { vreinterpretq_u8_u32(vdupq_n_u32(from.cast::<u32>().read_unaligned())) }
    }

    #[inline(always)]
    fn field(self, bytes: uint8x16_t, shift: u32, mask: u8) -> uint8x16_t {
        have!({
            let shifted = match shift {
                0 => bytes,
                2 => vshrq_n_u8::<2>(bytes),
                4 => vshrq_n_u8::<4>(bytes),
                6 => vshrq_n_u8::<6>(bytes),
                _ => vshlq_u8(bytes, vdupq_n_s8(-(shift as i8))),
            };
            vandq_u8(shifted, vdupq_n_u8(mask))
        })
    }

    #[inline(always)]
    fn lookup(self, indices: uint8x16_t, table: &[u8; 16]) -> uint8x16_t {
        have!(vqtbl1q_u8(vld1q_u8(table.as_ptr()), indices))
    }

    #[inline(always)]
    unsafe fn unpack<const BITS: usize>(self, from: *const u8, readable: usize) -> uint8x16_t {
        if readable >= BITS + 8 {
            // SAFETY: the caller promises the bytes.
            unsafe { unpack::<BITS>(from) }
        } else {
            // SAFETY: the caller promises `readable` bytes; the copy has 64.
            unsafe { unpack::<BITS>(copy_part(from, readable).as_ptr()) }
        }
    }

    #[inline(always)]
    fn transpose(self, rows: [uint8x16_t; 16]) -> [uint8x16_t; 16] {
        let mut rows = rows;
        have!({
            let [a, b, c, d] =
                [rows[0], rows[1], rows[2], rows[3]].map(|r| vreinterpretq_u32_u8(r));
            let low = |x, y| vreinterpretq_u64_u32(vtrn1q_u32(x, y));
            let high = |x, y| vreinterpretq_u64_u32(vtrn2q_u32(x, y));
            rows[0] = vreinterpretq_u8_u64(vtrn1q_u64(low(a, b), low(c, d)));
            rows[1] = vreinterpretq_u8_u64(vtrn1q_u64(high(a, b), high(c, d)));
            rows[2] = vreinterpretq_u8_u64(vtrn2q_u64(low(a, b), low(c, d)));
            rows[3] = vreinterpretq_u8_u64(vtrn2q_u64(high(a, b), high(c, d)));
        });
        rows
    }

    #[inline(always)]
    fn zero(self) -> int32x4_t {
        have!(vdupq_n_s32(0))
    }

    #[inline(always)]
    fn splat_int(self, x: i32) -> int32x4_t {
        have!(vdupq_n_s32(x))
    }

    #[inline(always)]
    fn dot<const WIDE: bool>(self, sums: int32x4_t, codes: uint8x16_t, x: uint8x16_t) -> int32x4_t {
        have!({
            let x = vreinterpretq_s8_u8(x);
            if WIDE {
                // A code is twice its upper seven bits and its lowest bit, all of them signed
                // bytes too.
                let upper = vreinterpretq_s8_u8(vshrq_n_u8::<1>(codes));
                let lowest = vreinterpretq_s8_u8(vandq_u8(codes, vdupq_n_u8(1)));
                let twice = vshlq_n_s32::<1>(self.signed_dot(vdupq_n_s32(0), upper, x));
                vaddq_s32(self.signed_dot(sums, lowest, x), twice)
            } else {
                self.signed_dot(sums, vreinterpretq_s8_u8(codes), x)
            }
        })
    }

    #[inline(always)]
    fn pair_bytes(self, bytes: uint8x16_t, second: bool) -> uint8x16_t {
        have!({
            let halves = vreinterpretq_u16_u8(bytes);
            let low = if second {
                vshrq_n_u16::<8>(halves)
            } else {
                vandq_u16(halves, vdupq_n_u16(0xff))
            };
            vreinterpretq_u8_u16(vorrq_u16(low, vdupq_n_u16(0x4300)))
        })
    }

    #[inline(always)]
    fn pair(self, low: float32x4_t, high: float32x4_t) -> uint8x16_t {
        have!({
            let (low, high) = (vreinterpretq_u16_f32(low), vreinterpretq_u16_f32(high));
            vreinterpretq_u8_u16(vtrn2q_u16(low, high))
        })
    }

    #[inline(always)]
    fn to_floats(self, ints: int32x4_t) -> float32x4_t {
        have!(vcvtq_f32_s32(ints))
    }

    #[inline(always)]
    fn as_floats(self, bits: uint8x16_t) -> float32x4_t {
        have!(vreinterpretq_f32_u8(bits))
    }

    #[inline(always)]
    fn as_ints(self, words: uint8x16_t) -> int32x4_t {
        have!(vreinterpretq_s32_u8(words))
    }

    #[inline(always)]
    unsafe fn words_of_bytes(self, from: *const u8) -> uint8x16_t {
        // SAFETY: the caller promises that four bytes can be read.
        let four = unsafe { from.cast::<u32>().read_unaligned() };
        have!({
            let halves = vget_low_u16(vmovl_u8(vcreate_u8(u64::from(four))));
            vreinterpretq_u8_u32(vmovl_u16(halves))
        })
    }

    #[inline(always)]
    unsafe fn words_of_halves(self, from: *const u8) -> uint8x16_t {
        // SAFETY: the caller promises that eight bytes can be read.
        let four = unsafe { from.cast::<u64>().read_unaligned() };
        have!(vreinterpretq_u8_u32(vmovl_u16(vcreate_u16(four))))
    }

    #[inline(always)]
    fn word_field(self, words: uint8x16_t, shift: u32, mask: u32) -> uint8x16_t {
        have!({
            let shifted = vshlq_u32(vreinterpretq_u32_u8(words), vdupq_n_s32(-(shift as i32)));
            vreinterpretq_u8_u32(vandq_u32(shifted, vdupq_n_u32(mask)))
        })
    }

    #[inline(always)]
    fn widen_bf16(self, words: uint8x16_t) -> float32x4_t {
        have!(vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_u8(words))))
    }

    #[inline(always)]
    fn widen_f16(self, words: uint8x16_t) -> float32x4_t {
        have!({
            let words = vreinterpretq_u32_u8(words);
            let magnitude = vandq_u32(words, vdupq_n_u32(0x7fff));
            let sign = vshlq_n_u32::<16>(veorq_u32(words, magnitude));
            let shifted = vshlq_n_u32::<13>(magnitude);
            let normal = vaddq_u32(shifted, vdupq_n_u32(112 << 23));
            let special = vorrq_u32(shifted, vdupq_n_u32(0x7f80_0000));
            let subnormal = vmulq_n_f32(vcvtq_f32_u32(magnitude), 1.0 / (1 << 24) as f32);
            let small = vcltq_u32(magnitude, vdupq_n_u32(0x400));
            let large = vcgeq_u32(magnitude, vdupq_n_u32(0x7c00));
            let value = vbslq_u32(small, vreinterpretq_u32_f32(subnormal), normal);
            vreinterpretq_f32_u32(vorrq_u32(vbslq_u32(large, special, value), sign))
        })
    }

    #[inline(always)]
    fn widen_e8m0(self, words: uint8x16_t) -> float32x4_t {
        have!({
            let words = vreinterpretq_u32_u8(words);
            let quiet = vdupq_n_u32(1 << 22);
            let smallest = vandq_u32(vceqq_u32(words, vdupq_n_u32(0)), quiet);
            let nan = vandq_u32(vceqq_u32(words, vdupq_n_u32(0xff)), quiet);
            let powers = vorrq_u32(vshlq_n_u32::<23>(words), smallest);
            vreinterpretq_f32_u32(vorrq_u32(powers, nan))
        })
    }

    #[inline(always)]
    fn widen_e4m3(self, words: uint8x16_t) -> float32x4_t {
        have!({
            let words = vreinterpretq_u32_u8(words);
            let magnitude = vandq_u32(words, vdupq_n_u32(0x7f));
            let sign = vshlq_n_u32::<24>(veorq_u32(words, magnitude));
            let normal = vaddq_u32(vshlq_n_u32::<20>(magnitude), vdupq_n_u32(120 << 23));
            let subnormal = vmulq_n_f32(vcvtq_f32_u32(magnitude), 1.0 / 512.0);
            let small = vcltq_u32(magnitude, vdupq_n_u32(8));
            let nan = vceqq_u32(magnitude, vdupq_n_u32(0x7f));
            let value = vbslq_u32(small, vreinterpretq_u32_f32(subnormal), normal);
            vreinterpretq_f32_u32(vorrq_u32(vorrq_u32(value, nan), sign))
        })
    }

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        have!(vdupq_n_f32(x))
    }

    #[inline(always)]
    unsafe fn load_floats(self, from: *const f32) -> float32x4_t {
        // SAFETY: the caller promises that 16 bytes can be read, and bytes need no alignment.
        unsafe { vreinterpretq_f32_u8(vld1q_u8(from.cast())) }
    }

    #[inline(always)]
    unsafe fn store_floats(self, to: *mut f32, floats: float32x4_t) {
        // SAFETY: the caller promises that 16 bytes can be written, and bytes need no alignment.
        unsafe { vst1q_u8(to.cast(), vreinterpretq_u8_f32(floats)) }
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        have!(vaddq_f32(a, b))
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        have!(vmulq_f32(a, b))
    }

    #[inline(always)]
    fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        have!(vfmaq_f32(c, a, b))
    }

    #[inline(always)]
    fn sum(self, floats: float32x4_t) -> f32 {
        have!(vaddvq_f32(floats))
    }

    #[inline(always)]
    unsafe fn pick(self, floats: float32x4_t, lanes: *const i32) -> float32x4_t {
        // SAFETY: the caller promises that 16 bytes can be read, and bytes need no alignment.
        let lanes = unsafe { vreinterpretq_u32_u8(vld1q_u8(lanes.cast())) };
        have!({
            // The four bytes of lane `i` are `4 i` and the three after it.
            let bytes = vmlaq_n_u32(vdupq_n_u32(0x0302_0100), lanes, 0x0404_0404);
            let floats = vreinterpretq_u8_f32(floats);
            vreinterpretq_f32_u8(vqtbl1q_u8(floats, vreinterpretq_u8_u32(bytes)))
        })
    }

    #[inline(always)]
    fn max_magnitude(self, most: int32x4_t, x: float32x4_t) -> int32x4_t {
        have!(vmaxq_s32(most, vreinterpretq_s32_f32(vabsq_f32(x))))
    }

    #[inline(always)]
    fn max_lane(self, ints: int32x4_t) -> i32 {
        have!(vmaxvq_s32(ints))
    }

    #[inline(always)]
    unsafe fn store_low_bytes(self, to: *mut u8, words: float32x4_t) {
        have!({
            let halves = vmovn_u32(vreinterpretq_u32_f32(words));
            let bytes = vmovn_u16(vcombine_u16(halves, halves));
            let four = vget_lane_u32::<0>(vreinterpret_u32_u8(bytes));
            // The caller promises that four bytes can be written.
            to.cast::<u32>().write_unaligned(four);
        });
    }

    #[inline(always)]
    fn reorder(self, bytes: uint8x16_t, order: &[u8; 16]) -> uint8x16_t {
        have!(vqtbl1q_u8(bytes, vld1q_u8(order.as_ptr())))
    }

    #[inline(always)]
    fn first(self, floats: float32x4_t, count: usize) -> float32x4_t {
        have!({
            let lanes =
                vreinterpretq_u32_u64(vcombine_u64(vcreate_u64(1 << 32), vcreate_u64(3 << 32 | 2)));
            let kept = vcltq_u32(lanes, vdupq_n_u32(count.min(4) as u32));
            vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(floats), kept))
        })
    }
}
