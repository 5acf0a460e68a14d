//! The CPU's layout of the cache: as attention reads it, so that the past is multiplied where it
//! lies.
//!
//! A page holds, for each layer, head, and run of [`GROUP`] positions, keys `[units][positions]`
//! and values `[units of positions][elements]`, where a unit is one number, or two if they are
//! `bf16` (see [`attention`](super::simd::attention)). In a slab the same part of all of its pages
//! lies together: a sequence whose pages follow each other is read in one stretch.
//!
//! Keys and values may also be stored as [`codes`], which are decoded a group at a time, before
//! they are multiplied.
#![expect(unsafe_code, reason = "threads write disjoint parts of a slab")]

mod codes;

use std::ops::Range;
use std::sync::Arc;

use codes::{Codes, Run, Side};

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use super::simd::attention::{GROUP, Group, Widths};
use super::simd::dispatch_pairs;
use super::simd::pairs::{Narrow, pair, unpair};
use super::{Cpu, SharedMut};
use crate::{DType, KvFormat, KvLayer, Span, Tensor};

/// How many pages are allocated together.
const SLAB: usize = 32;

/// Rows from which on several threads write.
const MANY_ROWS: usize = 32;

pub(crate) struct Pages {
    cpu: Arc<Cpu>,
    layers: Vec<Layer>,
    page_size: usize,
    capacity: usize,
    page_elements: usize,
    /// Positions of a run: a group, or a page that is no multiple of one.
    run: usize,
    /// Elements in a unit.
    unit: usize,
    codes: Option<Codes>,
    slabs: Slabs,
}

/// A layer and where it stands in a page.
#[derive(Clone, Copy, Debug)]
struct Layer {
    shape: KvLayer,
    keys: usize,
    values: usize,
}

enum Slabs {
    /// Single numbers or pairs.
    Units(Vec<Option<Vec<f32>>>),
    F16(Vec<Option<Vec<f16>>>),
    Codes(Vec<Option<Vec<u8>>>),
}

/// What a head of a layer has in a page.
#[derive(Clone, Copy)]
struct Part {
    page: usize,
    /// Where the keys are in the slab, and how many numbers they are.
    keys: (usize, usize),
    values: (usize, usize),
}

impl Pages {
    #[track_caller]
    pub(crate) fn new(
        cpu: &Arc<Cpu>,
        layers: &[KvLayer],
        page_size: usize,
        capacity: usize,
        KvFormat { dtype, quantization }: KvFormat,
    ) -> Self {
        assert!(page_size > 0, "a page holds at least one token");
        let run = if page_size.is_multiple_of(GROUP) { GROUP } else { page_size };
        let unit = if dtype == DType::BF16 { 2 } else { 1 };
        let codes = quantization.map(|how| Codes { how, wide: dtype == DType::F32 });
        let count = capacity.div_ceil(SLAB);
        let slabs = match dtype {
            DType::U8 | DType::U32 => panic!("a cache of {dtype:?}"),
            _ if codes.is_some() => Slabs::Codes(vec![None; count]),
            DType::F32 | DType::BF16 => Slabs::Units(vec![None; count]),
            DType::F16 => Slabs::F16(vec![None; count]),
        };
        let (cpu, page_elements, of) = (Arc::clone(cpu), 0, layers);
        let layers = Vec::new();
        let mut pages =
            Self { cpu, layers, page_size, capacity, page_elements, run, unit, codes, slabs };
        for &shape in of {
            let keys = pages.page_elements;
            let values = keys + shape.kv_heads * pages.key_len(shape);
            pages.page_elements = values + shape.kv_heads * pages.value_len(shape);
            pages.layers.push(Layer { shape, keys, values });
        }
        pages
    }

    /// Numbers, or bytes of codes, that the keys of a head take in a page.
    fn key_len(&self, shape: KvLayer) -> usize {
        self.side_len(Side::Keys, shape.key_dim, shape.key_dim.div_ceil(self.unit) * self.run)
    }

    /// The same of values.
    fn value_len(&self, shape: KvLayer) -> usize {
        let dim = shape.value_dim;
        self.side_len(Side::Values, dim, self.run.div_ceil(self.unit) * dim)
    }

