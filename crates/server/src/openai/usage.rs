//! What an answer took, in OpenAI's words.

use manager::house::End;
use manager::runtime::{FinishReason, Usage};
use serde_json::{Value, json};

/// Tokens.
pub(crate) fn usage(all: &[Usage]) -> Value {
    // The prompt of several answers is read once, as far as it is the same.
    let prompt = all.first().map_or(0, |usage| usage.prompt_tokens);
    let cached = all.first().and_then(|usage| usage.cached_tokens);
    counts(prompt, cached, all)
}

/// The tokens of prompts, of which some were found in the cache, and of all answers to them. What nobody has counted is
/// not told.
pub(crate) fn counts(prompt: usize, cached: Option<usize>, all: &[Usage]) -> Value {
    let completion: usize = all.iter().map(|usage| usage.completion_tokens).sum();
    let reasoning: Option<usize> = all.iter().map(|usage| usage.reasoning_tokens).sum();
    let mut told = json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    });
    if let Some(cached) = cached {
        told["prompt_tokens_details"] = json!({"cached_tokens": cached});
    }
    if let Some(reasoning) = reasoning {
        told["completion_tokens_details"] = json!({"reasoning_tokens": reasoning});
    }
    told
}

/// The same in the words of responses, where there is always room for what is not known.
pub(crate) fn response_usage(usage: &Usage) -> Value {
    let detail = |name: &str, count: Option<usize>| {
        count.map_or_else(|| json!({}), |count| json!({name: count}))
    };
    json!({
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": detail("cached_tokens", usage.cached_tokens),
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": detail("reasoning_tokens", usage.reasoning_tokens),
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    })
}

/// Times, as llama.cpp's server tells them.
pub(crate) fn timings(end: &End) -> Value {
    let End { usage, timings, .. } = end;
    let milliseconds = |d: std::time::Duration| (d.as_secs_f64() * 1e6).round() / 1e3;
    let rate = |rate: Option<f64>| rate.map(|rate| (rate * 100.0).round() / 100.0);
    json!({
        "cache_n": usage.cached_tokens,
        "prompt_n": usage.computed_tokens(),
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
