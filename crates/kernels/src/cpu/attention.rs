//! Attention over a batch, cut into tasks: some queries that share a key/value head, and where
//! there are too few of those for the threads, segments of a long past.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use super::simd::attention::{
    BLOCK, Finish, GROUP, Group, Merge, Pair, SCORES, SEGMENT, Single, Step, Widths, clear,
};
use super::simd::pairs::Narrow;
use super::simd::{dispatch, dispatch_pairs};
use super::{Cpu, SharedMut};

/// Tasks for each thread below which the past is divided.
const SCARCE: usize = 4;

/// Products of queries and positions, over all heads, that are not worth a second thread.
const LITTLE: usize = 4096;

/// Queries up to which memory is slower than arithmetic.
const FEW: usize = 32;

/// What a batch of queries looks at.
pub(crate) trait Batch: Sync {
    /// How many sequences there are.
    fn sequences(&self) -> usize;

    /// Which rows belong to `sequence`.
    fn rows(&self, sequence: usize) -> Range<usize>;

    /// Which positions row `row` of `sequence` sees, counted from the first row of it; both ends
    /// never decrease from row to row.
    fn visible(&self, sequence: usize, row: usize) -> Range<usize>;

    /// The keys and values of `head` at `positions`, which are some of a [`GROUP`]: where they lie,
    /// or laid out in `room`, which takes the keys and then the values of a group.
    fn group<'a>(&'a self, head: Head, positions: Range<usize>, room: &'a mut [f32]) -> Group<'a>;

    /// Where the group of keys and values at `position` lies, if it lies as it is read.
    fn lies(&self, head: Head, position: usize) -> Option<Group<'_>>;
}

/// A key/value head of a sequence of the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) sequence: usize,
    pub(crate) head: usize,
}

/// Some queries of one sequence and key/value head.
struct Task {
    head: Head,
    /// Numbers of (row, head of the group) pairs.
    queries: Range<usize>,
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

/// An attention of a batch.
pub(crate) struct Attention<'a, B> {
    pub(crate) cpu: &'a Arc<Cpu>,
    pub(crate) batch: &'a B,
    pub(crate) widths: Widths,
    pub(crate) scale: f32,
    /// Queries in a task: what reads a group at once.
    pub(crate) together: usize,
}