    fn side_len(&self, side: Side, dim: usize, units: usize) -> usize {
        let bytes = |codes: Codes| codes.bytes(side, Run { dim, len: self.run });
        self.page_size / self.run * self.codes.map_or(units, bytes)
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

    /// The extents of an attention by `heads` query heads over `layer`.
    pub(crate) fn widths(&self, layer: usize, heads: usize) -> Widths {
        let KvLayer { kv_heads, key_dim, value_dim } = self.layer(layer);
        Widths { heads, group: heads / kv_heads, key: key_dim, value: value_dim, unit: self.unit }
    }

    pub(crate) fn page_bytes(&self) -> usize {
        let size = match self.slabs {
            Slabs::Units(_) => 4,
            Slabs::F16(_) => 2,
            Slabs::Codes(_) => 1,
        };
        self.page_elements * size
    }

    fn part(&self, layer: usize, page: u32, head: usize) -> Part {
        let Layer { shape, keys, values } = self.layers[layer];
        let (page, in_slab) = (page as usize, page as usize % SLAB);
        let section = |first: usize, len: usize| ((first + head * len) * SLAB + in_slab * len, len);
        let (key_len, value_len) = (self.key_len(shape), self.value_len(shape));
        Part { page, keys: section(keys, key_len), values: section(values, value_len) }
    }

    /// Where element `i` of the key in `slot` is among the keys of a page: the unit, and which of
    /// its elements.
    fn key_at(&self, dim: usize, slot: usize, i: usize) -> (usize, usize) {
        let (run, slot) = (slot / self.run, slot % self.run);
        ((run * dim.div_ceil(self.unit) + i / self.unit) * self.run + slot, i % self.unit)
    }

    /// The same for a value.
    fn value_at(&self, dim: usize, slot: usize, i: usize) -> (usize, usize) {
        let (run, slot) = (slot / self.run, slot % self.run);
        ((run * self.run.div_ceil(self.unit) + slot / self.unit) * dim + i, slot % self.unit)
    }

    #[track_caller]
    pub(crate) fn append(&mut self, layer: usize, k: &Tensor, v: &Tensor, spans: &[Span]) {
        let KvLayer { kv_heads, key_dim, value_dim } = self.layer(layer);
        let rows = spans.iter().map(|span| span.rows.len()).sum::<usize>();
        assert_eq!(k.elements(), rows * kv_heads * key_dim, "append: keys {:?}", k.shape());
        assert_eq!(v.elements(), rows * kv_heads * value_dim, "append: values {:?}", v.shape());
        // All that may fail does so here: below the slabs are out of place.
        assert!(spans.iter().all(|span| span.rows.end <= rows), "append: rows of the spans");
        let len = SLAB * self.page_elements;
        for span in spans.iter().filter(|span| !span.rows.is_empty()) {
            let pages = span.start / self.page_size..(span.end() - 1) / self.page_size + 1;
            for &page in &span.pages[pages] {
                let page = page as usize;
                assert!(page < self.capacity, "append: page {page} of {}", self.capacity);
                match &mut self.slabs {
                    Slabs::Units(slabs) => {
                        slabs[page / SLAB].get_or_insert_with(|| zeroed(len));
                    }
                    Slabs::F16(slabs) => {
                        slabs[page / SLAB].get_or_insert_with(|| halves(len));
                    }
                    Slabs::Codes(slabs) => {
                        slabs[page / SLAB].get_or_insert_with(|| vec![0; len]);
                    }
                }
            }
        }
        let mut slabs = std::mem::replace(&mut self.slabs, Slabs::F16(Vec::new()));
        let shared = Shared::of(&mut slabs, self.codes);
        let write = |head: usize| self.write((layer, head), [k.data(), v.data()], spans, &shared);
        if rows < MANY_ROWS {
            (0..kv_heads).for_each(write);
        } else {
            self.cpu.pool().run(kv_heads, write);
        }
        drop(shared);
        self.slabs = slabs;
    }

    /// Where the parts of `page` are in its slab, in order.
    fn parts(&self, page: u32) -> impl Iterator<Item = Range<usize>> {
        let layers = self.layers.iter().enumerate();
        let heads = layers.flat_map(|(i, layer)| (0..layer.shape.kv_heads).map(move |h| (i, h)));
        heads.flat_map(move |(layer, head)| {
            let Part { keys, values, .. } = self.part(layer, page, head);
            [keys, values].map(|(at, len)| at..at + len)
        })
    }

    pub(crate) fn copy_of(&self, page: u32) -> Option<Vec<u8>> {
        let (slab, mut out) = (page as usize / SLAB, Vec::with_capacity(self.page_bytes()));
        match &self.slabs {
            Slabs::Units(slabs) => {
                let slab = slabs.get(slab)?.as_ref()?;
                let parts = self.parts(page).flat_map(|part| &slab[part]);
                parts.for_each(|x| out.extend_from_slice(&x.to_bits().to_le_bytes()));
            }
            Slabs::F16(slabs) => {
                let slab = slabs.get(slab)?.as_ref()?;
                let parts = self.parts(page).flat_map(|part| &slab[part]);
                parts.for_each(|x| out.extend_from_slice(&x.to_bits().to_le_bytes()));
            }
            Slabs::Codes(slabs) => {
                let slab = slabs.get(slab)?.as_ref()?;
                self.parts(page).for_each(|part| out.extend_from_slice(&slab[part]));
            }
        }
        Some(out)
    }

    pub(crate) fn put_back(&mut self, page: u32, bytes: &[u8]) -> bool {
        if page as usize >= self.capacity || bytes.len() != self.page_bytes() {
            return false;
        }
        let parts: Vec<_> = self.parts(page).collect();
        let (at, len) = (page as usize / SLAB, SLAB * self.page_elements);
        match &mut self.slabs {
            Slabs::Units(slabs) => {
                let slab = slabs[at].get_or_insert_with(|| zeroed(len));
                let from = bytes.as_chunks().0;
                for (to, from) in parts.into_iter().flatten().zip(from) {
                    slab[to] = f32::from_bits(u32::from_le_bytes(*from));
                }
            }
            Slabs::F16(slabs) => {
                let slab = slabs[at].get_or_insert_with(|| halves(len));
                let from = bytes.as_chunks().0;
                for (to, from) in parts.into_iter().flatten().zip(from) {
                    slab[to] = f16::from_bits(u16::from_le_bytes(*from));
                }
            }
            Slabs::Codes(slabs) => {
                let slab = slabs[at].get_or_insert_with(|| vec![0; len]);
                let mut from = bytes;
                for to in parts {
                    let (part, rest) = from.split_at(to.len());
                    slab[to].copy_from_slice(part);
                    from = rest;
                }
            }
        }
        true
    }

    /// Writes what one head of a layer adds.
    fn write(
        &self,
        (layer, head): (usize, usize),
        data: [&[f32]; 2],
        spans: &[Span],
        slabs: &Shared<'_>,
    ) {
        let KvLayer { kv_heads, key_dim, value_dim } = self.layer(layer);
        let mut pairs = vec![0.0; key_dim.max(value_dim).div_ceil(2)];
        for span in spans {
            for (position, row) in (span.start..).zip(span.rows.clone()) {
                let slot = position % self.page_size;
                let part = self.part(layer, span.pages[position / self.page_size], head);
                let row = row * kv_heads + head;
                let key = (true, part.keys, &data[0][row * key_dim..][..key_dim]);
                let value = (false, part.values, &data[1][row * value_dim..][..value_dim]);
                for (is_key, (at, len), from) in [key, value] {
                    match slabs {
                        Shared::Units(slabs) => {
                            let Some(slab) = &slabs[part.page / SLAB] else { continue };
                            // SAFETY: a head is written by one thread, and heads are disjoint.
                            let to = unsafe { slab.part(at..at + len) };
                            self.store(to, from, (is_key, slot), &mut pairs);
                        }
                        Shared::F16(slabs) => {
                            let Some(slab) = &slabs[part.page / SLAB] else { continue };
                            // SAFETY: as above.
                            let to = unsafe { slab.part(at..at + len) };
                            self.store_f16(to, from, (is_key, slot));
                        }
                        Shared::Codes(slabs, codes) => {
                            let Some(slab) = &slabs[part.page / SLAB] else { continue };
                            let side = if is_key { Side::Keys } else { Side::Values };
                            let (run, len) = self.run_of(*codes, side, from.len());
                            let at = at + slot / run.len * len;
                            // SAFETY: as above.
                            let to = unsafe { slab.part(at..at + len) };
                            codes.store((side, run), slot % run.len, from, to);
                        }
                    }
                }
            }
        }
    }

    /// The shape of a run of keys or values, and its bytes.
    fn run_of(&self, codes: Codes, side: Side, dim: usize) -> (Run, usize) {
        let run = Run { dim, len: self.run };
        (run, codes.bytes(side, run))
    }

    /// Writes a key or a value to its slot, in halves.
    fn store_f16(&self, to: &mut [f16], from: &[f32], (is_key, slot): (bool, usize)) {
        if is_key {
            let (first, _) = self.key_at(from.len(), slot, 0);
            let to = to[first..].iter_mut().step_by(self.run);
            to.zip(from).for_each(|(to, &x)| *to = f16::from_f32(x));
        } else {
            let (first, _) = self.value_at(from.len(), slot, 0);
            to[first..][..from.len()].convert_from_f32_slice(from);
        }
    }

    /// Writes a key or a value to its slot, in units.
    fn store(
        &self,
        to: &mut [f32],
        from: &[f32],
        (is_key, slot): (bool, usize),
        pairs: &mut [f32],
    ) {
        let dim = from.len();
        if self.unit == 1 {
            if is_key {
                let (first, _) = self.key_at(dim, slot, 0);
                let to = to[first..].iter_mut().step_by(self.run);
                to.zip(from).for_each(|(to, x)| *to = *x);
            } else {
                let (first, _) = self.value_at(dim, slot, 0);
                to[first..][..dim].copy_from_slice(from);
            }
            return;
        }
        let pairs = &mut pairs[..dim.div_ceil(2)];
        dispatch_pairs(self.cpu.isa(), Narrow { from, scale: 1.0, to: pairs });
        if is_key {
            let (first, _) = self.key_at(dim, slot, 0);
            let to = to[first..].iter_mut().step_by(self.run);
            to.zip(pairs).for_each(|(to, pair)| *to = *pair);
            return;
        }
        let (first, second) = self.value_at(dim, slot, 0);
        for (to, pairs) in to[first..][..dim].chunks_mut(2).zip(pairs) {
            let bits = pairs.to_bits();
            for (to, half) in to.iter_mut().zip([bits & 0xffff, bits >> 16]) {
                // The first of a pair of positions clears what others left in the second.
                let both = if second == 1 { to.to_bits() & 0xffff | half << 16 } else { half };
                *to = f32::from_bits(both);
            }
        }
    }

    /// The keys and values of `head` of `layer` at `positions`, which are some of one group, for
    /// the sequence in `pages`.
    #[track_caller]
    pub(crate) fn group<'a>(
        &'a self,
        (layer, head): (usize, usize),
        pages: &[u32],
        positions: Range<usize>,
        room: &'a mut [f32],
    ) -> Group<'a> {
        let widths = self.widths(layer, self.layer(layer).kv_heads);
        let (keys, values) = room.split_at_mut(widths.group_keys());
        if self.run != GROUP {
            self.gather((layer, head), pages, positions, (&mut *keys, &mut *values));
            return Group { keys, values };
        }
        let (page, key_range, value_range) = self.ranges((layer, head), pages, positions.start);
        let (key_len, value_len) = (widths.group_keys(), value_range.len());
        // Pairs of positions of which one is seen.
        let first = positions.start % GROUP;
        let rows = first / self.unit..(first + positions.len()).div_ceil(self.unit);
        let padded = widths.padded();
        match &self.slabs {
            Slabs::Units(slabs) => {
                let slab = written(slabs, page);
                let direct = &slab[value_range];
                if positions.len() == GROUP && padded == widths.value {
                    return Group { keys: &slab[key_range], values: direct };
                }
                let rows_of = values.chunks_exact_mut(padded);
                for (row, to) in rows_of.take(GROUP / self.unit).enumerate() {
                    if !rows.contains(&row) {
                        to.fill(0.0);
                        continue;
                    }
                    let from = &direct[row * widths.value..][..widths.value];
                    to[widths.value..].fill(0.0);
                    let seen = |i: usize| (first..first + positions.len()).contains(&i);
                    let mask = match self.unit {
                        1 => u32::MAX,
                        _ => {
                            let [low, high] = [2 * row, 2 * row + 1].map(|i| u32::from(seen(i)));
                            (low * 0xffff) | (high * 0xffff_0000)
                        }
                    };
                    for (to, from) in to.iter_mut().zip(from) {
                        *to = f32::from_bits(from.to_bits() & mask);
                    }
                }
                Group { keys: &slab[key_range], values }
            }
            Slabs::F16(slabs) => {
                let slab = written(slabs, page);
                slab[key_range].convert_to_f32_slice(&mut keys[..key_len]);
                let from = &slab[value_range];
                if padded == widths.value && positions.len() == GROUP {
                    from.convert_to_f32_slice(&mut values[..value_len]);
                } else {
                    let rows_of = values.chunks_exact_mut(padded);
                    for (row, to) in rows_of.take(GROUP).enumerate() {
                        to.fill(0.0);
                        if rows.contains(&row) {
                            from[row * widths.value..][..widths.value]
                                .convert_to_f32_slice(&mut to[..widths.value]);
                        }
                    }
                }
                Group { keys, values }
            }
            Slabs::Codes(slabs) => {
                let slab = written(slabs, page);
                let seen = first..first + positions.len();
                if let Some(codes) = self.codes {
                    let (isa, of) = (self.cpu.isa(), |dim| (dim, widths.unit));
                    codes.keys(isa, of(widths.key), &slab[key_range], &mut *keys);
                    let from = (&slab[value_range], seen);
                    codes.values(isa, of(widths.value), from, &mut *values);
                }
                Group { keys, values }
            }
        }
    }

    /// Where the keys and values of the group of `position` lie, if they lie as attention reads
    /// them.
    pub(crate) fn lies(
        &self,
        (layer, head): (usize, usize),
        pages: &[u32],
        position: usize,
    ) -> Option<Group<'_>> {
        let Slabs::Units(slabs) = &self.slabs else { return None };
        let widths = self.widths(layer, self.layer(layer).kv_heads);
        if self.run != GROUP || widths.padded() != widths.value {
            return None;
        }
        let (page, keys, values) = self.ranges((layer, head), pages, position);
        let slab = slabs.get(page / SLAB)?.as_ref()?;
        Some(Group { keys: &slab[keys], values: &slab[values] })
    }

    /// The page of `position`, and where its slab has the keys and values of a whole group.
    fn ranges(
        &self,
        (layer, head): (usize, usize),
        pages: &[u32],
        position: usize,
    ) -> (usize, Range<usize>, Range<usize>) {
        let part = self.part(layer, pages[position / self.page_size], head);
        let run = position % self.page_size / GROUP;
        let runs = self.page_size / GROUP;
        let range = |(first, len): (usize, usize)| {
            let len = len / runs;
            first + run * len..first + (run + 1) * len
        };
        (part.page, range(part.keys), range(part.values))
    }

    /// The same as [`group`](Self::group), number by number, from pages of any size.
    fn gather(
        &self,
        (layer, head): (usize, usize),
        pages: &[u32],
        positions: Range<usize>,
        (keys, values): (&mut [f32], &mut [f32]),
    ) {
        let widths = self.widths(layer, self.layer(layer).kv_heads);
        keys.fill(0.0);
        values.fill(0.0);
        let put = |to: &mut f32, second: usize, x: f32| {
            if self.unit == 1 {
                *to = x;
                return;
            }
            let [low, high] = unpair(*to);
            let [low, high] = if second == 1 { [low, x] } else { [x, high] };
            *to = pair((low.to_bits() >> 16) as u16, (high.to_bits() >> 16) as u16);
        };
        for position in positions {
            let page = pages[position / self.page_size];
            let (slot, at) = (position % self.page_size, position % GROUP);
            for i in 0..widths.key {
                let x = self.key(layer, page, head, (slot, i));
                put(&mut keys[i / self.unit * GROUP + at], i % self.unit, x);
            }
            for i in 0..widths.value {
                let x = self.value(layer, page, head, (slot, i));
                put(&mut values[at / self.unit * widths.padded() + i], at % self.unit, x);
            }
        }
    }

    fn key(&self, layer: usize, page: u32, head: usize, (slot, i): (usize, usize)) -> f32 {
        let part = self.part(layer, page, head);
        let dim = self.layers[layer].shape.key_dim;
        if let Some(codes) = self.codes {
            return self.decoded((codes, Side::Keys), (part.page, part.keys.0), dim, (slot, i));
        }
        let (unit, half) = self.key_at(dim, slot, i);
        self.number(part.page, part.keys.0 + unit, half)
    }

    fn value(&self, layer: usize, page: u32, head: usize, (slot, i): (usize, usize)) -> f32 {
        let part = self.part(layer, page, head);
        let dim = self.layers[layer].shape.value_dim;
        if let Some(codes) = self.codes {
            return self.decoded((codes, Side::Values), (part.page, part.values.0), dim, (slot, i));
        }
        let (unit, half) = self.value_at(dim, slot, i);
        self.number(part.page, part.values.0 + unit, half)
    }

    fn number(&self, page: usize, at: usize, half: usize) -> f32 {
        match &self.slabs {
            Slabs::Units(slabs) if self.unit == 2 => unpair(written(slabs, page)[at])[half],
            Slabs::Units(slabs) => written(slabs, page)[at],
            Slabs::F16(slabs) => written(slabs, page)[at].to_f32(),
            Slabs::Codes(_) => unreachable!("codes are decoded"),
        }
    }

    /// Element `i` of a key or value `dim` wide in `slot` of the part of `page` that begins at `at`.
    fn decoded(
        &self,
        (codes, side): (Codes, Side),
        (page, at): (usize, usize),
        dim: usize,
        (slot, i): (usize, usize),
    ) -> f32 {
        let Slabs::Codes(slabs) = &self.slabs else { unreachable!("a cache of codes") };
        let (run, len) = self.run_of(codes, side, dim);
        let bytes = &written(slabs, page)[at + slot / run.len * len..][..len];
        codes.number((side, run), (slot % run.len, i), bytes)
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
                let row = position * kv_heads + head;
                for i in 0..key_dim {
                    out.0[row * key_dim + i] = self.key(layer, page, head, (slot, i));
                }
                for i in 0..value_dim {
                    out.1[row * value_dim + i] = self.value(layer, page, head, (slot, i));
                }
            }
        }
        out
    }
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pages({} of {} tokens)", self.capacity, self.page_size)
    }
}

