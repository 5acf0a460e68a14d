//! Plain Rust: four lanes that the compiler may keep in vectors.
#![expect(unsafe_code, reason = "unaligned loads")]

use super::{CodeKernel, CodeSimd, copy_part};

/// Needs nothing.
#[derive(Clone, Copy)]
pub(super) struct Portable;

/// Runs a kernel.
pub(super) fn run<K: CodeKernel>(kernel: K) -> K::Output {
    kernel.run(Portable)
}

const LANES: usize = 4;

impl CodeSimd for Portable {
    type Bytes = [u8; 16];
    type Ints = [i32; LANES];
    type Floats = [f32; LANES];

    const LANES: usize = LANES;
    const MANY_REGISTERS: bool = false;
    const TILE: usize = 4;

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> [u8; 16] {
        // SAFETY: the caller promises that 16 bytes can be read.
        unsafe { from.cast::<[u8; 16]>().read() }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const u8, count: usize) -> [u8; 16] {
        // SAFETY: the caller promises that `count` bytes can be read.
        let bytes = unsafe { copy_part(from, count.min(16)) };
        let mut front = [0; 16];
        front.copy_from_slice(&bytes[..16]);
        front
    }

    #[inline(always)]
    unsafe fn load_halves(self, low: (*const u8, usize), high: (*const u8, usize)) -> [u8; 16] {
        let mut halves = [0; 16];
        for (to, (from, count)) in halves.as_chunks_mut::<8>().0.iter_mut().zip([low, high]) {
            // SAFETY: the caller promises the bytes.
            to.copy_from_slice(&unsafe { copy_part(from, count) }[..8]);
        }
        halves
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8, bytes: [u8; 16]) {
        // SAFETY: the caller promises that 16 bytes can be written.
        unsafe { to.cast::<[u8; 16]>().write(bytes) }
    }

    #[inline(always)]
    unsafe fn repeat(self, from: *const u8) -> [u8; 16] {
        // SAFETY: the caller promises that four bytes can be read.
        let four = unsafe { from.cast::<[u8; 4]>().read() };
        std::array::from_fn(|i| four[i % 4])
    }

    #[inline(always)]
    fn field(self, bytes: [u8; 16], shift: u32, mask: u8) -> [u8; 16] {
        bytes.map(|byte| (byte >> shift) & mask)
    }

    #[inline(always)]
    fn lookup(self, indices: [u8; 16], table: &[u8; 16]) -> [u8; 16] {
        indices.map(|index| table[usize::from(index & 15)])
    }

