//! Values that are written as texts: bytes, times, paths.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Units, and how many of the smallest each is.
type Units = [(&'static str, f64)];

const BYTES: &Units = &[
    ("", 1.0),
    ("b", 1.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("g", 1e9),
    ("tb", 1e12),
    ("kib", 1024.0),
    ("mib", 1_048_576.0),
    ("gib", 1_073_741_824.0),
    ("tib", 1_099_511_627_776.0),
    ("m", 1e6),
];
const TIMES: &Units =
    &[("", 1.0), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];
/// There are less bytes, and less seconds, than this.
pub(super) const MOST_BYTES: f64 = 1e18;
pub(super) const MOST_SECONDS: f64 = 1e9;

/// A number of bytes: `16GB`, `7.5 GiB`, `1000`.
pub fn bytes(text: &str) -> Option<u64> {
    let bytes = scaled(text, BYTES)?;
    (0.0..MOST_BYTES).contains(&bytes).then_some(bytes as u64)
}

/// A time: `30s`, `1.5h`, `250ms`; a bare number is seconds.
pub(super) fn time(text: &str) -> Option<Duration> {
    let seconds = scaled(text, TIMES)?;
    (0.0..MOST_SECONDS).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

/// What [`bytes`] reads, as a regular expression.
pub(super) fn bytes_pattern() -> String {
    format!("^{}$", pattern(BYTES))
}

/// What [`time`] reads, as a regular expression, or `never`.
pub(super) fn time_pattern(never: bool) -> String {
    let never = if never { "|never" } else { "" };
    format!("^({}{never})$", pattern(TIMES))
}

fn pattern(units: &Units) -> String {
    let any = |letter: char| format!("[{letter}{}]", letter.to_ascii_uppercase());
    let spelled = |(unit, _): &(&str, f64)| unit.chars().map(any).collect::<String>();
    let units: Vec<_> = units.iter().map(spelled).collect();
    format!(r"([0-9]+(\.[0-9]*)?|\.[0-9]+) *({})", units.join("|"))
}

fn scaled(text: &str, units: &Units) -> Option<f64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    Some(number.parse::<f64>().ok()? * factor)
}

/// A leading `~` is the home folder.
pub(super) fn expand(text: &str) -> PathBuf {
    let path = Path::new(text);
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}

/// The parts of a key: `routes."my.task".models`.
pub(super) fn parts(key: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = key.trim();
    loop {
        let part;
        if let Some(quoted) = rest.strip_prefix('"') {
            let (inner, after) = quoted.split_once('"')?;
            (part, rest) = (inner, after);
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            (part, rest) = rest.split_at(end);
        }
        if part.is_empty() {
            return None;
        }
        parts.push(part.to_owned());
        match rest.strip_prefix('.') {
            Some(after) => rest = after,
            None if rest.is_empty() => return Some(parts),
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_times() {
        assert_eq!(bytes("16GB"), Some(16_000_000_000));
        assert_eq!(bytes("1.5 gib"), Some(1_610_612_736));
        assert_eq!(
            (bytes("0"), bytes("12"), bytes("x"), bytes("-1")),
            (Some(0), Some(12), None, None)
        );
        assert_eq!(time("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(time("1.5h"), Some(Duration::from_secs(5400)));
        assert_eq!(time("7"), Some(Duration::from_secs(7)));
        assert_eq!((time("1e30"), time("soon"), time("")), (None, None, None));
    }

    #[test]
    fn keys_have_parts() {
        let of = |key: &str| parts(key).map(|parts| parts.join("|"));
        assert_eq!(of("server.port").as_deref(), Some("server|port"));
        assert_eq!(of("models.\"a/b.c\".pinned").as_deref(), Some("models|a/b.c|pinned"));
        assert_eq!((of(""), of("a..b"), of("\"a"), of("\"a\"b")), (None, None, None, None));
    }
}
