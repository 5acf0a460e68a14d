//! Which instructions compare vectors, and how work is compiled for each.

use super::blocks::Blocks;
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::Isa;

/// An instruction set as far as late interaction is concerned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Level {
    /// Plain Rust.
    Portable,
    /// AVX2: bytes are widened to 16 bits, and multiplied in pairs without saturation.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// As before, and an instruction that counts bits.
    #[cfg(target_arch = "x86_64")]
    Avx512Popcnt,
    /// NEON: bytes are multiplied to 16 bits.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// NEON with `sdot`.
    #[cfg(target_arch = "aarch64")]
    NeonDotprod,
}

impl Level {
    /// The best level of a family that the machine has.
    pub(super) fn of(isa: Isa) -> Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Self::Avx2,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if is_x86_feature_detected!("avx512vpopcntdq") => Self::Avx512Popcnt,
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
    pub(super) fn all() -> Vec<Self> {
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
}

/// Work to be compiled for every level. What is between it and an instruction is `#[inline(always)]` and takes
/// no closures: those are functions of their own, which may not use the instructions.
pub(super) trait Work {
    /// Does the work. Implementations are `#[inline(always)]`.
    fn run<B: Blocks>(self, blocks: B);
}

/// Does `work` with the instructions of `level`.
#[inline]
#[cfg_attr(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    expect(unsafe_code, reason = "a level that exists may be entered")
)]
pub(super) fn dispatch<W: Work>(level: Level, work: W) {
    match level {
        Level::Portable => portable::run(work),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an open device has an instruction set that the machine has, and a level is made
        // of it.
        Level::Avx2 => unsafe { avx2::run(work) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { avx512::run(work) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above; what counts bits was detected.
        Level::Avx512Popcnt => unsafe { avx512::run_popcnt(work) },
        #[cfg(target_arch = "aarch64")]
        Level::Neon => neon::run(work),
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Level::NeonDotprod => unsafe { neon::run_dotprod(work) },
    }
}
