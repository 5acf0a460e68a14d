//! How a cache stores the numbers of keys and values.

use crate::{DType, Error, KvLayer, Result};

/// Keys and values as codes: `x = scale * code + bias`, in MLX's affine format, with groups along
/// the width of a head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KvQuantization {
    /// The width of a code: 4 or 8.
    pub bits: usize,
    /// Elements of a head that share a scale and a bias: 32, 64 or 128.
    pub group_size: usize,
}

impl KvQuantization {
    /// The widths of codes that there are.
    pub const BITS: [usize; 2] = [8, 4];

    /// The sizes of groups that there are.
    pub const GROUP_SIZES: [usize; 3] = [64, 32, 128];

    /// The usual groups of 64, or smaller ones if heads are no multiple of that.
    ///
    /// # Errors
    ///
    /// If there are no codes of so many bits, or no groups that divide the heads of `layers`.
    pub fn for_layers(bits: usize, layers: &[KvLayer]) -> Result<Self> {
        let [usual, smaller, _] = Self::GROUP_SIZES;
        let first = Self { bits, group_size: usual };
        let smaller = Self { bits, group_size: smaller };
        first.check(layers).map(|()| first).or_else(|_| smaller.check(layers).map(|()| smaller))
    }

    /// Whether the heads of `layers` can be stored so.
    ///
    /// # Errors
    ///
    /// If bits or groups are not among those there are, or groups do not divide a head.
    pub fn check(self, layers: &[KvLayer]) -> Result<()> {
        let Self { bits, group_size } = self;
        if !Self::BITS.contains(&bits) || !Self::GROUP_SIZES.contains(&group_size) {
            return Err(Error::KvQuantization { bits, group_size });
        }
        let dims = layers.iter().flat_map(|layer| [layer.key_dim, layer.value_dim]);
        match dims.into_iter().find(|dim| !dim.is_multiple_of(group_size)) {
            Some(dim) => Err(Error::KvGroups { dim, group_size }),
            None => Ok(()),
        }
    }
}

/// How a cache stores numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KvFormat {
    /// `F32`, `F16` or `BF16`. Over `BF16`, attention on the CPU rounds queries and weights to that
    /// as well. If numbers are stored as codes, this is what attention meets after they are decoded,
    /// and how wide their scales and biases are (on the CPU these are `F16` in place of `BF16`).
    pub dtype: DType,
    /// Codes, if numbers are not stored as they are.
    pub quantization: Option<KvQuantization>,
}

impl KvFormat {
    /// The bytes of `elements` keys or values of a head.
    pub fn bytes(self, elements: usize) -> usize {
        let size = self.dtype.size();
        match self.quantization {
            None => elements * size,
            Some(KvQuantization { bits, group_size }) => {
                elements * bits / 8 + elements / group_size * 2 * size
            }
        }
    }
}

impl From<DType> for KvFormat {
    fn from(dtype: DType) -> Self {
        Self { dtype, quantization: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(key_dim: usize, value_dim: usize) -> KvLayer {
        KvLayer { kv_heads: 1, key_dim, value_dim }
    }

    #[test]
    fn groups_divide_the_heads() {
        let group = |layers: &[KvLayer]| {
            KvQuantization::for_layers(8, layers).map(|quantization| quantization.group_size)
        };
        assert_eq!(group(&[layer(128, 64)]), Ok(64));
        assert_eq!(group(&[layer(128, 64), layer(96, 64)]), Ok(32));
        let error = group(&[layer(64, 64), layer(64, 80)]).unwrap_err();
        assert_eq!(error, Error::KvGroups { dim: 80, group_size: 32 });
        let odd = KvQuantization { bits: 3, group_size: 64 };
        let error = odd.check(&[layer(64, 64)]).unwrap_err();
        assert_eq!(error, Error::KvQuantization { bits: 3, group_size: 64 });
        let wide = KvQuantization { bits: 4, group_size: 128 };
        assert!(wide.check(&[layer(128, 256)]).is_ok() && wide.check(&[layer(64, 128)]).is_err());
    }

    #[test]
    fn codes_scales_and_biases_are_counted() {
        let format = |dtype, bits, group_size| KvFormat {
            dtype,
            quantization: Some(KvQuantization { bits, group_size }),
        };
        assert_eq!(KvFormat::from(DType::BF16).bytes(128), 256);
        assert_eq!(format(DType::F16, 8, 64).bytes(128), 128 + 8);
        assert_eq!(format(DType::F32, 4, 32).bytes(128), 64 + 32);
    }
}
