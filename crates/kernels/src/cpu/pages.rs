//! The CPU's layout of the cache: a page holds, layer after layer, the keys and then the values,
//! each `[kv_heads][page_size][dim]`, so that one head reads one run of memory for each page.

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use super::simd::attention::{Numbers, Run};
use crate::{DType, KvLayer, Span, Tensor};

/// How many pages are allocated together.
const SLAB: usize = 32;

#[derive(Debug)]
pub(crate) struct Pages {
    layers: Vec<Layer>,
    page_size: usize,
    capacity: usize,
    page_elements: usize,
    slabs: Slabs,
}

/// A layer and where it stands in a page.
#[derive(Clone, Copy, Debug)]
struct Layer {
    shape: KvLayer,
    keys: usize,
    values: usize,
}

#[derive(Debug)]
enum Slabs {
    F32(Vec<Option<Vec<f32>>>),
    F16(Vec<Option<Vec<f16>>>),
}

impl Pages {
    #[track_caller]
    pub(crate) fn new(layers: &[KvLayer], page_size: usize, capacity: usize, dtype: DType) -> Self {
        assert!(page_size > 0, "a page holds at least one token");
        let mut page_elements = 0;
        let layers = layers.iter().map(|&shape| {
            let keys = page_elements;
            let values = keys + shape.kv_heads * shape.key_dim * page_size;
            page_elements = values + shape.kv_heads * shape.value_dim * page_size;
            Layer { shape, keys, values }
        });
        let layers = layers.collect();
        let count = capacity.div_ceil(SLAB);
        let slabs = match dtype {
            DType::F32 => Slabs::F32(vec![None; count]),
            DType::F16 => Slabs::F16(vec![None; count]),
            DType::BF16 | DType::U8 | DType::U32 => panic!("a cache of {dtype:?}"),
        };
        Self { layers, page_size, capacity, page_elements, slabs }
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
        let size = match self.slabs {
            Slabs::F32(_) => 4,
            Slabs::F16(_) => 2,
        };
        self.page_elements * size
    }

    #[track_caller]
    pub(crate) fn append(&mut self, layer: usize, k: &Tensor, v: &Tensor, spans: &[Span]) {
        let Layer { shape, keys, values } = self.layers[layer];
        let rows = spans.iter().map(|span| span.rows.len()).sum::<usize>();
        let KvLayer { kv_heads, key_dim, value_dim } = shape;
        assert_eq!(k.elements(), rows * kv_heads * key_dim, "append: keys {:?}", k.shape());
        assert_eq!(v.elements(), rows * kv_heads * value_dim, "append: values {:?}", v.shape());
        for (data, at, dim) in [(k.data(), keys, key_dim), (v.data(), values, value_dim)] {
            for span in spans {
                for (i, row) in span.rows.clone().enumerate() {
                    let position = span.start + i;
                    let page = span.pages[position / self.page_size] as usize;
                    let slot = position % self.page_size;
                    assert!(page < self.capacity, "append: page {page} of {}", self.capacity);
                    let row = &data[row * kv_heads * dim..][..kv_heads * dim];
                    for (head, from) in row.chunks_exact(dim).enumerate() {
                        let at = at + (head * self.page_size + slot) * dim;
                        self.slabs.store(page, self.page_elements, at, from);
                    }
                }
            }
        }
    }

    /// The keys that `head` of `layer` has in `page`, from `slot` on.
    #[track_caller]
    pub(crate) fn keys(&self, layer: usize, page: u32, head: usize, slot: usize) -> Run<'_> {
        let Layer { shape, keys, .. } = self.layers[layer];
        self.run(page, keys, head, slot, shape.key_dim)
    }

    /// The values that `head` of `layer` has in `page`, from `slot` on.
    #[track_caller]
    pub(crate) fn values(&self, layer: usize, page: u32, head: usize, slot: usize) -> Run<'_> {
        let Layer { shape, values, .. } = self.layers[layer];
        self.run(page, values, head, slot, shape.value_dim)
    }

    #[track_caller]
    fn run(&self, page: u32, at: usize, head: usize, slot: usize, dim: usize) -> Run<'_> {
        let page = page as usize;
        let rows = self.page_size - slot;
        let from = (page % SLAB) * self.page_elements + at + (head * self.page_size + slot) * dim;
        let range = from..from + rows * dim;
        let numbers = match &self.slabs {
            Slabs::F32(slabs) => {
                slabs.get(page / SLAB).and_then(Option::as_ref).map(|s| Numbers::F32(&s[range]))
            }
            Slabs::F16(slabs) => {
                slabs.get(page / SLAB).and_then(Option::as_ref).map(|s| Numbers::F16(&s[range]))
            }
        };
        let numbers = numbers.unwrap_or_else(|| panic!("page {page} was never written"));
        Run { numbers, rows, stride: dim }
    }

    pub(crate) fn read(&self, layer: usize, pages: &[u32], end: usize) -> (Vec<f32>, Vec<f32>) {
        let KvLayer { kv_heads, key_dim, value_dim } = self.layer(layer);
        let mut out = (vec![0.0; end * kv_heads * key_dim], vec![0.0; end * kv_heads * value_dim]);
        for position in 0..end {
            let page = pages[position / self.page_size];
            if page == Span::GONE {
                continue;
            }
            let slot = position % self.page_size;
            for head in 0..kv_heads {
                for (out, run, dim) in [
                    (&mut out.0, self.keys(layer, page, head, slot), key_dim),
                    (&mut out.1, self.values(layer, page, head, slot), value_dim),
                ] {
                    let out = &mut out[(position * kv_heads + head) * dim..][..dim];
                    match run.numbers {
                        Numbers::F32(from) => out.copy_from_slice(&from[..dim]),
                        Numbers::F16(from) => from[..dim].convert_to_f32_slice(out),
                    }
                }
            }
        }
        out
    }
}

impl Slabs {
    fn store(&mut self, page: usize, page_elements: usize, at: usize, from: &[f32]) {
        let at = (page % SLAB) * page_elements + at;
        let len = SLAB * page_elements;
        match self {
            Self::F32(slabs) => {
                let slab = slabs[page / SLAB].get_or_insert_with(|| vec![0.0; len]);
                slab[at..at + from.len()].copy_from_slice(from);
            }
            Self::F16(slabs) => {
                let slab = slabs[page / SLAB].get_or_insert_with(|| zeroed(len));
                slab[at..at + from.len()].convert_from_f32_slice(from);
            }
        }
    }
}

/// `len` zeros whose pages the system commits when they are first written.
fn zeroed(len: usize) -> Vec<f16> {
    use half::vec::HalfBitsVecExt as _;
    vec![0_u16; len].reinterpret_into()
}
