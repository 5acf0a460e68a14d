//! Attention over a batch, cut into tasks: tiles of queries that share a key/value head, and
//! where there are too few of those for the threads, segments of a long past.

use std::ops::Range;
use std::sync::Arc;

use super::simd::attention::{
    Attend, Merge, Past, SEGMENT, Target, Tile, Widths, scratch_len, state_len,
};
use super::simd::dispatch;
use super::{Cpu, Isa, SharedMut};

/// Tasks for each thread below which the past is divided.
const SCARCE: usize = 4;

/// What a batch of queries looks at.
pub(crate) trait Batch: Sync {
    /// The keys and values of one head of one sequence.
    type Past<'a>: Past
    where
        Self: 'a;

    /// How many sequences there are.
    fn sequences(&self) -> usize;

    /// Which rows belong to `sequence`.
    fn rows(&self, sequence: usize) -> Range<usize>;

    /// Which positions row `row` of `sequence` sees, counted from the first row of it; both ends
    /// never decrease from row to row.
    fn visible(&self, sequence: usize, row: usize) -> Range<usize>;

    /// What head `kv_head` of `sequence` remembers.
    fn past(&self, sequence: usize, kv_head: usize) -> Self::Past<'_>;
}

/// Some queries of one sequence and key/value head.
struct Task {
    sequence: usize,
    kv_head: usize,
    /// Numbers of (row, head of the group) pairs.
    queries: Range<usize>,
    shape: Shape,
    /// The positions that any of them sees.
    positions: Range<usize>,
    /// Where its states begin, if its past is divided.
    states: usize,
}

impl Task {
    /// The parts of its past, cut at segments.
    fn segments(&self) -> Range<usize> {
        self.positions.start / SEGMENT..self.positions.end.div_ceil(SEGMENT)
    }
}

/// How a tile is computed.
#[derive(Clone, Copy)]
struct Shape {
    isa: Isa,
    /// Vectors of queries.
    vectors: usize,
    /// Queries in all.
    lanes: usize,
}

impl Shape {
    /// The tile that wastes least on `queries` queries.
    fn of(isa: Isa, queries: usize) -> Self {
        // A query computes the same in the lane of any vector, so the half of a wide machine may
        // serve where the whole would be empty.
        let isa = if isa == Isa::Avx512 && queries <= 8 { Isa::Avx2 } else { isa };
        let lanes = match isa {
            Isa::Avx512 => 16,
            Isa::Avx2 | Isa::Portable => 8,
            Isa::Neon | Isa::NeonDotprod => 4,
        };
        let vectors = if queries > lanes { 2 } else { 1 };
        Self { isa, vectors, lanes: vectors * lanes }
    }
}

/// Attends with `queries: [rows, heads, key]` and writes `out: [rows, heads, value]`.
pub(crate) fn attend<B: Batch>(
    cpu: &Arc<Cpu>,
    batch: &B,
    widths: Widths,
    scale: f32,
    queries: &[f32],
    out: &mut [f32],
) {
    let kv_heads = widths.heads / widths.group.max(1);
    let mut tasks = tasks(batch, widths, kv_heads, cpu.isa());
    let scarce = cpu.threads() > 1 && tasks.len() < SCARCE * cpu.threads();
    let mut parts = Vec::new();
    let mut states = 0;
    for (number, task) in tasks.iter_mut().enumerate() {
        let segments = task.segments();
        if scarce && segments.len() > 1 {
            task.states = states;
            let len = state_len(widths, task.shape.lanes);
            for segment in segments {
                parts.push((number, Some(segment), states));
                states += len;
            }
        } else {
            parts.push((number, None, 0));
        }
    }
    let mut states = cpu.buffer(states);
    let shared_states = SharedMut::new(&mut states);
    let shared_out = SharedMut::new(out);
    let Widths { heads, group, key, value } = widths;
    cpu.pool().run(parts.len(), |part| {
        let (number, segment, state) = parts[part];
        let task = &tasks[number];
        let rows = batch.rows(task.sequence);
        let first_head = rows.start * heads + task.kv_head * group;
        let visible: Vec<_> =
            task.queries.clone().map(|query| batch.visible(task.sequence, query / group)).collect();
        let mut scratch = cpu.buffer(scratch_len(widths, task.shape.lanes));
        let Range { start, end } = task.positions;
        let (positions, to) = match segment {
            None => (start..end, Target::Rows { all: &shared_out, at: first_head * value }),
            Some(segment) => {
                let len = state_len(widths, task.shape.lanes);
                #[expect(unsafe_code, reason = "tasks write disjoint states")]
                // SAFETY: each part has a state of its own.
                let state = unsafe { shared_states.part(state..state + len) };
                let positions = start.max(segment * SEGMENT)..end.min((segment + 1) * SEGMENT);
                (positions, Target::State(state))
            }
        };
        let tile = Tile {
            widths,
            queries: &queries[first_head * key..],
            first: task.queries.start,
            visible: &visible,
            scale,
            vectors: task.shape.vectors,
            scratch: &mut scratch,
            to,
        };
        let past = batch.past(task.sequence, task.kv_head);
        dispatch(task.shape.isa, Attend { tile, past, positions });
    });
    for task in tasks.iter().filter(|task| scarce && task.segments().len() > 1) {
        let first_head = batch.rows(task.sequence).start * heads + task.kv_head * group;
        let len = state_len(widths, task.shape.lanes) * task.segments().len();
        let merge = Merge {
            widths,
            first: task.queries.start,
            count: task.queries.len(),
            states: &mut states[task.states..][..len],
            lanes: task.shape.lanes,
            all: &shared_out,
            at: first_head * value,
        };
        dispatch(task.shape.isa, merge);
    }
}

/// The tiles of a batch. A sequence's last tiles come last and see most: threads take the last
/// task first.
fn tasks<B: Batch>(batch: &B, widths: Widths, kv_heads: usize, isa: Isa) -> Vec<Task> {
    let mut tasks = Vec::new();
    for sequence in 0..batch.sequences() {
        let all = batch.rows(sequence).len() * widths.group;
        let mut first = 0;
        while first < all {
            let shape = Shape::of(isa, all - first);
            let queries = first..(first + shape.lanes).min(all);
            first = queries.end;
            let row = |query: usize| batch.visible(sequence, query / widths.group);
            let positions = row(queries.start).start..row(queries.end - 1).end;
            for kv_head in 0..kv_heads {
                let (queries, positions) = (queries.clone(), positions.clone());
                tasks.push(Task { sequence, kv_head, queries, shape, positions, states: 0 });
            }
        }
    }
    tasks
}