impl<B: Batch> Attention<'_, B> {
    /// Attends with `queries: [rows, heads, key]` and writes `out: [rows, heads, value]`, and to
    /// `log_sums: [rows, heads]` the logarithms of the sums of the exponentials of all scores. A
    /// query that sees nothing has NaN in `out`, and minus infinity there.
    pub(crate) fn run(&self, queries: &[f32], out: &mut [f32], log_sums: Option<&mut [f32]>) {
        let Self { cpu, batch, widths, .. } = *self;
        let Widths { heads, group, .. } = widths;
        let mut tasks = self.tasks();
        let work: usize = tasks.iter().map(|task| task.queries.len() * task.positions.len()).sum();
        let scarce = cpu.threads() > 1 && tasks.len() < SCARCE * cpu.threads();
        let mut parts = Vec::new();
        let mut states = 0;
        for (number, task) in tasks.iter_mut().enumerate() {
            let segments = task.segments();
            if scarce && segments.len() > 1 {
                task.states = states;
                for segment in segments {
                    parts.push((number, Some(segment), states));
                    states += task.queries.len() * widths.state();
                }
            } else {
                parts.push((number, None, 0));
            }
        }
        let mut states = cpu.buffer(states);
        let shared_states = SharedMut::new(&mut states);
        let shared_out = SharedMut::new(out);
        let log_sums = log_sums.map(SharedMut::new);
        let log_sums = log_sums.as_ref();
        let first_head =
            |task: &Task| batch.rows(task.head.sequence).start * heads + task.head.head * group;
        let part = |number: usize| {
            let (task, segment, state) = parts[number];
            let task = &tasks[task];
            let from = &queries[first_head(task) * widths.key..];
            let Range { start, end } = task.positions;
            match segment {
                None => self.part(task, from, start..end, |states| {
                    let (queries, first) = (task.queries.clone(), first_head(task));
                    let all = &shared_out;
                    let finish = Finish { widths, states, queries, all, log_sums, first };
                    dispatch(cpu.isa(), finish);
                }),
                Some(segment) => {
                    let within = start.max(segment * SEGMENT)..end.min((segment + 1) * SEGMENT);
                    self.part(task, from, within, |states| {
                        #[expect(unsafe_code, reason = "tasks write disjoint states")]
                        // SAFETY: each part has states of its own.
                        let to = unsafe { shared_states.part(state..state + states.len()) };
                        to.copy_from_slice(states);
                    });
                }
            }
        };
        if work < LITTLE {
            (0..parts.len()).for_each(part);
        } else {
            cpu.pool().run(parts.len(), part);
        }
        for task in tasks.iter().filter(|task| scarce && task.segments().len() > 1) {
            let len = task.queries.len() * widths.state();
            let states = &mut states[task.states..][..len * task.segments().len()];
            let (total, rest) = states.split_at_mut(len);
            for other in rest.chunks_exact(len) {
                dispatch(cpu.isa(), Merge { widths, total, other });
            }
            let (queries, first) = (task.queries.clone(), first_head(task));
            let all = &shared_out;
            let finish = Finish { widths, states: total, queries, all, log_sums, first };
            dispatch(cpu.isa(), finish);
        }
    }

    /// The queries of a batch in tasks. A sequence's last tasks come last and see most: threads
    /// take the last task first.
    fn tasks(&self) -> Vec<Task> {
        let Self { batch, widths: Widths { heads, group, .. }, together, .. } = *self;
        let mut tasks = Vec::new();
        for sequence in 0..batch.sequences() {
            let all = batch.rows(sequence).len() * group;
            for first in (0..all).step_by(together) {
                let queries = first..(first + together).min(all);
                let row = |query: usize| batch.visible(sequence, query / group);
                let positions = row(queries.start).start..row(queries.end - 1).end;
                for head in 0..heads / group {
                    let head = Head { sequence, head };
                    let (queries, positions) = (queries.clone(), positions.clone());
                    tasks.push(Task { head, queries, positions, states: 0 });
                }
            }
        }
        tasks
    }

    /// Computes the states of a task over `positions` and hands them to `done`. `queries` are those
    /// of the sequence from the head group on.
    fn part(
        &self,
        task: &Task,
        queries: &[f32],
        positions: Range<usize>,
        done: impl FnOnce(&[f32]),
    ) {
        let Self { cpu, batch, widths, .. } = *self;
        let (count, sequence) = (task.queries.len(), task.head.sequence);
        let row = |query: usize| batch.visible(sequence, query / widths.group);
        let visible: Vec<_> = task.queries.clone().map(row).collect();
        let len = count * widths.state();
        let units = count * widths.key_units();
        let room = widths.group_keys() + widths.group_values();
        let mut scratch = cpu.buffer(2 * len + units + SCORES + 2 * room);
        let (total, rest) = scratch.split_at_mut(len);
        let (states, rest) = rest.split_at_mut(len);
        let (units, rest) = rest.split_at_mut(units);
        let (scores, rooms) = rest.split_at_mut(SCORES);
        let (first_room, second_room) = rooms.split_at_mut(room);
        self.load(task, queries, units);
        clear(widths, total);
        let mut segment = positions.start / SEGMENT;
        let mut fresh = true;
        clear(widths, states);
        for from in (positions.start / BLOCK * BLOCK..positions.end).step_by(BLOCK) {
            if from / SEGMENT != segment {
                dispatch(cpu.isa(), Merge { widths, total, other: states });
                clear(widths, states);
                (segment, fresh) = (from / SEGMENT, false);
            }
            // A window may begin in the second half of a block, and a past end in the first.
            let middle = from + GROUP;
            let block = from..from + BLOCK;
            let some = |at: usize| at.max(positions.start)..(at + GROUP).min(positions.end);
            let from = if positions.start < middle { from } else { middle };
            let first = batch.group(task.head, some(from), first_room);
            let both = if from < middle && middle < positions.end {
                [first, batch.group(task.head, some(middle), second_room)]
            } else {
                [first; 2]
            };
            let groups = if from < middle && middle < positions.end { &both } else { &both[..1] };
            // Where there are many queries, a group is read once and used for long.
            let next = (count <= FEW && block.end + BLOCK <= positions.end)
                .then(|| [block.end, block.end + GROUP].map(|at| batch.lies(task.head, at)));
            let next = match &next {
                Some([Some(first), Some(second)]) => &[*first, *second][..],
                _ => &[],
            };
            let (queries, visible) = (&*units, &*visible);
            let (states, scores) = (&mut *states, &mut *scores);
            if widths.unit == 1 {
                let unit = PhantomData::<Single>;
                let step =
                    Step { unit, widths, queries, visible, states, scores, from, groups, next };
                dispatch(cpu.isa(), step);
            } else {
                let unit = PhantomData::<Pair>;
                let step =
                    Step { unit, widths, queries, visible, states, scores, from, groups, next };
                dispatch_pairs(cpu.isa(), step);
            }
        }
        if fresh {
            done(states);
        } else {
            dispatch(cpu.isa(), Merge { widths, total, other: states });
            done(total);
        }
    }

    /// Writes the queries of a task as units.
    fn load(&self, task: &Task, queries: &[f32], out: &mut [f32]) {
        let Widths { heads, group, key, unit, .. } = self.widths;
        let outs = out.chunks_exact_mut(self.widths.key_units().max(1));
        for (query, out) in task.queries.clone().zip(outs) {
            let at = (query / group * heads + query % group) * key;
            let query = &queries[at..][..key];
            if unit == 1 {
                out.iter_mut().zip(query).for_each(|(out, x)| *out = x * self.scale);
            } else {
                dispatch_pairs(self.cpu.isa(), Narrow { from: query, scale: self.scale, to: out });
            }
        }
    }
}
