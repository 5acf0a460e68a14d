//! Three attentions over parts of the past, joined by the sums of their weights.

use std::ops::Range;

use super::{Behind, DualChunk};
use crate::cpu::Pages;
use crate::cpu::attention::{Attention, Batch, Head};
use crate::cpu::simd::attention::Group;
use crate::{KvCache, Span, Tensor};

/// Queries in a task: a group of positions stays in the cache for all of them.
const TOGETHER: usize = 64;

struct Part<'a> {
    pages: &'a Pages,
    spans: &'a [Span],
    how: DualChunk,
    behind: Behind,
}

impl Batch for Part<'_> {
    fn sequences(&self) -> usize {
        self.spans.len()
    }

    fn rows(&self, sequence: usize) -> Range<usize> {
        self.spans[sequence].rows.clone()
    }

    fn visible(&self, sequence: usize, row: usize) -> Range<usize> {
        self.how.visible(self.behind, self.spans[sequence].start + row)
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

pub(super) fn dual_chunk_attention(
    forms: [&Tensor; 3],
    cache: &KvCache,
    spans: &[Span],
    how: DualChunk,
) -> Tensor {
    let (pages, cpu) = (cache.cpu_pages(), forms[0].cpu());
    let (rows, heads) = (forms[0].shape()[0], forms[0].shape()[1]);
    let widths = pages.widths(how.layer, heads);
    let run = |form: &Tensor, behind: Behind| {
        let mut out = cpu.buffer(rows * heads * widths.value);
        let mut log_sums = cpu.buffer(rows * heads);
        let batch = Part { pages, spans, how, behind };
        let (scale, together) = (how.scale, TOGETHER);
        let attention = Attention { cpu, batch: &batch, widths, scale, together };
        attention.run(form.data(), &mut out, Some(&mut log_sums));
        (out, log_sums)
    };
    let (mut out, mut log_sums) = run(forms[0], Behind::Same);
    let longest = spans.iter().map(Span::end).max().unwrap_or(0);
    for (form, behind, from) in
        [(forms[1], Behind::Next, how.chunk), (forms[2], Behind::Far, 2 * how.chunk)]
    {
        if longest <= from {
            break;
        }
        let (more, more_sums) = run(form, behind);
        let parts = out.chunks_exact_mut(widths.value.max(1));
        let parts = parts.zip(more.chunks_exact(widths.value.max(1)));
        for (((out, more), sum), more_sum) in parts.zip(log_sums.iter_mut()).zip(more_sums.iter()) {
            if *more_sum == f32::NEG_INFINITY {
                continue;
            }
            // The share of a part is the sigmoid of the difference of the logarithms.
            let share = 1.0 / (1.0 + (*sum - more_sum).exp());
            out.iter_mut().zip(more).for_each(|(x, y)| *x += (y - *x) * share);
            let (high, low) = if *sum > *more_sum { (*sum, *more_sum) } else { (*more_sum, *sum) };
            *sum = high + (low - high).exp().ln_1p();
        }
    }
    Tensor::from_buffer(&[rows, heads * widths.value], out)
}
