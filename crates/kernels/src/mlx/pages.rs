//! MLX's layout of the cache: for each layer an array of keys and one of values,
//! `[pages * page_size, kv_heads, dim]`, so that a page is a run of rows.
//!
//! Pages that lie in a row are one view of the array, which MLX's attention reads where it lies;
//! others are gathered first. New tokens replace rows: arrays have no other way to change, but MLX
//! does it in place when nobody else holds the old one, which is why no handle on it is kept.

use std::ops::Range;
use std::sync::Arc;

use super::{Array, Mlx};
use crate::{DType, KvLayer, Span, Tensor};

/// How many pages an array has room for at least.
const LEAST: usize = 32;

#[derive(Debug)]
pub(crate) struct Pages {
    mlx: Arc<Mlx>,
    layers: Vec<Layer>,
    page_size: usize,
    capacity: usize,
    dtype: DType,
    /// Whether something was stored that is not computed yet.
    unsettled: bool,
}

#[derive(Debug)]
struct Layer {
    shape: KvLayer,
    /// How many pages the arrays have room for.
    room: usize,
    keys: Option<Array>,
    values: Option<Array>,
}

impl Pages {
    #[track_caller]
    pub(crate) fn new(
        mlx: &Arc<Mlx>,
        layers: &[KvLayer],
        page_size: usize,
        capacity: usize,
        dtype: DType,
    ) -> Self {
        assert!(page_size > 0, "a page holds at least one token");
        assert!(dtype.is_float(), "a cache of {dtype:?}");
        let empty = |&shape: &KvLayer| Layer { shape, room: 0, keys: None, values: None };
        let layers = layers.iter().map(empty).collect();
        Self { mlx: Arc::clone(mlx), layers, page_size, capacity, dtype, unsettled: false }
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
        let elements = self.layers.iter().map(|layer| layer.shape.elements()).sum::<usize>();
        elements * self.page_size * self.dtype.size()
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
        let room = self.room(layer, last as usize + 1);
        let (mlx, page_size) = (&self.mlx, self.page_size);
        let of = &mut self.layers[layer];
        for (array, new, dim) in
            [(&mut of.keys, k.array(), key_dim), (&mut of.values, v.array(), value_dim)]
        {
            let new = new.reshape(&[rows, kv_heads, dim]);
            // A cache of 16 bits keeps what activations of 16 bits are, so that nothing is rounded
            // and attention meets one type.
            let dtype = match (self.dtype, new.dtype()) {
                (DType::F16, DType::BF16) => DType::BF16,
                (dtype, _) => dtype,
            };
            let zeros = |pages| Array::zeros(mlx, &[pages * page_size, kv_heads, dim], dtype);
            let roomy = match array.take() {
                None => zeros(room),
                Some(old) if room > of.room => Array::concatenate(old, &[zeros(room - of.room)]),
                Some(old) => old,
            };
            *array = Some(roomy.store_rows(&new, &slots));
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
        let of = &self.layers[layer];
        let first = positions.start / self.page_size;
        let pages = &pages[first..positions.end.div_ceil(self.page_size)];
        for &page in pages {
            assert!((page as usize) < of.room, "page {page} was never written");
        }
        let in_a_row = pages.windows(2).all(|pair| pair[1] == pair[0] + 1);
        let skipped = positions.start - first * self.page_size;
        let run = |array: &Option<Array>| {
            let Some(array) = array else { panic!("layer {layer} was never written") };
            if in_a_row {
                let from = pages[0] as usize * self.page_size + skipped;
                return array.slice_rows(from, from + positions.len());
            }
            let gathered = array.take_blocks(self.page_size, pages);
            gathered.slice_rows(skipped, skipped + positions.len())
        };
        (run(&of.keys), run(&of.values))
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
        if std::mem::take(&mut self.unsettled) {
            let arrays = self.layers.iter().flat_map(|layer| [&layer.keys, &layer.values]);
            Array::eval(&self.mlx, arrays.flatten());
        }
    }

    /// Gives all memory back, and what was in it.
    pub(crate) fn forget(&mut self) {
        self.unsettled = false;
        for layer in &mut self.layers {
            (layer.room, layer.keys, layer.values) = (0, None, None);
        }
    }
}
