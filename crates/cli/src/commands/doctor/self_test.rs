//! `folio doctor --self-test`: whether this machine computes what it should.

use std::process::ExitCode;

use manager::Environment;
use manager::self_test::{self, Rate, Row};
use serde_json::json;

use crate::output;
use crate::report::Result;

/// Runs it and prints a table; fails if a number is wrong.
pub(super) fn run(json: bool) -> Result<ExitCode> {
    let rows = self_test::run(&Environment::from_process(), |backend| {
        eprintln!("testing {backend}");
    })?;
    let wrong = rows.iter().filter(|row| !row.wrong.is_empty()).count();
    if json {
        let rows: Vec<_> = rows.iter().map(object).collect();
        let object = json!({ "ok": wrong == 0, "wrong": wrong, "rows": rows });
        output::line(&object.to_string())?;
    } else {
        output::write(&text(&rows))?;
    }
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn object(row: &Row) -> serde_json::Value {
    let (bytes, operations) = match row.rate {
        Some(Rate::Bytes(rate)) => (Some(rate), None),
        Some(Rate::Operations(rate)) => (None, Some(rate)),
        None => (None, None),
    };
    json!({
        "what": row.what,
        "backend": row.backend,
        "variants": row.tried,
        "error": row.error,
        "tolerance": row.tolerance,
        "bytes_per_second": bytes,
        "operations_per_second": operations,
        "wrong": row.wrong,
    })
}

fn text(rows: &[Row]) -> String {
    let head = ["what", "backend", "variants", "error", "allowed", "speed", ""];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    for row in rows {
        let speed = match row.rate {
            Some(Rate::Bytes(rate)) => format!("{:.2} GB/s", rate / 1e9),
            Some(Rate::Operations(rate)) => format!("{:.2} Gop/s", rate / 1e9),
            None => String::new(),
        };
        let verdict = if row.wrong.is_empty() { "ok" } else { "WRONG" };
        table.push(vec![
            row.what.clone(),
            row.backend.clone(),
            row.tried.to_string(),
            format!("{:.1e}", row.error),
            format!("{:.1e}", row.tolerance),
            speed,
            verdict.to_owned(),
        ]);
    }
    let mut text = output::table(&table, &[2, 3, 4, 5]);
    text.push('\n');
    let mut wrong = 0;
    for row in rows {
        wrong += usize::from(!row.wrong.is_empty());
        for what in &row.wrong {
            text.push_str(&format!("wrong: {} on {}: {what}\n", row.what, row.backend));
        }
    }
    match wrong {
        0 => text.push_str("every number is right\n"),
        n => text.push_str(&format!("{n} rows are wrong: please report them with this table\n")),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let row = |what: &str, wrong: &[&str]| Row {
            what: what.to_owned(),
            backend: "mlx gpu".to_owned(),
            tried: 3,
            error: 0.25,
            tolerance: 1e-4,
            rate: Some(Rate::Bytes(2.5e9)),
            wrong: wrong.iter().map(|&text| text.to_owned()).collect(),
        };
        let text = text(&[row("add", &[]), row("rope", &["halves: error 2.5e-1"])]);
        assert!(text.contains("2.50 GB/s"), "{text}");
        assert!(text.contains("wrong: rope on mlx gpu: halves: error 2.5e-1"), "{text}");
        assert!(text.ends_with("1 rows are wrong: please report them with this table\n"));
        assert!(self::text(&[row("add", &[])]).ends_with("every number is right\n"));
    }
}
