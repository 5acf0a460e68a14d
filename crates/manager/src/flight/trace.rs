//! Records as a picture: in the Trace Event Format of Chrome, which Perfetto and `about:tracing` draw.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Record, since_epoch};

/// A row for each answer, with a bar for each part of its time and a mark for each step. Times are in microseconds since
/// the first request of all began.
pub fn trace(records: &[Arc<Record>]) -> Value {
    let origin = records.iter().map(|record| record.began).min();
    let micros = |time: Duration| time.as_micros() as u64;
    let mut events = Vec::new();
    let mut row = 0_u64;
    for record in records {
        let began = since_epoch(record.began);
        let began = began.saturating_sub(origin.map_or(began, since_epoch));
        for answer in 0..record.answers.max(1) {
            row += 1;
            let name = match record.model(answer) {
                Some(model) => format!("{} {model}", record.head.path),
                None => record.head.path.clone(),
            };
            events.push(json!({
                "ph": "M", "name": "thread_name", "pid": 1, "tid": row, "args": {"name": name},
            }));
            let bar = |name: &str, from: Duration, long: Duration| {
                json!({
                    "ph": "X", "cat": "request", "name": name, "pid": 1, "tid": row,
                    "ts": micros(began + from), "dur": micros(long),
                    "args": {"id": record.head.id, "status": record.status},
                })
            };
            events.push(bar("request", Duration::ZERO, record.seconds));
            for (name, from, long) in bars(record, answer) {
                events.push(bar(name, from, long));
            }
            for told in record.steps_of(answer) {
                events.push(json!({
                    "ph": "i", "s": "t", "cat": "step", "name": told.step.name(), "pid": 1,
                    "tid": row, "ts": micros(began + told.at),
                }));
            }
        }
    }
    json!({"traceEvents": events, "displayTimeUnit": "ms"})
}

/// What each part of the time is called, when it began, and how long it took.
fn bars(record: &Record, answer: u32) -> Vec<(&'static str, Duration, Duration)> {
    let phases = record.phases(answer);
    let begins = |is: &str| {
        record.steps_of(answer).filter(|told| told.step.name() == is).map(|told| told.at).last()
    };
    let begun = begins("begun").or_else(|| begins("sent"));
    let all = [
        ("model", begins("wants"), phases.model),
        ("load", begins("loads"), phases.load),
        ("queue", begins("has"), phases.queue),
        ("prompt", begun, phases.prompt),
        ("answer", begins("first_token"), phases.answer),
    ];
    all.into_iter().filter_map(|(name, from, long)| Some((name, from?, long?))).collect()
}
