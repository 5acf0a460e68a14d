//! MLX's layout of the cache: for each layer an array of keys and one of values,
//! `[pages * page_size, kv_heads, dim]`, so that a page is a run of rows.
//!
//! Pages that lie in a row are one view of the array, which MLX's attention reads where it lies;
//! others are gathered first. New tokens replace rows: arrays have no other way to change, but MLX
//! does it in place when nobody else holds the old one, which is why no handle on it is kept.
//!
//! Keys or values that are stored as codes are three such arrays, of codes, scales and biases, and
//! are decoded when attention asks for them.

use std::ops::Range;
use std::sync::Arc;

use super::{Array, Mlx};
use crate::{DType, KvFormat, KvLayer, KvQuantization, Span, Tensor};

/// How many pages an array has room for at least.
const LEAST: usize = 32;

#[derive(Debug)]
pub(crate) struct Pages {
    mlx: Arc<Mlx>,
    layers: Vec<Layer>,
    page_size: usize,
    capacity: usize,
    format: KvFormat,
    /// Whether something was stored that is not computed yet.
    unsettled: bool,
    /// What there was before a later step was prepared.
    marked: Option<Vec<Layer>>,
}

#[derive(Clone, Debug)]
struct Layer {
    shape: KvLayer,
    /// How many pages the arrays have room for.
    room: usize,
    keys: Option<Stored>,
    values: Option<Stored>,
}

/// Rows as they are, or their codes, scales and biases.
#[derive(Clone, Debug)]
struct Stored(Vec<Arc<Array>>);

impl Stored {
    /// `rows: [rows, kv_heads, dim]`, as `format` says.
    fn of(rows: &Array, format: KvFormat) -> Self {
        // A cache of 16 bits keeps what activations of 16 bits are, so that nothing is rounded and
        // attention meets one type.
        let dtype = match (format.dtype, rows.dtype()) {
            (DType::F16, DType::BF16) => DType::BF16,
            (dtype, _) => dtype,
        };
        let rows = rows.as_type(dtype);
        Self(match format.quantization {
            Some(how) => rows.quantize(how).map(Arc::new).into(),
            None => vec![Arc::new(rows)],
        })
    }

    /// With `more` further rows, which are zeros.
    fn grown(self, mlx: &Arc<Mlx>, more: usize, widths: &[[usize; 2]]) -> Self {
        let grow = |(array, &[heads, width]): (Arc<Array>, &[usize; 2])| {
            let zeros = Array::zeros(mlx, &[more, heads, width], array.dtype());
            Arc::new(Array::joined(&[&*array, &zeros], 0))
        };
        Self(self.0.into_iter().zip(widths).map(grow).collect())
    }

    /// Room for `rows` rows like those of `new`.
    fn room(mlx: &Arc<Mlx>, rows: usize, widths: &[[usize; 2]], new: &Self) -> Self {
        let room = |(array, &[heads, width]): (&Arc<Array>, &[usize; 2])| {
            Arc::new(Array::zeros(mlx, &[rows, heads, width], array.dtype()))
        };
        Self(new.0.iter().zip(widths).map(room).collect())
    }

    /// With the rows `slots` replaced by those of `new`.
    fn stored(self, new: &Self, slots: &[u32]) -> Self {
        let parts = self.0.into_iter().zip(&new.0);
        Self(parts.map(|(array, new)| Arc::new(array.store_rows(new, slots))).collect())
    }

    /// Some of the rows, as `part` picks them from each array, in numbers.
    fn decoded(
        &self,
        quantization: Option<KvQuantization>,
        part: impl Fn(&Array) -> Array,
    ) -> Array {
        match (&self.0[..], quantization) {
            ([codes, scales, biases], Some(how)) => {
                let [scales, biases] = [scales, biases].map(|array| {
                    let some = part(array);
                    if array.mlx().is_native() { some } else { some.as_type(DType::F32) }
                });
                Array::dequantize([&part(codes), &scales, &biases], how)
            }
            (parts, _) => part(&parts[0]),
        }
    }
}