/// The slab that `page` is in.
#[track_caller]
fn written<T>(slabs: &[Option<Vec<T>>], page: usize) -> &[T] {
    let slab = slabs.get(page / SLAB).and_then(Option::as_ref);
    slab.unwrap_or_else(|| panic!("page {page} was never written"))
}

/// Slabs that several threads write.
enum Shared<'a> {
    Units(Vec<Option<SharedMut<'a, f32>>>),
    F16(Vec<Option<SharedMut<'a, f16>>>),
    Codes(Vec<Option<SharedMut<'a, u8>>>, Codes),
}

impl<'a> Shared<'a> {
    fn of(slabs: &'a mut Slabs, codes: Option<Codes>) -> Self {
        match slabs {
            Slabs::Codes(slabs) => match codes {
                Some(codes) => Self::Codes(share(slabs), codes),
                None => unreachable!("a cache of codes"),
            },
            Slabs::Units(slabs) => Self::Units(share(slabs)),
            Slabs::F16(slabs) => Self::F16(share(slabs)),
        }
    }
}

fn share<T>(slabs: &mut [Option<Vec<T>>]) -> Vec<Option<SharedMut<'_, T>>> {
    slabs.iter_mut().map(|slab| slab.as_mut().map(|slab| SharedMut::new(slab))).collect()
}

/// `len` zeros whose pages the system commits when they are first written.
fn zeroed(len: usize) -> Vec<f32> {
    vec![0.0; len]
}

/// The same of halves.
fn halves(len: usize) -> Vec<f16> {
    use half::vec::HalfBitsVecExt as _;
    vec![0_u16; len].reinterpret_into()
}
