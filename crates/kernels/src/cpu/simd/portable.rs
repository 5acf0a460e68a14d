//! Plain Rust: eight lanes that the compiler may keep in vectors.
#![expect(unsafe_code, reason = "unaligned loads")]

use half::{bf16, f16};

use super::{Kernel, Simd};

/// Needs nothing.
#[derive(Clone, Copy)]
pub(super) struct Portable;

/// Runs a kernel.
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Portable)
}

const LANES: usize = 8;

impl Simd for Portable {
    type Lanes = [f32; LANES];

    const LANES: usize = LANES;
    const MANY_REGISTERS: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::Lanes {
        [x; LANES]
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::Lanes {
        // SAFETY: the caller promises that the memory can be read.
        unsafe { from.cast::<Self::Lanes>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, count: usize) -> Self::Lanes {
        let mut lanes = [0.0; LANES];
        for (i, lane) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: the caller promises that `count` numbers can be read.
            *lane = unsafe { from.add(i).read_unaligned() };
        }
        lanes
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, lanes: Self::Lanes) {
        // SAFETY: the caller promises that the memory can be written.
        unsafe { to.cast::<Self::Lanes>().write_unaligned(lanes) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, lanes: Self::Lanes, count: usize) {
        for (i, &lane) in lanes.iter().enumerate().take(count) {
            // SAFETY: the caller promises that `count` numbers can be written.
            unsafe { to.add(i).write_unaligned(lane) };
        }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> Self::Lanes {
        // SAFETY: the caller promises that the memory can be read.
        let bits = unsafe { from.cast::<[u16; LANES]>().read_unaligned() };
        bits.map(|bits| f16::from_bits(bits).to_f32())
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> Self::Lanes {
        // SAFETY: the caller promises that the memory can be read.
        let bits = unsafe { from.cast::<[u16; LANES]>().read_unaligned() };
        bits.map(|bits| bf16::from_bits(bits).to_f32())
    }

    #[inline(always)]
    unsafe fn load_u8(self, from: *const u8) -> Self::Lanes {
        // SAFETY: the caller promises that the memory can be read.
        unsafe { from.cast::<[u8; LANES]>().read() }.map(f32::from)
    }

    #[inline(always)]
    unsafe fn load_nibbles(self, from: *const u8) -> [Self::Lanes; 2] {
        // SAFETY: the caller promises that the memory can be read.
        let bytes = unsafe { from.cast::<[u8; LANES]>().read() };
        [bytes.map(|byte| f32::from(byte & 15)), bytes.map(|byte| f32::from(byte >> 4))]
    }

    #[inline(always)]
    fn add(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes {
        std::array::from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn div(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes {
        std::array::from_fn(|i| a[i] / b[i])
    }

    #[inline(always)]
    fn fma(self, a: Self::Lanes, b: Self::Lanes, c: Self::Lanes) -> Self::Lanes {
        // Rounded twice: a fused operation would be a function call on a machine without one.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn at_most(self, x: Self::Lanes, bound: Self::Lanes) -> Self::Lanes {
        std::array::from_fn(|i| if bound[i] < x[i] { bound[i] } else { x[i] })
    }

    #[inline(always)]
    fn at_least(self, x: Self::Lanes, bound: Self::Lanes) -> Self::Lanes {
        std::array::from_fn(|i| if bound[i] > x[i] { bound[i] } else { x[i] })
    }

    #[inline(always)]
    fn where_less(
        self,
        a: Self::Lanes,
        b: Self::Lanes,
        yes: Self::Lanes,
        no: Self::Lanes,
    ) -> Self::Lanes {
        std::array::from_fn(|i| if a[i] < b[i] { yes[i] } else { no[i] })
    }

    #[inline(always)]
    fn abs(self, x: Self::Lanes) -> Self::Lanes {
        x.map(f32::abs)
    }

    #[inline(always)]
    fn power_of_two(self, n: Self::Lanes) -> Self::Lanes {
        n.map(|n| f32::from_bits((((n as i32) + 127) as u32) << 23))
    }

    #[inline(always)]
    fn sum(self, [a, b, c, d, e, f, g, h]: Self::Lanes) -> f32 {
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }
}