impl Pages {
    #[track_caller]
    pub(crate) fn new(
        mlx: &Arc<Mlx>,
        layers: &[KvLayer],
        page_size: usize,
        capacity: usize,
        format: KvFormat,
    ) -> Self {
        assert!(page_size > 0, "a page holds at least one token");
        assert!(format.dtype.is_float(), "a cache of {:?}", format.dtype);
        let empty = |&shape: &KvLayer| Layer { shape, room: 0, keys: None, values: None };
        let layers = layers.iter().map(empty).collect();
        Self {
            mlx: Arc::clone(mlx),
            layers,
            page_size,
            capacity,
            format,
            unsettled: false,
            marked: None,
        }
    }

    pub(crate) fn page_size(&self) -> usize {
        self.page_size
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn layer(&self, layer: usize) -> KvLayer {
        self.layers[layer].shape
    }

    pub(crate) fn page_bytes(&self) -> usize {
        let bytes = self.layers.iter().map(|layer| layer.shape.bytes(self.format));
        bytes.sum::<usize>() * self.page_size
    }

    #[track_caller]
    pub(crate) fn append(&mut self, layer: usize, k: &Tensor, v: &Tensor, spans: &[Span]) {
        let KvLayer { kv_heads, key_dim, value_dim } = self.layers[layer].shape;
        let rows = spans.iter().map(|span| span.rows.len()).sum::<usize>();
        assert_eq!(k.elements(), rows * kv_heads * key_dim, "append: keys {:?}", k.shape());
        assert_eq!(v.elements(), rows * kv_heads * value_dim, "append: values {:?}", v.shape());
        let (slots, last) = self.slots(spans, rows);
        let Some(last) = last else { return };
        self.unsettled = true;
        let format = self.format;
        let stored = |rows_of: &Tensor, dim| {
            Stored::of(&rows_of.array().reshape(&[rows, kv_heads, dim]), format)
        };
        let new = [stored(k, key_dim), stored(v, value_dim)];
        self.store(layer, new.each_ref(), &slots, last);
    }

    /// The arrays of keys or values of a layer: the extents of a row of each.
    fn widths(&self, kv_heads: usize, dim: usize) -> Vec<[usize; 2]> {
        match self.format.quantization {
            None => vec![[kv_heads, dim]],
            Some(KvQuantization { bits, group_size }) => {
                let groups = [kv_heads, dim / group_size];
                vec![[kv_heads, dim * bits / 32], groups, groups]
            }
        }
    }

    /// Each array's rows of the page, behind a byte that says of what type they are.
    pub(crate) fn copy_of(&self, page: u32) -> Option<Vec<u8>> {
        let rows = page as usize * self.page_size..(page as usize + 1) * self.page_size;
        let mut out = Vec::new();
        for layer in &self.layers {
            if page as usize >= layer.room {
                return None;
            }
            let KvLayer { kv_heads, key_dim, value_dim } = layer.shape;
            for (stored, dim) in [(&layer.keys, key_dim), (&layer.values, value_dim)] {
                for (array, [heads, width]) in
                    stored.as_ref()?.0.iter().zip(self.widths(kv_heads, dim))
                {
                    let part = array.slice_rows(rows.start, rows.end);
                    let (dtype, len) = (part.dtype(), self.page_size * heads * width);
                    out.push(dtype.size() as u8 | u8::from(dtype == DType::BF16) << 7);
                    match dtype.size() {
                        2 => out.extend(part.read::<2>(dtype, len)?.as_flattened()),
                        4 => out.extend(part.read::<4>(dtype, len)?.as_flattened()),
                        _ => return None,
                    }
                }
            }
        }
        Some(out)
    }

    /// The rows of each side of each layer that are in such a copy.
    fn of_copy(&self, mut bytes: &[u8]) -> Option<Vec<[Stored; 2]>> {
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let KvLayer { kv_heads, key_dim, value_dim } = layer.shape;
            let mut side = |old: &Option<Stored>, dim: usize| {
                let mut arrays = Vec::new();
                for (i, [heads, width]) in self.widths(kv_heads, dim).into_iter().enumerate() {
                    let (&tag, rest) = bytes.split_first()?;
                    let is_codes = i == 0 && self.format.quantization.is_some();
                    let dtype = match (tag, is_codes) {
                        (4, true) => DType::U32,
                        (4, false) => DType::F32,
                        (2, false) => DType::F16,
                        (0x82, false) => DType::BF16,
                        _ => return None,
                    };
                    if old.as_ref().is_some_and(|old| old.0[i].dtype() != dtype) {
                        return None;
                    }
                    let len = self.page_size * heads * width * dtype.size();
                    let (part, rest) = rest.split_at_checked(len)?;
                    bytes = rest;
                    let shape = [self.page_size, heads, width];
                    arrays.push(Arc::new(Array::from_bytes(&self.mlx, &shape, dtype, part)));
                }
                Some(Stored(arrays))
            };
            layers.push([side(&layer.keys, key_dim)?, side(&layer.values, value_dim)?]);
        }
        bytes.is_empty().then_some(layers)
    }

