//! What requests took, by task and by who answered: counts, errors, tokens, and medians of times. A pure aggregate of
//! bounded size.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

/// The most pairs of a task and a backend that are told apart; others are counted together.
const MOST: usize = 256;
/// Steps of a sketch within a doubling: its quantiles are within 4.5 % of the truth.
const STEPS: f64 = 8.0;
/// Cells of a sketch: from a microsecond to more than a day, or from a thousandth to a billion.
const CELLS: usize = 320;
/// The smallest value that has a cell of its own.
const SMALLEST: f64 = 1e-3;

/// Positive numbers, counted in cells that grow by a constant factor.
#[derive(Clone, Debug, PartialEq)]
pub struct Sketch {
    cells: Vec<u32>,
    count: u64,
}

impl Default for Sketch {
    fn default() -> Self {
        Self { cells: vec![0; CELLS], count: 0 }
    }
}

impl Sketch {
    /// Counts `value`. What is no positive number is not counted.
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() || value <= 0.0 {
            return;
        }
        let at = ((value / SMALLEST).log2() * STEPS).floor().clamp(0.0, (CELLS - 1) as f64);
        let cell = &mut self.cells[at as usize];
        *cell = cell.saturating_add(1);
        self.count += 1;
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value below which the part `share` of all lies; `None` if there are none.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total: u64 = self.cells.iter().map(|&cell| u64::from(cell)).sum();
        let rank = (share.clamp(0.0, 1.0) * total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, &cell) in self.cells.iter().enumerate() {
            seen += u64::from(cell);
            if seen >= rank {
                return Some(SMALLEST * ((at as f64 + 0.5) / STEPS).exp2());
            }
        }
        None
    }

    /// The value in the middle.
    pub fn median(&self) -> Option<f64> {
        self.quantile(0.5)
    }
}

/// What one request took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Whether it failed.
    pub failed: bool,
    /// Whether another was to answer it first.
    pub fallback: bool,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer; for embeddings 0.
    pub completion_tokens: u64,
    /// From the request to the first token.
    pub first_token: Option<Duration>,
    /// From the request to the end.
    pub total: Duration,
    /// From the first token to the last.
    pub decode: Option<Duration>,
}

/// What requests of one task took at one backend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Requests.
    pub count: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those that another was to answer first.
    pub fallbacks: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// Seconds to the first token.
    pub first_token: Sketch,
    /// Seconds in all.
    pub total: Sketch,
    /// Tokens a second, after the first.
    pub rate: Sketch,
}

impl Row {
    fn add(&mut self, sample: &Sample) {
        self.count += 1;
        self.errors += u64::from(sample.failed);
        self.fallbacks += u64::from(sample.fallback);
        self.prompt_tokens = self.prompt_tokens.saturating_add(sample.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(sample.completion_tokens);
        if sample.failed {
            // A failure is quick: it would make a backend look good.
            return;
        }
        if let Some(first) = sample.first_token {
            self.first_token.add(first.as_secs_f64());
        }
        self.total.add(sample.total.as_secs_f64());
        if let Some(decode) = sample.decode.filter(|_| sample.completion_tokens > 1) {
            self.rate.add((sample.completion_tokens - 1) as f64 / decode.as_secs_f64());
        }
    }

    /// As JSON; times in seconds.
    pub fn json(&self) -> Value {
        let of = |sketch: &Sketch| json!({ "median": sketch.median(), "p95": sketch.quantile(0.95), "count": sketch.count() });
        json!({
            "count": self.count,
            "errors": self.errors,
            "fallbacks": self.fallbacks,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "first_token_seconds": of(&self.first_token),
            "total_seconds": of(&self.total),
            "tokens_per_second": of(&self.rate),
        })
    }
}

/// How two backends do the same task, the second beside the first.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The task.
    pub task: String,
    /// The backends.
    pub backends: [String; 2],
    /// Seconds to the first token, second over first: below 1 the second is quicker.
    pub first_token: Option<f64>,
    /// Tokens a second, second over first: above 1 the second is quicker.
    pub rate: Option<f64>,
    /// Shares of requests that failed.
    pub errors: [f64; 2],
}

/// All requests of a server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    rows: BTreeMap<(String, String), Row>,
}

impl Stats {
    /// Counts a request of `task` that `backend` answered.
    pub fn add(&mut self, task: &str, backend: &str, sample: &Sample) {
        let key = (task.to_owned(), backend.to_owned());
        let known = self.rows.contains_key(&key);
        let key =
            if known || self.rows.len() < MOST { key } else { ("other".into(), "other".into()) };
        self.rows.entry(key).or_default().add(sample);
    }

