//! A tower in pieces: a layer makes new rows of old ones a group of rows at a time, and others have their turn in between.

use std::ops::Range;

use kernels::{Tensor, ops};

/// What pieces leave each other: the rows of all groups as the last layer made them, and those that this one has made so far.
#[derive(Debug)]
pub(crate) struct Halfway {
    /// All rows.
    pub(crate) x: Tensor,
    made: Vec<Tensor>,
}

impl Halfway {
    /// What a piece is given.
    ///
    /// # Panics
    ///
    /// If that is nothing.
    pub(crate) fn of(left: Vec<Tensor>) -> Self {
        let mut made = left;
        assert!(!made.is_empty(), "a piece after nothing");
        let x = made.remove(0);
        Self { x, made }
    }

    /// Those rows of `x`.
    pub(crate) fn rows(x: &Tensor, rows: &Range<usize>) -> Tensor {
        ops::take(x, &rows.clone().map(|row| row as u32).collect::<Vec<_>>())
    }

    /// Adds what the next group has become. The last of all groups of so many rows (`groups`) makes it whole.
    pub(crate) fn with(mut self, part: Tensor, groups: &[Range<usize>]) -> Self {
        self.made.push(part);
        if self.made.len() < groups.len() {
            return self;
        }
        Self { x: joined(std::mem::take(&mut self.made), groups), made: Vec::new() }
    }

    /// Whether no group has been computed since the layer before.
    pub(crate) fn is_whole(&self) -> bool {
        self.made.is_empty()
    }

    /// What is left to the next piece.
    pub(crate) fn left(self) -> Vec<Tensor> {
        [vec![self.x], self.made].concat()
    }
}

/// One below the other, in the places of `groups`.
pub(crate) fn joined(mut parts: Vec<Tensor>, groups: &[Range<usize>]) -> Tensor {
    if parts.len() == 1
        && let Some(only) = parts.pop()
    {
        return only;
    }
    let rows = groups.last().map_or(0, |group| group.end);
    let room = ops::take(&parts[0], &vec![0; rows]);
    let starts = groups.iter().map(|group| group.start);
    ops::slice_update(&room, &starts.zip(parts).collect::<Vec<_>>())
}
