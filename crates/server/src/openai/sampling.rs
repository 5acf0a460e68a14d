//! The fields that say how to continue, shared by the endpoints that continue.
//!
//! Shared fields are written once, in macros that put them into a request's struct: a struct within it would not be
//! read as strictly, since serde looks for unknown fields in whole structs only.

use std::collections::BTreeMap;

use manager::runtime::{GenerateOptions, MustCall, TokenLogprob, TokenLogprobs};
use serde_json::{Map, Value, json};

use crate::fault::Fault;
use crate::read::OneOrMany;
use crate::state::Limits;

/// A request of OpenAI's that is answered by continuing: its own fields, and those of all of them.
macro_rules! continuing {
    ($(#[$meta:meta])* pub(crate) struct $name:ident { $($(#[$attribute:meta])* $field:ident: $kind:ty,)* }) => {
        #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        $(#[$meta])*
        pub(crate) struct $name {
            /// A model, a task, or `current`, which is the model that was used last.
            model: String,
            $($(#[$attribute])* $field: $kind,)*
            /// Divides the logits; 0 takes the likeliest token.
            temperature: Option<f32>,
            /// Keeps the likeliest tokens that together have this probability.
            top_p: Option<f32>,
            /// Keeps so many of the likeliest tokens; 0 keeps all.
            top_k: Option<usize>,
            /// Keeps tokens with at least this share of the likeliest one's probability.
            min_p: Option<f32>,
            /// Makes tokens that have occurred less likely; 1 does nothing.
            repetition_penalty: Option<f32>,
            /// Chance; a different one each time, if absent.
            seed: Option<i64>,
            /// Whether the answer must not depend on what else is computed, to the last bit. It takes longer.
            #[serde(default)]
            batch_invariant: bool,
            /// Whether the answer comes in events.
            #[serde(default)]
            stream: bool,
            /// How they are to come.
            stream_options: Option<$crate::openai::StreamOptions>,
            // Said of the request, not of the answer.
            #[serde(rename = "user")]
            _user: Option<String>,
        }

        impl $name {
            /// What all say of how to continue, in our words.
            ///
            /// # Errors
            ///
            /// Naming the field that has no meaning without another.
            fn continued(
                &self,
                client: &$crate::gate::Client,
            ) -> Result<manager::runtime::GenerateOptions, $crate::fault::Fault> {
                if self.stream_options.is_some() && !self.stream {
                    let message = "`stream_options` has a meaning only with `stream`";
                    return Err($crate::fault::Fault::field("stream_options", message));
                }
                // Somebody looks on as a stream comes.
                let priority = if self.stream {
                    manager::runtime::Priority::Interactive
                } else {
                    manager::runtime::Priority::Normal
                };
                Ok(manager::runtime::GenerateOptions {
                    temperature: self.temperature,
                    top_p: self.top_p,
                    top_k: self.top_k,
                    min_p: self.min_p,
                    repetition_penalty: self.repetition_penalty,
                    seed: self.seed.map(i64::cast_unsigned),
                    client: client.number(),
                    priority,
                    invariant: self.batch_invariant,
                    ..manager::runtime::GenerateOptions::default()
                })
            }
        }
    };
}

/// The same of the two older endpoints, which say more of how to continue.
macro_rules! choosing {
    ($(#[$meta:meta])* pub(crate) struct $name:ident { $($(#[$attribute:meta])* $field:ident: $kind:ty,)* }) => {
        $crate::openai::sampling::continuing! {
            $(#[$meta])*
            pub(crate) struct $name {
                $($(#[$attribute])* $field: $kind,)*
                /// Tokens to add at most.
                max_tokens: Option<usize>,
                /// Is taken once from the logit of each token that was added, from -2 to 2.
                presence_penalty: Option<f32>,
                /// Is taken from the logit of each token as often as it was added, from -2 to 2.
                frequency_penalty: Option<f32>,
                /// Is added to the logits of tokens, by their numbers as text: from -100 to 100.
                logit_bias: Option<serde_json::Map<String, serde_json::Value>>,
                /// How many answers to give.
                n: Option<usize>,
                /// Texts that end the answer, and are not part of it.
                stop: Option<$crate::read::OneOrMany<String>>,
                /// What the answer must be.
                response_format: Option<$crate::format::Format>,
                // As clients of vLLM write them.
                /// A JSON Schema that the answer must fit.
                guided_json: Option<serde_json::Value>,
                /// A regular expression that the answer must match.
                guided_regex: Option<String>,
                /// A Lark grammar of the answer.
                guided_grammar: Option<String>,
                /// Texts of which the answer must be one.
                guided_choice: Option<Vec<String>>,
                /// What the answer must be, in the words of newer vLLMs.
                structured_outputs: Option<$crate::format::Structured>,
            }
        }

        impl $name {
            /// What both say of how to continue, in our words.
            ///
            /// # Errors
            ///
            /// Naming the field that makes no sense.
            fn chosen(
                &mut self,
                client: &$crate::gate::Client,
                limits: &$crate::state::Limits,
            ) -> Result<manager::runtime::GenerateOptions, $crate::fault::Fault> {
                let format = self.response_format.take();
                let format = format.map(|format| format.constraint("response_format"));
                let guided = $crate::format::Guided {
                    json: self.guided_json.take(),
                    regex: self.guided_regex.take(),
                    grammar: self.guided_grammar.take(),
                    choice: self.guided_choice.take(),
                    structured: self.structured_outputs.take(),
                };
                Ok(manager::runtime::GenerateOptions {
                    max_tokens: self.max_tokens,
                    presence_penalty: self.presence_penalty,
                    frequency_penalty: self.frequency_penalty,
                    logit_bias: $crate::openai::sampling::biases(self.logit_bias.take())?,
                    stop: $crate::openai::sampling::stops(self.stop.take(), limits)?,
                    constraint: guided.constraint(format.transpose()?.flatten())?,
                    ..self.continued(client)?
                })
            }
        }
    };
}

pub(super) use {choosing, continuing};

/// A wish that is not granted.
pub(super) fn refuse<T>(name: &str) -> Result<T, Fault> {
    Err(Fault::field(name, format!("`{name}` is not supported here: leave it out")))
}

/// The one number of two fields that say the same.
pub(super) fn either(
    (one, a): (&str, Option<usize>),
    (other, b): (&'static str, Option<usize>),
) -> Result<Option<usize>, Fault> {
    match (a, b) {
        (Some(a), Some(b)) if a != b => {
            let message = format!("`{one}` and `{other}` differ: give one of them");
            Err(Fault::field(other, message))
        }
        (a, b) => Ok(a.or(b)),
    }
}

/// Whether a form and tools are asked for at once.
pub(super) fn not_both(form: bool, tools: bool) -> Result<(), Fault> {
    if form && tools {
        let message = "`tools` and a form of the answer exclude each other here: give one of them";
        return Err(Fault::field("tools", message));
    }
    Ok(())
}

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
