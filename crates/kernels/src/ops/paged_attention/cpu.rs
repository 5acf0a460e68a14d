//! Hands the pages of each sequence to [`attend`].

use std::ops::Range;

use super::PagedAttention;
use crate::cpu::Pages;
use crate::cpu::attention::{Batch, attend};
use crate::cpu::simd::attention::{Past, Run, Widths};
use crate::{KvCache, Span, Tensor};

struct Paged<'a> {
    pages: &'a Pages,
    spans: &'a [Span],
    how: PagedAttention,
}

/// One head of one sequence.
struct Head<'a> {
    pages: &'a Pages,
    numbers: &'a [u32],
    layer: usize,
    head: usize,
}

impl Past for Head<'_> {
    #[inline(always)]
    fn keys(&self, at: usize) -> Run<'_> {
        let size = self.pages.page_size();
        self.pages.keys(self.layer, self.numbers[at / size], self.head, at % size)
    }

    #[inline(always)]
    fn values(&self, at: usize) -> Run<'_> {
        let size = self.pages.page_size();
        self.pages.values(self.layer, self.numbers[at / size], self.head, at % size)
    }
}

impl Batch for Paged<'_> {
    type Past<'a>
        = Head<'a>
    where
        Self: 'a;

    fn sequences(&self) -> usize {
        self.spans.len()
    }

    fn rows(&self, sequence: usize) -> Range<usize> {
        self.spans[sequence].rows.clone()
    }

    fn visible(&self, sequence: usize, row: usize) -> Range<usize> {
        self.how.visible(self.spans[sequence].start + row)
    }

    fn past(&self, sequence: usize, head: usize) -> Head<'_> {
        let numbers = &self.spans[sequence].pages;
        Head { pages: self.pages, numbers, layer: self.how.layer, head }
    }
}

pub(super) fn paged_attention(
    q: &Tensor,
    cache: &KvCache,
    spans: &[Span],
    how: PagedAttention,
) -> Tensor {
    let pages = cache.cpu_pages();
    let layer = pages.layer(how.layer);
    let (rows, heads, key) = (q.shape()[0], q.shape()[1], q.shape()[2]);
    let (group, value) = (heads / layer.kv_heads, layer.value_dim);
    let widths = Widths { heads, group, key, value };
    let mut out = q.cpu().buffer(rows * heads * value);
    let batch = Paged { pages, spans, how };
    attend(q.cpu(), &batch, widths, how.scale, q.data(), &mut out);
    Tensor::from_buffer(&[rows, heads * value], out)
}
