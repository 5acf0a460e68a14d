//! How well a processor foresees what will be read, and where it wants to be asked for it.

use std::sync::OnceLock;

/// Where lines that are asked for go, and when asking is worth it.
///
/// Measured with one row of activations and weights of 4 bits in panels, one thread, large pages: a
/// Zen 4 reads 33 GB/s by its own foresight and 20 to 22 when it is asked; a Zen 5 reads 33 by its
/// own, 37 when asked for lines in the second level cache and 40 for lines in the first, which is
/// what its memory gives. Rows in place are read no faster from the first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Foresight {
    /// Few questions can be open: they go to the second level cache, and where memory is the limit
    /// nothing is asked.
    Own,
    /// Many can: they go to the first level, and always pay.
    Asked,
}

impl Foresight {
    /// That of this machine.
    pub(crate) fn here() -> Self {
        static HERE: OnceLock<Foresight> = OnceLock::new();
        *HERE.get_or_init(Self::look)
    }

    /// AMD's family 26 is Zen 5. What was not measured is treated as what came before.
    #[cfg(target_arch = "x86_64")]
    fn look() -> Self {
        use std::arch::x86_64::__cpuid;
        let vendor = __cpuid(0);
        let is_amd =
            [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == b"AuthenticAMD";
        if is_amd && family(__cpuid(1).eax) >= 26 { Self::Asked } else { Self::Own }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn look() -> Self {
        Self::Own
    }
}

/// The family in `eax` of leaf 1: the extended one counts from where the other ends.
#[cfg(target_arch = "x86_64")]
fn family(eax: u32) -> u32 {
    match eax >> 8 & 0xf {
        0xf => 0xf + (eax >> 20 & 0xff),
        family => family,
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn families_are_told_apart() {
        // Zen 4 (25, model 17), Zen 5 (26, model 2), and an Intel Core (6, model 151).
        assert_eq!([0x00a1_0f11, 0x00b0_0f21, 0x0009_0672].map(family), [25, 26, 6]);
    }
}
