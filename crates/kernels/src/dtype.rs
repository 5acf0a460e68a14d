//! Element types of a [`Tensor`](crate::Tensor).

/// How one element is stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DType {
    /// IEEE 754 binary32; every activation on the CPU.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// Bytes, such as the shared exponents of the microscaling formats.
    U8,
    /// Words, such as packed codes.
    U32,
}

impl DType {
    /// The size of one element in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::U8 => 1,
        }
    }

    /// Whether elements are floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::BF16)
    }
}
