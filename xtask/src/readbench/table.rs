//! Tables as the benchmark sees them: cells, and which stand beside, above and below which.

use std::collections::BTreeSet;

use super::html;

/// How far a cell may reach. HTML has a limit of a thousand columns.
const MOST_SPAN: usize = 1000;
/// Rows and columns of a table, multiplied.
const MOST_PLACES: usize = 1 << 20;

/// A cell as it is written.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) rowspan: usize,
    pub(super) colspan: usize,
    pub(super) heading: bool,
}

/// Where a cell is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Up,
    Down,
    Left,
    Right,
}

/// A cell in its place.
#[derive(Debug)]
struct Placed {
    cell: Cell,
    row: usize,
    column: usize,
}

/// A table with its cells in place.
#[derive(Debug)]
pub(super) struct Table {
    cells: Vec<Placed>,
    /// Which cell covers each place of each row.
    rows: Vec<Vec<Option<usize>>>,
}

impl Table {
    /// Puts cells into their places; nothing if there are none.
    pub(super) fn new(written: Vec<Vec<Cell>>) -> Option<Self> {
        let mut table = Self { cells: Vec::new(), rows: Vec::new() };
        // What reaches into the next row: the cell, and for how many rows more.
        let mut reaching: Vec<Option<(usize, usize)>> = Vec::new();
        for (row, cells) in written.into_iter().enumerate() {
            let mut places = Vec::new();
            let mut cells = cells.into_iter();
            let mut next = cells.next();
            while next.is_some() || places.len() < reaching.len() {
                let column = places.len();
                if let Some((cell, more)) = reaching.get(column).copied().flatten() {
                    places.push(Some(cell));
                    reaching[column] = (more > 1).then(|| (cell, more - 1));
                    continue;
                }
                let Some(mut cell) = next.take() else {
                    places.push(None);
                    continue;
                };
                next = cells.next();
                cell.rowspan = cell.rowspan.clamp(1, MOST_SPAN);
                cell.colspan = cell.colspan.clamp(1, MOST_SPAN);
                let reach = column + cell.colspan;
                if reach > reaching.len() {
                    reaching.resize(reach, None);
                }
                let number = table.cells.len();
                let more = (cell.rowspan > 1).then(|| (number, cell.rowspan - 1));
                for place in &mut reaching[column..reach] {
                    *place = more;
                    places.push(Some(number));
                }
                table.cells.push(Placed { cell, row, column });
            }
            table.rows.push(places);
            if table.rows.len() * reaching.len() > MOST_PLACES {
                return None;
            }
        }
        while reaching.iter().any(Option::is_some)
            && table.rows.len() * reaching.len() <= MOST_PLACES
        {
            let places = reaching.iter().map(|place| place.map(|(cell, _)| cell)).collect();
            table.rows.push(places);
            for place in &mut reaching {
                *place = place.and_then(|(cell, more)| (more > 1).then(|| (cell, more - 1)));
            }
        }
        (!table.cells.is_empty()).then_some(table)
    }

    /// The texts of all cells, with their numbers.
    pub(super) fn texts(&self) -> impl Iterator<Item = (usize, &str)> {
        self.cells.iter().enumerate().map(|(number, placed)| (number, placed.cell.text.as_str()))
    }

    /// The text of a cell.
    pub(super) fn text(&self, number: usize) -> &str {
        &self.cells[number].cell.text
    }

    /// The cells that stand next to a cell on a side: several where cells span rows or columns, across gaps.
    pub(super) fn beside(&self, number: usize, side: Side) -> BTreeSet<usize> {
        let Placed { cell, row, column } = &self.cells[number];
        let (below, after) = (row + cell.rowspan, column + cell.colspan);
        let at = |row: usize, column: usize| {
            self.rows.get(row)?.get(column).copied().flatten().filter(|found| *found != number)
        };
        let width = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let rows = *row..below;
        let columns = *column..after;
        match side {
            Side::Up => columns
                .filter_map(|column| (0..*row).rev().find_map(|row| at(row, column)))
                .collect(),
            Side::Down => columns
                .filter_map(|column| (below..self.rows.len()).find_map(|row| at(row, column)))
                .collect(),
            Side::Left => rows
                .filter_map(|row| (0..*column).rev().find_map(|column| at(row, column)))
                .collect(),
            Side::Right => {
                rows.filter_map(|row| (after..width).find_map(|column| at(row, column))).collect()
            }
        }
    }

