//! A quantized matrix as kernels read it: in place, byte by byte, checked once.

use super::panels::{LaidOut, Panels};
use super::scales::Scale;
use crate::{QuantizationMode, QuantizedTensor};

/// What codes are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Codes {
    /// Unsigned integers of so many bits.
    Affine(usize),
    /// 4-bit floats.
    E2m1,
    /// 8-bit floats.
    E4m3,
}

/// A view of a [`QuantizedTensor`].
///
/// The lengths of the slices are what the other fields say; kernels rely on that, so only
/// [`new`](Self::new) makes one.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    rows: usize,
    columns: usize,
    group: usize,
    /// Groups of a row; the bytes of its codes, and of its scales. Not divided for again where
    /// rows are walked.
    groups: usize,
    code_bytes: usize,
    scale_bytes: usize,
    format: Codes,
    scale: Scale,
    factor: f32,
    codes: &'a [u8],
    scales: &'a [u8],
    biases: &'a [u8],
    panels: Option<&'a Panels>,
}

impl<'a> Weights<'a> {
    /// Panics unless the parts fit together: a mistake of ours, since loading has checked them.
    #[track_caller]
    pub(super) fn new(w: &'a QuantizedTensor) -> Self {
        w.validate();
        let (rows, columns, group) = (w.rows, w.columns, w.group_size);
        assert!(matches!(group, 16 | 32 | 64 | 128), "groups of {group}");
        assert!((columns * w.bits).is_multiple_of(32), "{columns} columns of {} bits", w.bits);
        let (format, scale) = match w.mode {
            QuantizationMode::Affine => (Codes::Affine(w.bits), Scale::of(w.scales.dtype())),
            QuantizationMode::Mxfp4 => (Codes::E2m1, Scale::E8m0),
            QuantizationMode::Mxfp8 => (Codes::E4m3, Scale::E8m0),
            QuantizationMode::Nvfp4 => (Codes::E2m1, Scale::E4m3),
        };
        // Codes of two bits are taken 16 at a time, and a group must hold whole ones.
        assert!(w.mode == QuantizationMode::Nvfp4 || group >= 32, "groups of {group}");
        let factor = match (w.mode, w.global_scale) {
            (QuantizationMode::Nvfp4, Some(scale)) => scale / 2688.0,
            _ => 1.0,
        };
        let biases = w.biases.as_ref().map_or(&[][..], |biases| biases.bytes());
        let (codes, scales) = (w.weight.bytes(), w.scales.bytes());
        assert_eq!(codes.len(), rows * (columns * w.bits / 8), "bytes of the codes");
        assert_eq!(scales.len(), rows * (columns / group) * scale.size(), "bytes of the scales");
        assert!(biases.len() == scales.len() || !matches!(format, Codes::Affine(_)), "biases");
        let groups = columns / group;
        let (code_bytes, scale_bytes) = (columns * w.bits / 8, groups * scale.size());
        Self {
            rows,
            columns,
            group,
            groups,
            code_bytes,
            scale_bytes,
            format,
            scale,
            factor,
            codes,
            scales,
            biases,
            panels: w.weight.laid_out().and_then(LaidOut::panels),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Elements that share a scale.
    pub(super) fn group(&self) -> usize {
        self.group
    }

    /// Groups of a row.
    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    pub(super) fn format(&self) -> Codes {
        self.format
    }

    pub(super) fn scale(&self) -> Scale {
        self.scale
    }

    /// The weight laid out, if it was.
    pub(super) fn panels(&self) -> Option<&'a Panels> {
        self.panels
    }

    /// Whether codes are whole numbers, and groups have biases.
    pub(super) fn is_affine(&self) -> bool {
        matches!(self.format, Codes::Affine(_))
    }

    /// What scales are multiplied with.
    pub(super) fn factor(&self) -> f32 {
        self.factor
    }

    /// The codes of a row, `columns * bits / 8` bytes.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> &'a [u8] {
        &self.codes[row * self.code_bytes..][..self.code_bytes]
    }

    /// The bytes of a row's codes.
    #[inline(always)]
    pub(super) fn code_bytes(&self) -> usize {
        self.code_bytes
    }

    /// Where the codes of the rows from `row` on begin, [`code_bytes`](Self::code_bytes) each; where
    /// the weight ends, its last row stands in.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    #[inline(always)]
    pub(super) fn rows_from(&self, row: usize) -> [*const u8; 16] {
        self.starts(self.row(row), row, self.code_bytes)
    }

    /// Where the scales and the biases of the rows from `row` on begin, as
    /// [`rows_from`](Self::rows_from); the same twice if there are no biases.
    #[inline(always)]
    pub(super) fn scales_from(&self, row: usize) -> [[*const u8; 16]; 2] {
        let scales = self.row_scales(row);
        let biases = if self.biases.is_empty() { scales } else { self.row_biases(row) };
        [scales, biases].map(|first| self.starts(first, row, self.scale_bytes))
    }

    #[inline(always)]
    fn starts(&self, first: &[u8], row: usize, bytes: usize) -> [*const u8; 16] {
        let last = self.rows - 1 - row;
        std::array::from_fn(|i| first.as_ptr().wrapping_add(i.min(last) * bytes))
    }

    /// All codes, all scales and all biases, which only affine formats have.
    #[inline(always)]
    pub(super) fn parts(&self) -> (&'a [u8], &'a [u8], &'a [u8]) {
        (self.codes, self.scales, self.biases)
    }

    /// The scales of a row.
    #[inline(always)]
    pub(super) fn row_scales(&self, row: usize) -> &'a [u8] {
        &self.scales[row * self.scale_bytes..][..self.scale_bytes]
    }

    /// The biases of a row; empty unless the format is affine.
    #[inline(always)]
    pub(super) fn row_biases(&self, row: usize) -> &'a [u8] {
        match self.format {
            Codes::Affine(_) => &self.biases[row * self.scale_bytes..][..self.scale_bytes],
            Codes::E2m1 | Codes::E4m3 => &[],
        }
    }

    /// All that is read of a row, in bytes.
    pub(super) fn row_bytes(&self) -> usize {
        let sets = if matches!(self.format, Codes::Affine(_)) { 2 } else { 1 };
        self.code_bytes + sets * self.scale_bytes
    }
}