    /// What was counted, by task and backend.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &str, &Row)> {
        self.rows.iter().map(|((task, backend), row)| (task.as_str(), backend.as_str(), row))
    }

    /// Pairs of backends that have both answered the same task at least `least` times without failing.
    pub fn compare(&self, least: u64) -> Vec<Comparison> {
        let mut found = Vec::new();
        for (at, ((task, first), row)) in self.rows.iter().enumerate() {
            for ((other, second), beside) in self.rows.iter().skip(at + 1) {
                let enough = |row: &Row| row.count - row.errors >= least.max(1);
                if task != other || !enough(row) || !enough(beside) {
                    continue;
                }
                let over = |a: &Sketch, b: &Sketch| Some(b.median()? / a.median()?);
                found.push(Comparison {
                    task: task.clone(),
                    backends: [first.clone(), second.clone()],
                    first_token: over(&row.first_token, &beside.first_token),
                    rate: over(&row.rate, &beside.rate),
                    errors: [row, beside].map(|row| row.errors as f64 / row.count as f64),
                });
            }
        }
        found
    }

    /// All of it as JSON.
    pub fn json(&self) -> Value {
        let rows = self.rows().map(|(task, backend, row)| {
            let mut row = row.json();
            row["task"] = json!(task);
            row["backend"] = json!(backend);
            row
        });
        let comparisons = self.compare(3).into_iter().map(|comparison| {
            json!({
                "task": comparison.task,
                "backends": comparison.backends,
                "first_token": comparison.first_token,
                "tokens_per_second": comparison.rate,
                "errors": comparison.errors,
            })
        });
        json!({ "rows": rows.collect::<Vec<_>>(), "compared": comparisons.collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(first: u64, tokens: u64, decode: u64) -> Sample {
        Sample {
            prompt_tokens: 10,
            completion_tokens: tokens,
            first_token: Some(Duration::from_millis(first)),
            total: Duration::from_millis(first + decode),
            decode: Some(Duration::from_millis(decode)),
            ..Sample::default()
        }
    }

    #[test]
    fn local_and_remote_are_compared_on_the_same_task() {
        let mut stats = Stats::default();
        for n in 0..5 {
            stats.add("code", "org/a", &sample(100 + n, 101, 1000));
            stats.add("code", "ollama:a", &sample(200 + n, 101, 500));
            stats.add("fast", "org/a", &sample(100, 101, 1000));
        }
        stats.add("code", "org/a", &Sample { failed: true, fallback: true, ..Sample::default() });
        let compared = stats.compare(3);
        assert_eq!(compared.len(), 1);
        assert_eq!(compared[0].backends, ["ollama:a", "org/a"]);
        let close = |value: Option<f64>, to: f64| (value.unwrap() / to - 1.0).abs() < 0.1;
        assert!(
            close(compared[0].first_token, 0.5) && close(compared[0].rate, 0.5),
            "{compared:?}"
        );
        assert_eq!(compared[0].errors, [0.0, 1.0 / 6.0]);
        let json = stats.json();
        assert_eq!(json["rows"].as_array().unwrap().len(), 3);
        let row = stats.rows().find(|row| (row.0, row.1) == ("code", "org/a")).unwrap().2;
        assert_eq!((row.count, row.errors, row.fallbacks, row.completion_tokens), (6, 1, 1, 505));
        assert!(close(row.rate.median(), 100.0));
    }

    #[test]
    fn it_stays_small() {
        let mut stats = Stats::default();
        for n in 0..10_000 {
            stats.add(&n.to_string(), "x", &sample(1, 2, 3));
        }
        assert_eq!(stats.rows().count(), MOST + 1);
        assert_eq!(stats.rows().map(|row| row.2.count).sum::<u64>(), 10_000);
        assert_eq!(Sketch::default().median(), None);
    }

    proptest! {
        #[test]
        fn quantiles_are_near_those_of_a_sorted_list(
            values in prop::collection::vec(2e-3..1e7_f64, 1..200), share in 0.0..1.0_f64
        ) {
            let mut sketch = Sketch::default();
            let mut sorted = values;
            sorted.iter().for_each(|&value| sketch.add(value));
            sorted.sort_by(f64::total_cmp);
            let rank = ((share * sorted.len() as f64).ceil().max(1.0) as usize).min(sorted.len());
            let off = sketch.quantile(share).unwrap() / sorted[rank - 1];
            prop_assert!((0.95..1.05).contains(&off), "{off}");
        }

        #[test]
        fn nothing_makes_it_panic(value: f64) {
            let mut sketch = Sketch::default();
            sketch.add(value);
            prop_assert!(sketch.quantile(value).is_none_or(f64::is_finite));
        }
    }
}
