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
    how: PagedAttention<'a>,
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
    how: PagedAttention<'_>,
) -> Tensor {
    let (pages, cpu) = (cache.cpu_pages(), q.cpu());
    let (rows, heads) = (q.shape()[0], q.shape()[1]);
    let widths = pages.widths(how.layer, heads);
    let mut out = cpu.buffer(rows * heads * widths.value);
    let batch = Paged { pages, spans, how };
    let attention = Attention { cpu, batch: &batch, widths, scale: how.scale, together: TOGETHER };
    match how.sinks {
        None => attention.run(q.data(), &mut out, None),
        Some(sinks) => {
            let mut log_sums = cpu.buffer(rows * heads);
            attention.run(q.data(), &mut out, Some(&mut log_sums));
            let parts = out.chunks_exact_mut(widths.value.max(1)).zip(log_sums.iter());
            for ((part, log_sum), sink) in parts.zip(sinks.data().iter().cycle()) {
                // What is left to the keys: their share of the sum that the sink is in, too.
                let share = 1.0 / (1.0 + (sink - log_sum).exp());
                part.iter_mut().for_each(|x| *x *= share);
            }
        }
    }
    Tensor::from_buffer(&[rows, heads * widths.value], out)
}