    /// The headings that are met on the way to a side, or the last cells there if none is a heading.
    pub(super) fn headings(&self, number: usize, side: Side) -> BTreeSet<usize> {
        let (mut headings, mut last) = (BTreeSet::new(), BTreeSet::new());
        let (mut seen, mut open) = (BTreeSet::new(), BTreeSet::from([number]));
        while let Some(current) = open.pop_first() {
            seen.insert(current);
            if self.cells[current].cell.heading {
                headings.insert(current);
            }
            let next = self.beside(current, side);
            if next.is_empty() {
                last.insert(current);
            }
            open.extend(next.difference(&seen));
        }
        headings.remove(&number);
        last.remove(&number);
        if headings.is_empty() { last } else { headings }
    }
}

/// The tables that are written as markdown: two or more lines with bars. The first row and the first column are headings.
pub(super) fn of_markdown(text: &str) -> Vec<Table> {
    let lines: Vec<&str> = text.trim().split('\n').collect();
    let runs = lines.split(|line| !line.contains('|'));
    runs.filter(|run| run.len() >= 2).filter_map(|run| Table::new(rows(run))).collect()
}

fn rows(lines: &[&str]) -> Vec<Vec<Cell>> {
    let dashes = |text: &str| !text.is_empty() && text.chars().all(|c| "- :".contains(c));
    let separator = lines.iter().position(|line| dashes(line.replace('|', "").trim()));
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let drawn = !line.trim().is_empty() && line.chars().all(|c| "- :|".contains(c));
        if separator == Some(index) || drawn {
            continue;
        }
        let mut parts: Vec<&str> = line.split('|').map(str::trim).collect();
        if parts.first().is_some_and(|part| part.is_empty()) {
            parts.remove(0);
        }
        if parts.last().is_some_and(|part| part.is_empty()) {
            parts.pop();
        }
        let first = rows.is_empty();
        let cells: Vec<Cell> = parts
            .iter()
            .enumerate()
            .map(|(column, text)| Cell {
                text: (*text).to_owned(),
                rowspan: 1,
                colspan: 1,
                heading: first || column == 0,
            })
            .collect();
        if !cells.is_empty() {
            rows.push(cells);
        }
    }
    rows
}

/// The tables that are written as HTML, those within others included.
pub(super) fn of_html(text: &str) -> Vec<Table> {
    let tree = html::Tree::parse(text);
    let mut tables = Vec::new();
    for table in tree.all(html::ROOT, "table") {
        let rows = tree.all(table, "tr");
        let count = rows.len();
        let mut written = Vec::with_capacity(count);
        for (index, row) in rows.into_iter().enumerate() {
            let in_head = tree.is_within(row, "thead");
            let cells = tree.children(row).filter(|cell| matches!(tree.name(*cell), "th" | "td"));
            let cells = cells.map(|cell| {
                let span = |name| {
                    let value = tree.attribute(cell, name).map(str::trim);
                    value.and_then(|value| value.parse::<usize>().ok())
                };
                let rowspan = match span("rowspan") {
                    Some(0) => count - index,
                    given => given.unwrap_or(1),
                };
                let colspan = span("colspan").unwrap_or(1).max(1);
                let heading = in_head || tree.name(cell) == "th";
                let text = tree.text(cell).trim().to_owned();
                Cell { text, rowspan, colspan, heading }
            });
            written.push(cells.collect());
        }
        tables.extend(Table::new(written));
    }
    tables
}