    pub(crate) fn put_back(&mut self, page: u32, bytes: &[u8]) -> bool {
        if page as usize >= self.capacity {
            return false;
        }
        let Some(copies) = self.of_copy(bytes) else { return false };
        let first = page * self.page_size as u32;
        let slots: Vec<u32> = (first..first + self.page_size as u32).collect();
        self.unsettled = true;
        for (layer, sides) in copies.iter().enumerate() {
            self.store(layer, sides.each_ref(), &slots, page);
        }
        true
    }

    /// Replaces rows of `layer` by these keys and values; `last` is the last page among them.
    fn store(&mut self, layer: usize, new: [&Stored; 2], slots: &[u32], last: u32) {
        let KvLayer { kv_heads, key_dim, value_dim } = self.layers[layer].shape;
        let room = self.room(layer, last as usize + 1);
        let widths = [key_dim, value_dim].map(|dim| self.widths(kv_heads, dim));
        let (mlx, page_size) = (&self.mlx, self.page_size);
        let of = &mut self.layers[layer];
        for ((array, new), widths) in
            [&mut of.keys, &mut of.values].into_iter().zip(new).zip(widths)
        {
            let roomy = match array.take() {
                None => Stored::room(mlx, room * page_size, &widths, new),
                Some(old) if room > of.room => {
                    old.grown(mlx, (room - of.room) * page_size, &widths)
                }
                Some(old) => old,
            };
            *array = Some(roomy.stored(new, slots));
        }
        of.room = room;
    }

    /// The row of the arrays that each row of the batch goes to, and the last page among them.
    #[track_caller]
    fn slots(&self, spans: &[Span], rows: usize) -> (Vec<u32>, Option<u32>) {
        let (mut slots, mut last) = (vec![0; rows], None);
        for span in spans {
            for (i, row) in span.rows.clone().enumerate() {
                let position = span.start + i;
                let page = span.pages[position / self.page_size];
                let fits = (page as usize) < self.capacity;
                assert!(fits, "append: page {page} of {}", self.capacity);
                slots[row] = page * self.page_size as u32 + (position % self.page_size) as u32;
                last = last.max(Some(page));
            }
        }
        (slots, last)
    }

    /// How many pages the arrays of `layer` should have room for, to hold `needed`.
    fn room(&self, layer: usize, needed: usize) -> usize {
        let room = self.layers[layer].room;
        if needed <= room {
            return room;
        }
        needed.max(room + room / 2).max(LEAST).min(self.capacity)
    }

    /// The keys and values of `layer` at `positions` of a sequence with these `pages`.
    #[track_caller]
    pub(crate) fn past(
        &self,
        layer: usize,
        pages: &[u32],
        positions: Range<usize>,
    ) -> (Array, Array) {
        let part = self.picked(layer, pages, positions);
        let of = &self.layers[layer];
        let run = |stored: &Option<Stored>| {
            let Some(stored) = stored else { panic!("layer {layer} was never written") };
            stored.decoded(self.format.quantization, &part)
        };
        (run(&of.keys), run(&of.values))
    }

