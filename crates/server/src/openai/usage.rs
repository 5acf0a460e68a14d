//! What an answer took, in OpenAI's words.

use manager::house::End;
use manager::runtime::{FinishReason, Usage};
use serde_json::{Value, json};

/// Tokens.
pub(crate) fn usage(all: &[Usage]) -> Value {
    // The prompt of several answers is read once, as far as it is the same.
    let prompt = all.first().map_or(0, |usage| usage.prompt_tokens);
    let completion: usize = all.iter().map(|usage| usage.completion_tokens).sum();
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    })
}

/// Times, as llama.cpp's server tells them.
pub(crate) fn timings(end: &End) -> Value {
    let End { usage, timings, .. } = end;
    let milliseconds = |d: std::time::Duration| (d.as_secs_f64() * 1e6).round() / 1e3;
    let rate = |rate: Option<f64>| rate.map(|rate| (rate * 100.0).round() / 100.0);
    json!({
        "prompt_n": usage.prompt_tokens,
        "prompt_ms": timings.first_token.map(milliseconds),
        "prompt_per_second": rate(timings.prompt_rate(*usage)),
        "predicted_n": usage.completion_tokens,
        "predicted_ms": milliseconds(timings.decode),
        "predicted_per_second": rate(timings.decode_rate(*usage)),
    })
}

/// Why it ended.
pub(crate) fn finish_reason(reason: &FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::StopString(_) => "stop",
        FinishReason::Length | FinishReason::Unfinished => "length",
        FinishReason::Cancelled => "cancelled",
    }
}
