//! Writing to people, files and pipes.

use std::io::{self, ErrorKind, Write as _};

use crate::report::{Problem, Result};

/// Writes to standard output at once. A reader who has left is no failure, but the end.
#[expect(clippy::exit, reason = "nothing that is left to do would be heard")]
pub(crate) fn write(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Problem::io("write to", "standard output".as_ref(), error)),
    }
}

/// Writes a line to standard output at once.
pub(crate) fn line(text: &str) -> Result<()> {
    write(&format!("{text}\n"))
}

/// Bytes for a person.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ if value < 9.995 => format!("{value:.2} {}", UNITS[unit]),
        _ if value < 99.95 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// A large count for a person: `1.24 B`.
pub(crate) fn count(n: u64) -> String {
    let value = n as f64;
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{:.1} K", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", value / 1e6),
        _ => format!("{:.2} B", value / 1e9),
    }
}

/// Rows as columns of equal width; the first row is the head.
pub(crate) fn table(rows: &[Vec<String>], right: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column] - cell.chars().count());
            let gap = if column == 0 { "" } else { "  " };
            let cell = if right.contains(&column) {
                format!("{pad}{cell}")
            } else {
                format!("{cell}{pad}")
            };
            line.push_str(gap);
            line.push_str(&cell);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Labels and what is to be said under them, one below the other.
#[derive(Debug, Default)]
pub(crate) struct Facts(Vec<(String, String)>);

impl Facts {
    /// Adds a line; one without a label goes on with the label above.
    pub(crate) fn add(&mut self, label: impl Into<String>, text: impl std::fmt::Display) {
        self.0.push((label.into(), text.to_string()));
    }

    /// Adds a line if there is anything to say.
    pub(crate) fn add_some(&mut self, label: &str, text: Option<impl std::fmt::Display>) {
        if let Some(text) = text {
            self.add(label, text);
        }
    }

    /// Adds an empty line.
    pub(crate) fn gap(&mut self) {
        self.add("", "");
    }

    /// All lines, indented.
    pub(crate) fn text(&self) -> String {
        let width = self.0.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        let line = |(label, text): &(String, String)| format!("  {label:<width$}  {text}");
        self.0.iter().map(|fact| format!("{}\n", line(fact).trim_end())).collect()
    }
}

/// MLX's version and the device it computes on.
pub(crate) fn mlx_name(mlx: &manager::Mlx) -> String {
    let device = if mlx.is_gpu() { "GPU" } else { "CPU" };
    let name = if mlx.name().is_empty() { String::new() } else { format!(" ({})", mlx.name()) };
    format!("MLX {} on the {device}{name}", manager::MLX_VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_digits() {
        let cases = [(0, "0 B"), (999, "999 B"), (1234, "1.23 kB"), (12_345_678, "12.3 MB")];
        for (n, text) in cases {
            assert_eq!(bytes(n), text);
        }
        assert_eq!(bytes(999_950), "1.00 MB");
        assert_eq!(bytes(u64::MAX), "18446744 TB");
    }

    #[test]
    fn facts_stand_under_their_labels() {
        let mut facts = Facts::default();
        facts.add("a", 1);
        facts.add("long", "x");
        facts.add("", "y");
        facts.gap();
        facts.add_some("none", None::<u8>);
        assert_eq!(facts.text(), "  a     1\n  long  x\n        y\n\n");
    }

    #[test]
    fn columns_line_up() {
        let rows = [["name", "size"], ["a", "1"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows, &[1]), "name  size\na        1\n");
    }
}