    /// What picks the rows at `positions` from an array of `layer`.
    #[track_caller]
    fn picked<'a>(
        &self,
        layer: usize,
        pages: &'a [u32],
        positions: Range<usize>,
    ) -> impl Fn(&Array) -> Array + use<'a> {
        let of = &self.layers[layer];
        let first = positions.start / self.page_size;
        let pages = &pages[first..positions.end.div_ceil(self.page_size)];
        for &page in pages {
            assert!((page as usize) < of.room, "page {page} was never written");
        }
        let in_a_row = pages.windows(2).all(|pair| pair[1] == pair[0] + 1);
        let skipped = positions.start - first * self.page_size;
        let (page_size, rows) = (self.page_size, positions.len());
        move |array| {
            if in_a_row {
                let from = pages[0] as usize * page_size + skipped;
                return array.slice_rows(from, from + rows);
            }
            let gathered = array.take_blocks(page_size, pages);
            gathered.slice_rows(skipped, skipped + rows)
        }
    }

    /// The same as codes, scales and biases, and how they are to be read, if that is what is stored.
    #[track_caller]
    pub(crate) fn codes(
        &self,
        layer: usize,
        pages: &[u32],
        positions: Range<usize>,
    ) -> Option<([[Array; 3]; 2], KvQuantization)> {
        let how = self.format.quantization?;
        let part = self.picked(layer, pages, positions);
        let of = &self.layers[layer];
        let codes = |stored: &Option<Stored>| match stored.as_ref().map(|stored| &stored.0[..]) {
            Some([codes, scales, biases]) => [part(codes), part(scales), part(biases)],
            _ => panic!("layer {layer} was never written"),
        };
        Some(([codes(&of.keys), codes(&of.values)], how))
    }

    pub(crate) fn read(&self, layer: usize, pages: &[u32], end: usize) -> (Vec<f32>, Vec<f32>) {
        let KvLayer { kv_heads, key_dim, value_dim } = self.layer(layer);
        let mut out = (Vec::new(), Vec::new());
        for (i, &page) in pages[..end.div_ceil(self.page_size)].iter().enumerate() {
            let rows = self.page_size.min(end - i * self.page_size);
            let (key, value) = (rows * kv_heads * key_dim, rows * kv_heads * value_dim);
            if page == Span::GONE {
                out.0.resize(out.0.len() + key, 0.0);
                out.1.resize(out.1.len() + value, 0.0);
                continue;
            }
            let (keys, values) = self.past(layer, &[page], 0..rows);
            out.0.extend(keys.to_f32(key));
            out.1.extend(values.to_f32(value));
        }
        out
    }

    /// Computes what was stored, so that no graph waits for a later step.
    pub(crate) fn settle(&mut self) {
        self.marked = None;
        if std::mem::take(&mut self.unsettled) {
            Array::eval(&self.mlx, arrays(&self.layers));
        }
    }

    /// Begins to compute what was stored and `beside`. A mark would be a second handle on arrays
    /// that are to be written in place, so it goes first.
    pub(crate) fn start(&mut self, beside: Option<&Array>) {
        self.marked = None;
        let unsettled = std::mem::take(&mut self.unsettled);
        let stored = arrays(&self.layers).filter(|_| unsettled);
        Array::start(&self.mlx, stored.chain(beside));
    }

    pub(crate) fn mark(&mut self) {
        self.marked = Some(self.layers.clone());
    }

    pub(crate) fn wait(&self) {
        Array::wait(&self.mlx, arrays(self.marked.as_ref().unwrap_or(&self.layers)));
    }

    pub(crate) fn revert(&mut self) {
        if let Some(marked) = self.marked.take() {
            (self.layers, self.unsettled) = (marked, false);
        }
    }

    /// Gives all memory back, and what was in it.
    pub(crate) fn forget(&mut self) {
        (self.unsettled, self.marked) = (false, None);
        for layer in &mut self.layers {
            (layer.room, layer.keys, layer.values) = (0, None, None);
        }
    }
}

/// All arrays of `layers` that there are.
fn arrays(layers: &[Layer]) -> impl Iterator<Item = &Array> {
    let stored = layers.iter().flat_map(|layer| [&layer.keys, &layer.values]);
    stored.flatten().flat_map(|stored| &stored.0).map(|array| &**array)
}
