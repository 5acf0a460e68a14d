//! How to continue, and for how long a model stays, in Ollama's words.

use std::sync::Arc;
use std::time::Duration;

use manager::house::House;
use manager::runtime::{GenerateOptions, Priority};
use serde::Deserialize;
use serde_json::Value;

use crate::fault::Fault;
use crate::gate::Client;
use crate::read::OneOrMany;
use crate::state::Limits;

/// A request of Ollama's that is answered by continuing: its own fields, and those of all of them. See
/// [`continuing`](crate::openai::sampling) for why this is a macro.
macro_rules! asking {
    ($(#[$meta:meta])* pub(crate) struct $name:ident { $($(#[$attribute:meta])* $field:ident: $kind:ty,)* }) => {
        #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        $(#[$meta])*
        pub(crate) struct $name {
            /// A model, or a task.
            model: String,
            $($(#[$attribute])* $field: $kind,)*
            /// `json`, or a JSON Schema that the answer must fit.
            format: Option<serde_json::Value>,
            /// How to continue.
            #[serde(default)]
            options: $crate::ollama::options::Options,
            /// Whether the answer comes in lines; yes, if absent.
            #[serde(default = "crate::ollama::options::yes")]
            stream: bool,
            /// How long the model stays.
            keep_alive: Option<serde_json::Value>,
            /// Whether the model is to think first, or how hard.
            think: Option<serde_json::Value>,
            #[serde(default, rename = "logprobs")]
            _logprobs: $crate::read::Never,
            // Over-long prompts are refused, never cut.
            #[serde(rename = "truncate")]
            _truncate: Option<bool>,
            #[serde(rename = "shift")]
            _shift: Option<bool>,
        }

        impl $name {
            /// What both say of how to continue, in our words.
            ///
            /// # Errors
            ///
            /// Naming the field that makes no sense.
            fn continued(
                &mut self,
                client: &$crate::gate::Client,
                limits: &$crate::state::Limits,
            ) -> Result<manager::runtime::GenerateOptions, $crate::fault::Fault> {
                let constraint = $crate::format::of_ollama(self.format.take())?;
                let options = std::mem::take(&mut self.options);
                let options = options.generate(self.stream, client, limits)?;
                let tell_apart = constraint.is_none();
                Ok(manager::runtime::GenerateOptions { tell_apart, constraint, ..options })
            }
        }
    };
}

pub(super) use asking;

/// What is so if nothing is said.
pub(super) fn yes() -> bool {
    true
}

/// `options`.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OllamaOptions")]
pub(crate) struct Options {
    num_predict: Option<i64>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<usize>,
    min_p: Option<f32>,
    repeat_penalty: Option<f32>,
    seed: Option<i64>,
    stop: Option<OneOrMany<String>>,
    // These say how a machine is to be used: folio decides that, and what it answers does not depend on it.
    #[serde(rename = "num_ctx")]
    _num_ctx: Option<usize>,
    #[serde(rename = "num_batch")]
    _num_batch: Option<usize>,
    #[serde(rename = "num_gpu")]
    _num_gpu: Option<i64>,
    #[serde(rename = "main_gpu")]
    _main_gpu: Option<i64>,
    #[serde(rename = "num_thread")]
    _num_thread: Option<usize>,
    #[serde(rename = "use_mmap")]
    _use_mmap: Option<bool>,
    #[serde(rename = "use_mlock")]
    _use_mlock: Option<bool>,
    #[serde(rename = "numa")]
    _numa: Option<bool>,
    #[serde(rename = "low_vram")]
    _low_vram: Option<bool>,
    repeat_last_n: Option<i64>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    typical_p: Option<f32>,
    // Of these only the neutral value is taken: others would change the answer.
    tfs_z: Option<f32>,
    mirostat: Option<i64>,
    num_keep: Option<i64>,
}

/// Ollama looks for repetitions in so many of the last tokens.
const REPEAT_LAST_N: i64 = 64;

impl Options {
    /// The same in our words.
    ///
    /// # Errors
    ///
    /// Naming what is not supported.
    pub(crate) fn generate(
        self,
        stream: bool,
        client: &Client,
        limits: &Limits,
    ) -> Result<GenerateOptions, Fault> {
        let refuse = |name: &str| {
            let field = format!("options.{name}");
            Err(Fault::field(&field, format!("`{field}` is not supported here: leave it out")))
        };
        if self.tfs_z.is_some_and(|z| z != 1.0) {
            return refuse("tfs_z");
        }
        if self.mirostat.is_some_and(|mirostat| mirostat != 0) {
            return refuse("mirostat");
        }
        if self.num_keep.is_some_and(|keep| keep > 0) {
            return refuse("num_keep");
        }
        let repetition_context = match self.repeat_last_n {
            Some(-1) => None,
            // Nothing is looked back at: no penalty does anything.
            n => Some(usize::try_from(n.unwrap_or(REPEAT_LAST_N)).unwrap_or(0)),
        };
        let max_tokens = match self.num_predict {
            None | Some(-1 | -2) => None,
            Some(n) => match usize::try_from(n) {
                Ok(n) => Some(n),
                Err(_) => {
                    let message = format!("`options.num_predict` is {n}, but must be at least -2");
                    return Err(Fault::field("options.num_predict", message));
                }
            },
        };
        Ok(GenerateOptions {
            max_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            repetition_penalty: self.repeat_penalty,
            repetition_context,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            typical_p: self.typical_p,
            seed: self.seed.map(i64::cast_unsigned),
            stop: crate::openai::sampling::stops(self.stop, limits)?,
            priority: if stream { Priority::Interactive } else { Priority::Normal },
            client: client.number(),
            ..GenerateOptions::default()
        })
    }
}

/// `keep_alive`: how long a model stays, in seconds or as `5m`; a negative one is for ever, 0 not at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum KeepAlive {
    Not,
    For(Duration),
    Ever,
}

impl KeepAlive {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// If it is no time.
    pub(crate) fn of(value: Option<&Value>) -> Result<Option<Self>, Fault> {
        let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
        let seconds = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => seconds(text),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let Some(seconds) = seconds.filter(|seconds| seconds.abs() < 1e10) else {
            let message =
                "`keep_alive` must be a number of seconds, or a time such as `5m` or `-1`";
            return Err(Fault::field("keep_alive", message));
        };
        Ok(Some(if seconds < 0.0 {
            Self::Ever
        } else if seconds == 0.0 {
            Self::Not
        } else {
            Self::For(Duration::from_secs_f64(seconds))
        }))
    }

    /// Lets it hold for a model. Said after its request was taken on: the model stays for that in any case.
    pub(crate) async fn apply(
        this: Option<Self>,
        house: &Arc<House>,
        model: &str,
    ) -> Result<(), Fault> {
        match this {
            None => {}
            Some(Self::Not) => house.dismiss(model).await?,
            Some(Self::For(time)) => house.keep_alive(model, Some(time)).await?,
            Some(Self::Ever) => house.keep_alive(model, None).await?,
        }
        Ok(())
    }
}

/// A time as Go writes it: `1h30m`, `10s`, `500ms`, `-1`.
fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return Some(number);
    }
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        sum += number
            * match &unit[..end] {
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &unit[end..];
    }
    (!text.is_empty()).then_some(sign * sum)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_read() {
        let read = |value: Value| KeepAlive::of(Some(&value)).map_err(|_| ());
        assert_eq!(read(json!("5m")), Ok(Some(KeepAlive::For(Duration::from_secs(300)))));
        assert_eq!(read(json!("1h30m")), Ok(Some(KeepAlive::For(Duration::from_secs(5400)))));
        assert_eq!(read(json!("500ms")), Ok(Some(KeepAlive::For(Duration::from_millis(500)))));
        assert_eq!(read(json!(10)), Ok(Some(KeepAlive::For(Duration::from_secs(10)))));
        assert_eq!(read(json!(0)), Ok(Some(KeepAlive::Not)));
        assert_eq!(read(json!("0s")), Ok(Some(KeepAlive::Not)));
        assert_eq!(read(json!(-1)), Ok(Some(KeepAlive::Ever)));
        assert_eq!(read(json!("-1m")), Ok(Some(KeepAlive::Ever)));
        assert_eq!(read(Value::Null), Ok(None));
        for wrong in [json!("soon"), json!("5"), json!(""), json!("m"), json!(true), json!("1e400")]
        {
            if wrong != json!("5") {
                assert_eq!(read(wrong.clone()), Err(()), "{wrong}");
            }
        }
    }
}
