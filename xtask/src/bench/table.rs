//! What is printed: one line for each figure.

use serde_json::Value;

use super::contender::Run;
use super::figures::{BUSY, Figure};
use super::machine::Limits;

/// Marks a figure that was taken beside a busy neighbour.
const DISTURBED: &str = " (busy)";

pub(super) fn limits(limits: &Limits) {
    println!("limit   threads  measured       with");
    for (name, threads, how, rate) in limits.all() {
        println!("{name:7} {threads:7}  {:<13}  {how}", giga(name, rate));
    }
    println!("others kept {:.2} cores busy{}\n", limits.others, mark(limits.others));
}

fn giga(name: &str, rate: f64) -> String {
    let unit = match name {
        "memory" => "GB/s",
        "int8" => "Gop/s",
        _ => "Gflop/s",
    };
    format!("{:.1} {unit}", rate / 1e9)
}

fn mark(others: f64) -> &'static str {
    if others > BUSY { DISTURBED } else { "" }
}

pub(super) fn ops(limits: &Limits, lines: &[Value], with_head: bool) {
    if with_head {
        println!(
            "{:28} {:32} {:>7} {:>10} {:>9} {:>9} {:>6}",
            "operation", "what", "threads", "time", "GB/s", "Gop/s", "share"
        );
    }
    for line in lines {
        let number = |key: &str| line[key].as_f64().unwrap_or(0.0);
        let seconds = number("seconds");
        let rate = |amount: f64| match amount / seconds / 1e9 {
            0.0 => "-".to_owned(),
            rate => format!("{rate:.1}"),
        };
        println!(
            "{:28} {:32} {:>7} {:>10} {:>9} {:>9} {:>6}{}",
            line["op"].as_str().unwrap_or_default(),
            line["what"].as_str().unwrap_or_default(),
            number("threads"),
            time(seconds),
            rate(number("memory").max(number("cached"))),
            rate(number("operations")),
            share(bound(limits, line).map(|bound| bound / seconds)),
            mark(number("others")),
        );
    }
}

/// The least seconds that an operation takes, by the limits.
fn bound(limits: &Limits, line: &Value) -> Option<f64> {
    let threads = usize::try_from(line["threads"].as_u64()?).ok()?;
    let (memory, operations) = (line["memory"].as_f64()?, line["operations"].as_f64()?);
    let over = |amount: f64, name: &str| {
        if amount == 0.0 { Some(0.0) } else { Some(amount / limits.rate(name, threads)?) }
    };
    let peak = line["peak"].as_str()?;
    // A machine without the wider dot product does it in 32 bits.
    let arithmetic = over(operations, peak).or_else(|| over(operations, "f32"))?;
    let least = over(memory, "memory")?.max(arithmetic);
    (least > 0.0).then_some(least)
}

fn time(seconds: f64) -> String {
    if seconds < 1e-3 {
        format!("{:.1} us", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.2} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

fn share(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", share * 100.0))
}

pub(super) fn runs(limits: &Limits, runs: &[Run]) {
    if runs.is_empty() {
        return;
    }
    println!(
        "\n{:24} {:>7}  {:34} {:>6}  {:34} {:>6}  {:>9}  {:>9}",
        "program, model",
        "threads",
        "prompt tok/s",
        "share",
        "answer tok/s",
        "share",
        "1 token",
        "memory +"
    );
    for run in runs {
        let (prefill, decode) = run.shares(limits);
        println!(
            "{:24} {:>7}  {:34} {:>6}  {:34} {:>6}  {:>9}  {:>9}",
            run.name(),
            run.threads,
            figure(&run.prefill),
            share(prefill),
            figure(&run.decode),
            share(decode),
            run.start.median().map_or_else(|| "-".to_owned(), time),
            run.memory.median().map_or_else(|| "-".to_owned(), |b| format!("{:.0} MB", b / 1e6)),
        );
    }
    for run in runs.iter().filter(|run| run.is_idle()) {
        if let Some(rate) = run.decode.median() {
            let seconds = time(rate.recip());
            println!("{} on {}: {seconds} for a token beside its weights", run.name(), run.threads);
        }
    }
}

/// `median (least..most, n=count)`.
fn figure(figure: &Figure) -> String {
    let (Some(median), Some((least, most))) = (figure.median(), figure.spread()) else {
        return "-".to_owned();
    };
    let mark = if figure.is_disturbed() { DISTURBED } else { "" };
    format!("{median:.1} ({least:.1}..{most:.1}, n={}){mark}", figure.count())
}
