//! `folio stats`: what the requests to a running server took.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::output::{self, bytes, table};
use crate::report::{Problem, Result};
use crate::running::{Connection, Running};

/// Columns of a picture where nobody says how wide the terminal is.
const WIDTH: usize = 100;
/// Columns of a bar at least.
const LEAST_BAR: usize = 16;

/// Tell what the requests to a running server took, by task and by who answered.
///
/// Times are medians. Where several answer the same task, such as a model here and one elsewhere, they are compared.
#[derive(Args, Debug)]
pub(crate) struct Stats {
    /// Draw where the time of the last N requests went [default: 20]
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "20")]
    requests: Option<usize>,
    /// Write the last requests to this file as a trace that Perfetto draws
    #[arg(long, value_name = "FILE", conflicts_with_all = ["requests", "json"])]
    trace: Option<PathBuf>,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

impl Stats {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let server = self.running.clone().connect()?;
        if let Some(path) = &self.trace {
            let trace = server.get("v1/requests?format=trace")?;
            std::fs::write(path, trace.to_string())
                .map_err(|error| Problem::io("write", path, error))?;
            let bars = trace["traceEvents"].as_array().map_or(0, Vec::len);
            output::line(&format!("{}: {bars} events", path.display()))?;
            return Ok(ExitCode::SUCCESS);
        }
        match self.requests {
            Some(many) => self.requests(&server, many)?,
            None => self.stats(&server)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn stats(&self, server: &Connection) -> Result<()> {
        let stats = server.get("v1/stats")?;
        let memory = server.get("v1/memory")?;
        if self.json {
            return output::line(&json!({"stats": stats, "memory": memory}).to_string());
        }
        output::write(&summary(&stats, &memory))
    }

    fn requests(&self, server: &Connection, many: usize) -> Result<()> {
        let told = server.get(&format!("v1/requests?limit={many}"))?;
        if self.json {
            return output::line(&told.to_string());
        }
        let width = terminal_size::terminal_size().map_or(WIDTH, |(width, _)| width.0.into());
        output::write(&picture(told["data"].as_array().map_or(&[], Vec::as_slice), width))
    }
}

/// A time for a person.
fn time(seconds: f64) -> String {
    match seconds {
        ..0.001 => format!("{:.0} us", seconds * 1e6),
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        ..100.0 => format!("{seconds:.1} s"),
        ..6000.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

/// Tables of what was answered, of who does the same better, and what is booked.
fn summary(stats: &Value, memory: &Value) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let head = "task|answered by|requests|failed|passed on|first token|in all|95 %|tokens/s";
    let mut rows = vec![head.split('|').map(str::to_owned).collect::<Vec<_>>()];
    let seconds = |of: &Value, which: &str| of[which].as_f64().map_or("-".to_owned(), time);
    for row in list(&stats["rows"]) {
        rows.push(vec![
            text(&row["task"]),
            text(&row["backend"]),
            row["count"].to_string(),
            row["errors"].to_string(),
            row["fallbacks"].to_string(),
            seconds(&row["first_token_seconds"], "median"),
            seconds(&row["total_seconds"], "median"),
            seconds(&row["total_seconds"], "p95"),
            row["tokens_per_second"]["median"]
                .as_f64()
                .map_or("-".to_owned(), |rate| format!("{rate:.1}")),
        ]);
    }
    let mut out = if rows.len() == 1 {
        "nobody has been answered yet\n".to_owned()
    } else {
        table(&rows, &[2, 3, 4, 5, 6, 7, 8])
    };
    for pair in list(&stats["compared"]) {
        let times = |value: &Value| value.as_f64().map(|times| format!("{times:.2} times"));
        let (first, rate) = (times(&pair["first_token"]), times(&pair["tokens_per_second"]));
        let mut parts = Vec::new();
        parts.extend(first.map(|times| format!("takes {times} as long to the first token")));
        parts.extend(rate.map(|times| format!("writes {times} as fast")));
        if !parts.is_empty() {
            let [one, other] = [&pair["backends"][0], &pair["backends"][1]].map(text);
            let task = text(&pair["task"]);
            out.push_str(&format!("\n{task}: beside `{one}`, `{other}` {}\n", parts.join(" and ")));
        }
    }
    let number = |name: &str| memory[name].as_u64().unwrap_or(0);
    let (reserved, limit, peak) = (number("reserved"), number("limit"), number("peak"));
    let given_up = stats["cancelled"].as_u64().unwrap_or(0);
    let uptime = stats["uptime_seconds"].as_f64().unwrap_or(0.0);
    out.push_str(&format!(
        "\nup for {}; {given_up} given up by who asked; memory: {} of {} booked, {} at most so far\n",
        time(uptime),
        bytes(reserved),
        bytes(limit),
        bytes(peak),
    ));
    out
}

/// What each part of the time is drawn with: its name in a record, how it is drawn, and what it is.
const PARTS: [(&str, char, &str); 5] = [
    ("wait", '·', "waits for memory"),
    ("load_seconds", '▒', "loads"),
    ("queue_seconds", '-', "queues"),
    ("prompt_seconds", '▓', "reads"),
    ("answer_seconds", '█', "answers"),
];

/// A bar for each answer, all on the same scale.
fn picture(records: &[Value], width: usize) -> String {
    if records.is_empty() {
        return "no request is recorded yet\n".to_owned();
    }
    let longest = records.iter().filter_map(|record| record["seconds"].as_f64());
    let longest = longest.fold(1e-9, f64::max);
    let mut rows = Vec::new();
    for record in records {
        let answers = record["answers"].as_array().map_or(&[][..], Vec::as_slice);
        // One that was refused has none, and is shown all the same.
        let none = answers.is_empty().then_some(&Value::Null);
        for answer in answers.iter().chain(none) {
            let status = match (&record["over"], record["status"].as_u64()) {
                (Value::Bool(false), _) => "...".to_owned(),
                (_, Some(_)) if record["sent"] == false => "left".to_owned(),
                (_, Some(status)) => status.to_string(),
                (_, None) => "-".to_owned(),
            };
            let took = record["seconds"].as_f64().unwrap_or(0.0);
            rows.push((
                vec![text(&record["path"]), text(&answer["model"]), status, time(took)],
                answer,
            ));
        }
    }
    let head = ["path", "model", "status", "time"].map(str::to_owned).to_vec();
    let cells: Vec<_> = std::iter::once(head).chain(rows.iter().map(|row| row.0.clone())).collect();
    let lines = table(&cells, &[3]);
    let widest = lines.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let room = width.saturating_sub(widest + 2).max(LEAST_BAR);
    let mut out = String::new();
    for (at, line) in lines.lines().enumerate() {
        let bar = match at.checked_sub(1).and_then(|at| rows.get(at)) {
            Some((_, answer)) => bar(answer, longest, room),
            None => String::new(),
        };
        let pad = widest - line.chars().count();
        out.push_str(format!("{line}{}  {bar}", " ".repeat(pad)).trim_end());
        out.push('\n');
    }
    let legend = PARTS.map(|(_, drawn, what)| format!("{drawn} {what}")).join("   ");
    out.push_str(&format!("\n{legend}   ({} for the longest)\n", time(longest)));
    out
}

/// The parts of an answer's time, one after the other; `room` columns are `longest` seconds.
fn bar(answer: &Value, longest: f64, room: usize) -> String {
    let seconds = |name: &str| answer[name].as_f64().unwrap_or(0.0);
    let mut bar = String::new();
    let mut until = 0.0;
    for (name, drawn, _) in PARTS {
        until += if name == "wait" {
            (seconds("model_seconds") - seconds("load_seconds")).max(0.0)
        } else {
            seconds(name)
        };
        let column = (until / longest * room as f64).round() as usize;
        let drawn =
            std::iter::repeat_n(drawn, column.min(room).saturating_sub(bar.chars().count()));
        bar.extend(drawn);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let times = [2e-5, 0.0123, 1.26, 250.0, 9000.0].map(time);
        assert_eq!(times, ["20 us", "12 ms", "1.3 s", "4 min", "2.5 h"]);
    }

    #[test]
    fn bars_share_a_scale() {
        let answer = |seconds: f64| {
            json!({
                "model": "m",
                "model_seconds": seconds * 2.0,
                "load_seconds": seconds,
                "queue_seconds": seconds,
                "prompt_seconds": seconds,
                "answer_seconds": seconds * 4.0,
            })
        };
        assert_eq!(bar(&answer(1.0), 8.0, 16), "··▒▒--▓▓████████");
        assert_eq!(bar(&answer(0.5), 8.0, 16), "·▒-▓████");
        assert_eq!(bar(&Value::Null, 8.0, 16), "");
        let record = |path: &str, sent: bool, seconds: f64| {
            json!({
                "path": path, "status": 200, "sent": sent, "over": true, "seconds": seconds,
                "answers": [answer(seconds / 8.0)],
            })
        };
        let drawn = picture(&[record("/v1/a", true, 8.0), record("/b", false, 4.0)], 60);
        let lines: Vec<_> = drawn.lines().collect();
        assert_eq!(lines[1], "/v1/a  m      200     8.0 s  ····▒▒▒▒----▓▓▓▓███████████████");
        assert_eq!(lines[2], "/b     m      left    4.0 s  ··▒▒--▓▓████████");
        assert!(lines[4].contains("▒ loads") && lines[4].contains("8.0 s for the longest"));
        assert_eq!(picture(&[], 60), "no request is recorded yet\n");
    }
}
