//! NEON: four lanes, 32 registers.
#![expect(unsafe_code, reason = "unaligned loads")]

use std::arch::aarch64::*;
use std::arch::asm;

use super::{Kernel, Simd};

/// Needs nothing: every 64-bit Arm has these instructions.
#[derive(Clone, Copy)]
pub(super) struct Neon;

/// Runs a kernel.
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Neon)
}

/// An instruction that every 64-bit Arm has.
macro_rules! have {
    ($instruction:expr) => {{
        // SAFETY: NEON is part of the architecture.
        unsafe { $instruction }
    }};
}

impl Simd for Neon {
    type Lanes = float32x4_t;

    const LANES: usize = 4;
    const MANY_REGISTERS: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        have!(vdupq_n_f32(x))
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> float32x4_t {
        // SAFETY: the caller promises that 16 bytes can be read, and bytes need no alignment.
        unsafe { vreinterpretq_f32_u8(vld1q_u8(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, count: usize) -> float32x4_t {
        let mut lanes = [0.0; 4];
        for (i, lane) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: the caller promises that `count` numbers can be read.
            *lane = unsafe { from.add(i).read_unaligned() };
        }
        // SAFETY: the array has four elements.
        unsafe { vld1q_f32(lanes.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, lanes: float32x4_t) {
        // SAFETY: the caller promises that 16 bytes can be written, and bytes need no alignment.
        unsafe { vst1q_u8(to.cast(), vreinterpretq_u8_f32(lanes)) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, lanes: float32x4_t, count: usize) {
        let mut all = [0.0; 4];
        // SAFETY: the array has four elements.
        unsafe { vst1q_f32(all.as_mut_ptr(), lanes) };
        for (i, &lane) in all.iter().enumerate().take(count) {
            // SAFETY: the caller promises that `count` numbers can be written.
            unsafe { to.add(i).write_unaligned(lane) };
        }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> float32x4_t {
        // SAFETY: the caller promises that eight bytes can be read, and bytes need no alignment.
        let halves = unsafe { vld1_u8(from.cast()) };
        let lanes;
        // SAFETY: the instruction is part of NEON, and reads and writes only these registers.
        unsafe {
            asm!(
                "fcvtl {lanes:v}.4s, {halves:v}.4h",
                lanes = lateout(vreg) lanes,
                halves = in(vreg) halves,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        lanes
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> float32x4_t {
        // SAFETY: the caller promises that eight bytes can be read, and bytes need no alignment.
        unsafe {
            let bits = vreinterpret_u16_u8(vld1_u8(from.cast()));
            vreinterpretq_f32_u32(vshll_n_u16::<16>(bits))
        }
    }

    #[inline(always)]
    unsafe fn load_u8(self, from: *const u8) -> float32x4_t {
        // SAFETY: the caller promises that four bytes can be read.
        unsafe { vcvtq_f32_u32(four_bytes(from)) }
    }

    #[inline(always)]
    unsafe fn load_nibbles(self, from: *const u8) -> [float32x4_t; 2] {
        // SAFETY: the caller promises that four bytes can be read.
        unsafe {
            let bytes = four_bytes(from);
            let low = vandq_u32(bytes, vdupq_n_u32(15));
            [vcvtq_f32_u32(low), vcvtq_f32_u32(vshrq_n_u32::<4>(bytes))]
        }
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        have!(vaddq_f32(a, b))
    }

    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        have!(vsubq_f32(a, b))
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        have!(vmulq_f32(a, b))
    }

    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        have!(vdivq_f32(a, b))
    }

    #[inline(always)]
    fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        have!(vfmaq_f32(c, a, b))
    }

    #[inline(always)]
    fn at_most(self, x: float32x4_t, bound: float32x4_t) -> float32x4_t {
        have!(vbslq_f32(vcltq_f32(bound, x), bound, x))
    }

    #[inline(always)]
    fn at_least(self, x: float32x4_t, bound: float32x4_t) -> float32x4_t {
        have!(vbslq_f32(vcgtq_f32(bound, x), bound, x))
    }

    #[inline(always)]
    fn where_less(
        self,
        a: float32x4_t,
        b: float32x4_t,
        yes: float32x4_t,
        no: float32x4_t,
    ) -> float32x4_t {
        have!(vbslq_f32(vcltq_f32(a, b), yes, no))
    }

    #[inline(always)]
    fn abs(self, x: float32x4_t) -> float32x4_t {
        have!(vabsq_f32(x))
    }

    #[inline(always)]
    fn power_of_two(self, n: float32x4_t) -> float32x4_t {
        have!({
            let n = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(n))
        })
    }

    #[inline(always)]
    fn sum(self, lanes: float32x4_t) -> f32 {
        have!({
            let two = vadd_f32(vget_low_f32(lanes), vget_high_f32(lanes));
            vget_lane_f32::<0>(vpadd_f32(two, two))
        })
    }
}

/// Four bytes, each in a lane.
///
/// # Safety
///
/// They can be read.
#[inline(always)]
unsafe fn four_bytes(from: *const u8) -> uint32x4_t {
    // SAFETY: the caller promises the memory; the rest needs NEON only.
    unsafe {
        let bytes = vcreate_u8(u64::from(from.cast::<u32>().read_unaligned()));
        vmovl_u16(vget_low_u16(vmovl_u8(bytes)))
    }
}