    #[inline(always)]
    unsafe fn unpack<const BITS: usize>(self, from: *const u8, readable: usize) -> [u8; 16] {
        // SAFETY: the caller promises that `readable` bytes can be read.
        let bytes = unsafe { copy_part(from, readable.min(2 * BITS)) };
        let mut codes = [0; 16];
        for (half, codes) in codes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let mut eight = [0; 8];
            eight[..BITS].copy_from_slice(&bytes[half * BITS..][..BITS]);
            let stream = u64::from_le_bytes(eight);
            for (i, code) in codes.iter_mut().enumerate() {
                *code = (stream >> (i * BITS)) as u8 & (0xff >> (8 - BITS));
            }
        }
        codes
    }

    #[inline(always)]
    fn transpose(self, rows: [[u8; 16]; 16]) -> [[u8; 16]; 16] {
        let mut turned = rows;
        for (i, from) in rows.iter().enumerate().take(LANES) {
            for (lane, to) in from.as_chunks::<4>().0.iter().zip(turned.iter_mut()) {
                to[4 * i..][..4].copy_from_slice(lane);
            }
        }
        turned
    }

    #[inline(always)]
    fn zero(self) -> [i32; LANES] {
        [0; LANES]
    }

    #[inline(always)]
    fn splat_int(self, x: i32) -> [i32; LANES] {
        [x; LANES]
    }

    #[inline(always)]
    fn dot<const WIDE: bool>(
        self,
        sums: [i32; LANES],
        codes: [u8; 16],
        x: [u8; 16],
    ) -> [i32; LANES] {
        let product = |i: usize| i32::from(codes[i]) * i32::from(x[i] as i8);
        std::array::from_fn(|lane| {
            let i = 4 * lane;
            sums[lane] + (product(i) + product(i + 1) + (product(i + 2) + product(i + 3)))
        })
    }

    #[inline(always)]
    fn pair_bytes(self, bytes: [u8; 16], second: bool) -> [u8; 16] {
        let at = usize::from(second);
        std::array::from_fn(|i| if i % 2 == 0 { bytes[i + at] } else { 0x43 })
    }

    #[inline(always)]
    fn pair(self, low: [f32; LANES], high: [f32; LANES]) -> [u8; 16] {
        let mut pairs = [0; 16];
        for (i, to) in pairs.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            *to = (low[i].to_bits() >> 16 | high[i].to_bits() & 0xffff_0000).to_le_bytes();
        }
        pairs
    }

    #[inline(always)]
    fn to_floats(self, ints: [i32; LANES]) -> [f32; LANES] {
        ints.map(|int| int as f32)
    }

    #[inline(always)]
    fn as_floats(self, bits: [u8; 16]) -> [f32; LANES] {
        let lanes = bits.as_chunks::<4>().0;
        std::array::from_fn(|i| f32::from_le_bytes(lanes[i]))
    }

    #[inline(always)]
    fn as_ints(self, words: [u8; 16]) -> [i32; LANES] {
        let lanes = words.as_chunks::<4>().0;
        std::array::from_fn(|i| i32::from_le_bytes(lanes[i]))
    }

    #[inline(always)]
    unsafe fn words_of_bytes(self, from: *const u8) -> [u8; 16] {
        // SAFETY: the caller promises that the bytes can be read.
        let bytes = unsafe { from.cast::<[u8; LANES]>().read() };
        std::array::from_fn(|i| if i % 4 == 0 { bytes[i / 4] } else { 0 })
    }

    #[inline(always)]
    unsafe fn words_of_halves(self, from: *const u8) -> [u8; 16] {
        // SAFETY: the caller promises that the bytes can be read.
        let bytes = unsafe { from.cast::<[u8; 2 * LANES]>().read() };
        std::array::from_fn(|i| if i % 4 < 2 { bytes[i / 4 * 2 + i % 4] } else { 0 })
    }

    #[inline(always)]
    fn word_field(self, words: [u8; 16], shift: u32, mask: u32) -> [u8; 16] {
        let mut fields = words;
        for lane in fields.as_chunks_mut::<4>().0 {
            *lane = ((u32::from_le_bytes(*lane) >> shift) & mask).to_le_bytes();
        }
        fields
    }

    #[inline(always)]
    fn widen_bf16(self, words: [u8; 16]) -> [f32; LANES] {
        self.as_ints(words).map(|word| f32::from_bits((word as u32) << 16))
    }

    #[inline(always)]
    fn widen_f16(self, words: [u8; 16]) -> [f32; LANES] {
        self.as_ints(words).map(|word| {
            let magnitude = word as u32 & 0x7fff;
            let value = match magnitude {
                0..0x400 => (magnitude as f32 / (1 << 24) as f32).to_bits(),
                0x400..0x7c00 => (magnitude << 13) + (112 << 23),
                _ => magnitude << 13 | 0x7f80_0000,
            };
            f32::from_bits(value | (word as u32 & 0x8000) << 16)
        })
    }

    #[inline(always)]
    fn widen_e8m0(self, words: [u8; 16]) -> [f32; LANES] {
        self.as_ints(words).map(|word| match word {
            0 => f32::from_bits(1 << 22),
            255 => f32::NAN,
            _ => f32::from_bits((word as u32) << 23),
        })
    }

    #[inline(always)]
    fn widen_e4m3(self, words: [u8; 16]) -> [f32; LANES] {
        self.as_ints(words).map(|word| {
            let magnitude = word as u32 & 0x7f;
            let value = match magnitude {
                0..8 => magnitude as f32 * (1.0 / 512.0),
                0x7f => f32::NAN,
                _ => f32::from_bits((magnitude << 20) + (120 << 23)),
            };
            if word & 0x80 == 0 { value } else { -value }
        })
    }

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; LANES] {
        [x; LANES]
    }

    #[inline(always)]
    unsafe fn load_floats(self, from: *const f32) -> [f32; LANES] {
        // SAFETY: the caller promises that the numbers can be read.
        unsafe { from.cast::<[f32; LANES]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store_floats(self, to: *mut f32, floats: [f32; LANES]) {
        // SAFETY: the caller promises that the numbers can be written.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(floats) }
    }

    #[inline(always)]
    fn add(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn mul(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn fma(self, a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        // Rounded twice: a fused operation would be a function call on a machine without one.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn sum(self, [a, b, c, d]: [f32; LANES]) -> f32 {
        (a + c) + (b + d)
    }

    #[inline(always)]
    unsafe fn pick(self, floats: [f32; LANES], lanes: *const i32) -> [f32; LANES] {
        // SAFETY: the caller promises that the numbers can be read.
        let lanes = unsafe { lanes.cast::<[i32; LANES]>().read_unaligned() };
        lanes.map(|lane| floats[lane as usize % LANES])
    }

    #[inline(always)]
    fn max_magnitude(self, most: [i32; LANES], x: [f32; LANES]) -> [i32; LANES] {
        std::array::from_fn(|i| most[i].max((x[i].to_bits() & 0x7fff_ffff) as i32))
    }

    #[inline(always)]
    fn max_lane(self, ints: [i32; LANES]) -> i32 {
        ints.into_iter().fold(0, i32::max)
    }

    #[inline(always)]
    unsafe fn store_low_bytes(self, to: *mut u8, words: [f32; LANES]) {
        // SAFETY: the caller promises that the bytes can be written.
        unsafe { to.cast::<[u8; LANES]>().write(words.map(|word| word.to_bits() as u8)) }
    }

    #[inline(always)]
    fn reorder(self, bytes: [u8; 16], order: &[u8; 16]) -> [u8; 16] {
        order.map(|index| bytes[usize::from(index & 15)])
    }

    #[inline(always)]
    fn first(self, floats: [f32; LANES], count: usize) -> [f32; LANES] {
        std::array::from_fn(|i| if i < count { floats[i] } else { 0.0 })
    }
}
