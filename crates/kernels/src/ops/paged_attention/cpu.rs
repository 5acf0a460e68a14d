//! Hands the pages of each sequence to [`Attention`].

use std::ops::Range;

use super::PagedAttention;
use crate::cpu::Pages;
use crate::cpu::attention::{Attention, Batch, Head};
use crate::cpu::simd::attention::Group;
use crate::{KvCache, Span, Tensor};

/// Queries in a task: a group of positions stays in the cache for all of them.
const TOGETHER: usize = 64;

struct Paged<'a> {
    pages: &'a Pages,
    spans: &'a [Span],
    how: PagedAttention,
}

impl Batch for Paged<'_> {
    fn sequences(&self) -> usize {
        self.spans.len()
    }

    fn rows(&self, sequence: usize) -> Range<usize> {
        self.spans[sequence].rows.clone()
    }

    fn visible(&self, sequence: usize, row: usize) -> Range<usize> {
        self.how.visible(self.spans[sequence].start + row)
    }

    fn group<'a>(&'a self, head: Head, positions: Range<usize>, room: &'a mut [f32]) -> Group<'a> {
        let pages = &self.spans[head.sequence].pages;
        self.pages.group((self.how.layer, head.head), pages, positions, room)
    }

    fn lies(&self, head: Head, position: usize) -> Option<Group<'_>> {
        let pages = &self.spans[head.sequence].pages;
        self.pages.lies((self.how.layer, head.head), pages, position)
    }
}

pub(super) fn paged_attention(
    q: &Tensor,
    cache: &KvCache,
    spans: &[Span],
    how: PagedAttention,
) -> Tensor {
    let (pages, cpu) = (cache.cpu_pages(), q.cpu());
    let (rows, heads) = (q.shape()[0], q.shape()[1]);
    let widths = pages.widths(how.layer, heads);
    let mut out = cpu.buffer(rows * heads * widths.value);
    let batch = Paged { pages, spans, how };
    let attention = Attention { cpu, batch: &batch, widths, scale: how.scale, together: TOGETHER };
    attention.run(q.data(), &mut out);
    Tensor::from_buffer(&[rows, heads * widths.value], out)
}
