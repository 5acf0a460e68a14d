//! Tables that are only aligned: rows of segments that stand in the same columns.

use super::markers::marker;
use super::rows::Segment;

/// Rows further apart than this, in ems, do not belong to one table.
const PITCH: f32 = 3.2;

/// A table found among segments: for each of its rows the segments of each column.
#[derive(Debug)]
pub(super) struct Aligned {
    pub(super) rows: Vec<Vec<Vec<Segment>>>,
}

/// Takes the tables out of a page's segments; `rules` are the heights of horizontal lines with
/// their extents.
pub(super) fn tables(
    segments: Vec<Segment>,
    rules: &[(f32, f32, f32)],
) -> (Vec<Segment>, Vec<Aligned>) {
    let mut rows: Vec<Vec<Segment>> = Vec::new();
    for segment in segments {
        match rows.last_mut() {
            Some(row) if row[0].row == segment.row => row.push(segment),
            _ => rows.push(vec![segment]),
        }
    }
    let mut rest = Vec::new();
    let mut tables = Vec::new();
    let mut rows = rows.into_iter().peekable();
    while let Some(row) = rows.next() {
        if row.len() < 2 {
            rest.extend(row);
            continue;
        }
        let mut columns: Vec<(f32, f32)> = row.iter().map(|s| (s.x0, s.x1)).collect();
        let mut group = vec![row];
        while let Some(next) = rows.peek() {
            let last = &group[group.len() - 1];
            let pitch = next[0].baseline - last[0].baseline;
            if pitch > PITCH * last[0].size.max(next[0].size) || !fits(&mut columns, next, pitch) {
                break;
            }
            group.extend(rows.next());
        }
        // What hangs below the last full row belongs to it only when it is not a new text.
        let mut tail = Vec::new();
        while group.len() > 1 && trails(&group, &columns) {
            tail.extend(group.pop());
        }
        if is_table(&group, &columns) {
            tables.push(Aligned { rows: logical(group, &columns, rules) });
        } else {
            rest.extend(group.into_iter().flatten());
        }
        rest.extend(tail.into_iter().rev().flatten());
    }
    (rest, tables)
}

/// The column a segment stands in; `None` when it stands in several, or between two.
fn column(columns: &[(f32, f32)], segment: &Segment) -> Option<usize> {
    let mut found = None;
    for (index, c) in columns.iter().enumerate() {
        let shared = c.1.min(segment.x1) - c.0.max(segment.x0);
        if shared > 0.0 {
            if found.is_some() {
                return None;
            }
            found = Some(index);
        }
    }
    found
}

/// Whether a row stands in the columns; widens them when it does.
fn fits(columns: &mut [(f32, f32)], row: &[Segment], pitch: f32) -> bool {
    let mut wider = columns.to_vec();
    let mut taken = vec![false; columns.len()];
    for segment in row {
        let Some(index) = column(columns, segment) else {
            return false;
        };
        if std::mem::replace(&mut taken[index], true) {
            return false;
        }
        wider[index] = (wider[index].0.min(segment.x0), wider[index].1.max(segment.x1));
    }
    // A lone line in the first column is more likely the text after the table.
    if row.len() == 1 && taken[0] && pitch > 1.7 * row[0].size {
        return false;
    }
    if wider.windows(2).any(|pair| pair[0].1 >= pair[1].0) {
        return false;
    }
    columns.copy_from_slice(&wider);
    true
}

/// Whether the last row of a group is a lone line of the first column.
fn trails(group: &[Vec<Segment>], columns: &[(f32, f32)]) -> bool {
    let Some(last) = group.last() else {
        return false;
    };
    last.len() == 1 && column(columns, &last[0]) == Some(0)
}

/// Whether aligned rows are a table and not text in columns or a numbered list.
fn is_table(group: &[Vec<Segment>], columns: &[(f32, f32)]) -> bool {
    let full = group.iter().filter(|row| row.len() >= 2).count();
    let enough = if columns.len() >= 3 { 2 } else { 3 };
    if full < enough {
        return false;
    }
    let cells: Vec<(usize, &Segment)> = group
        .iter()
        .flatten()
        .filter_map(|segment| Some((column(columns, segment)?, segment)))
        .collect();
    // A list: the first column holds markers and nothing else.
    let first = cells.iter().filter(|(c, _)| *c == 0);
    let is_marker = |segment: &Segment| marker(&segment.text()).is_some();
    if columns.len() == 2 && first.clone().all(|(_, segment)| is_marker(segment)) {
        return false;
    }
    // Running text fills its columns and goes on in small letters.
    let filled = cells
        .iter()
        .filter(|(c, s)| s.width() > 0.72 * (columns[*c].1 - columns[*c].0).max(1.0))
        .count();
    let words = |s: &Segment| s.pieces.len();
    let long = cells.iter().filter(|(_, s)| words(s) >= 4).count();
    let small = cells
        .iter()
        .filter(|(_, s)| s.text().chars().next().is_some_and(char::is_lowercase))
        .count();
    let share = |count: usize| count as f32 / cells.len().max(1) as f32;
    let prose = share(small) > 0.3 && share(long) > 0.5 && share(filled) > 0.5;
    // Two columns of prose in one line each, as a parallel text has, are still prose.
    let wordy = columns.len() == 2 && share(long) > 0.8 && share(filled) > 0.6;
    !prose && !wordy
}

/// Lines of the page to rows of the table: lines between two rules are one row when rules part
/// them, and a line without a first cell continues the row above.
fn logical(
    group: Vec<Vec<Segment>>,
    columns: &[(f32, f32)],
    rules: &[(f32, f32, f32)],
) -> Vec<Vec<Vec<Segment>>> {
    let left = columns.first().map_or(0.0, |c| c.0);
    let right = columns.last().map_or(0.0, |c| c.1);
    let ruled = |above: f32, below: f32| {
        rules.iter().any(|&(y, x0, x1)| {
            y > above && y < below && x1.min(right) - x0.max(left) > 0.5 * (right - left)
        })
    };
    let baselines: Vec<f32> = group.iter().map(|row| row[0].baseline).collect();
    let parted = baselines.windows(2).filter(|pair| ruled(pair[0], pair[1])).count();
    let by_rules = parted >= 2 && parted + 1 < group.len();
    let pitches: Vec<f32> = baselines.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let tight = pitches.iter().copied().fold(f32::INFINITY, f32::min);
    let mut out: Vec<Vec<Vec<Segment>>> = Vec::new();
    for (index, row) in group.into_iter().enumerate() {
        let mut cells: Vec<Vec<Segment>> = vec![Vec::new(); columns.len()];
        for segment in row {
            if let Some(c) = column(columns, &segment) {
                cells[c].push(segment);
            }
        }
        let continues = index > 0 && {
            let pitch = pitches[index - 1];
            let near = pitch <= 1.25 * tight;
            if by_rules {
                !ruled(baselines[index - 1], baselines[index])
            } else {
                near && cells[0].is_empty() && !ruled(baselines[index - 1], baselines[index])
            }
        };
        match out.last_mut() {
            Some(last) if continues => {
                for (cell, more) in last.iter_mut().zip(cells) {
                    cell.extend(more);
                }
            }
            _ => out.push(cells),
        }
    }
    out
}
