//! The fields that say how to continue, shared by the endpoints that continue.

use std::collections::BTreeMap;

use manager::runtime::{GenerateOptions, MustCall, TokenLogprob, TokenLogprobs};
use serde_json::{Map, Value, json};

use crate::fault::Fault;
use crate::read::OneOrMany;
use crate::state::Limits;

/// Checks `stop`: none of it empty, and not too many.
pub(crate) fn stops(
    stop: Option<OneOrMany<String>>,
    limits: &Limits,
) -> Result<Vec<String>, Fault> {
    let stop = stop.map_or_else(Vec::new, OneOrMany::into_vec);
    if stop.len() > limits.stops {
        let message = format!("`stop` has {} texts, but may have {}", stop.len(), limits.stops);
        return Err(Fault::field("stop", message));
    }
    if stop.iter().any(String::is_empty) {
        return Err(Fault::field("stop", "`stop` has an empty text, which would end every answer"));
    }
    Ok(stop)
}

/// `logit_bias`: what is added to the logits of tokens, by their numbers as text.
pub(crate) fn biases(bias: Option<Map<String, Value>>) -> Result<BTreeMap<u32, f32>, Fault> {
    let one = |(token, bias): (String, Value)| match (token.parse(), bias.as_f64()) {
        (Ok(token), Some(bias)) => Ok((token, bias as f32)),
        _ => {
            let field = format!("logit_bias.{token}");
            let message = format!("`{field}` must be the number of a token, with a number");
            Err(Fault::field(field, message))
        }
    };
    bias.unwrap_or_default().into_iter().map(one).collect()
}

/// What is told of tokens, as chat tells it.
pub(crate) fn told(logprobs: &[TokenLogprobs]) -> Vec<Value> {
    let one = |one: &TokenLogprob| {
        let token = String::from_utf8_lossy(&one.bytes);
        // What is impossible is told as a very small number: JSON knows no infinity.
        json!({"token": token, "logprob": one.logprob.max(-9999.0), "bytes": one.bytes})
    };
    let all = |token: &TokenLogprobs| {
        let mut told = one(&token.chosen);
        told["top_logprobs"] = token.likeliest.iter().map(one).collect();
        told
    };
    logprobs.iter().map(all).collect()
}

/// `tool_choice`: whether tools are offered, and which must be called. Chat names a tool in `function`, responses beside
/// `type`.
pub(crate) fn tool_choice(choice: Option<&Value>) -> Result<(bool, Option<MustCall>), Fault> {
    let named = |choice: &Value| {
        let name = choice.get("function").unwrap_or(choice).get("name")?.as_str()?;
        (choice.get("type")? == "function").then(|| MustCall::Tool(name.to_owned()))
    };
    match choice {
        None | Some(Value::Null) => Ok((true, None)),
        Some(Value::String(word)) if word == "auto" => Ok((true, None)),
        Some(Value::String(word)) if word == "none" => Ok((false, None)),
        Some(Value::String(word)) if word == "required" => Ok((true, Some(MustCall::Any))),
        Some(choice) => match named(choice) {
            Some(tool) => Ok((true, Some(tool))),
            None => {
                let message = "`tool_choice` must be auto, none, required, or name a function";
                Err(Fault::field("tool_choice", message))
            }
        },
    }
}

/// Checks `n`.
pub(crate) fn choices(n: Option<usize>, limits: &Limits) -> Result<usize, Fault> {
    match n.unwrap_or(1) {
        n if (1..=limits.choices).contains(&n) => Ok(n),
        n => {
            Err(Fault::field("n", format!("`n` is {n}, but must be from 1 to {}", limits.choices)))
        }
    }
}

/// The options of answer `index` of several: the same, but for chance.
pub(crate) fn numbered(options: &GenerateOptions, index: usize) -> GenerateOptions {
    let seed = options.seed.map(|seed| seed.wrapping_add(index as u64));
    GenerateOptions { seed, ..options.clone() }
}
