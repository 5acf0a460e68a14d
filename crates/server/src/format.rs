//! What an answer is to be, in the words of each dialect.

use manager::Grammar;
use serde::Deserialize;
use serde_json::Value;

use crate::fault::Fault;

/// `response_format` of OpenAI's chat, and `text.format` of its responses, with two kinds of our own.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "ResponseFormat")]
pub(crate) enum Format {
    /// Words.
    Text {},
    /// Any JSON object.
    JsonObject {},
    /// JSON that a schema allows.
    JsonSchema {
        /// Chat has an object for it.
        #[serde(default)]
        json_schema: Option<Box<Schema>>,
        // Responses have its fields beside `type`.
        #[serde(default)]
        schema: Option<Value>,
        #[serde(default, rename = "name")]
        _name: Option<String>,
        #[serde(default, rename = "description")]
        _description: Option<String>,
        #[serde(default, rename = "strict")]
        _strict: Option<bool>,
    },
    /// What a regular expression matches.
    Regex {
        /// The expression.
        pattern: String,
    },
    /// What a grammar allows.
    Grammar {
        /// How it is written: `lark`.
        #[serde(default)]
        syntax: Option<String>,
        /// The grammar.
        #[serde(alias = "definition")]
        grammar: String,
    },
}

/// `json_schema`.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "JsonSchemaFormat")]
pub(crate) struct Schema {
    schema: Option<Value>,
    #[serde(rename = "name")]
    _name: Option<String>,
    #[serde(rename = "description")]
    _description: Option<String>,
    // Schemas are always held to, word for word.
    #[serde(rename = "strict")]
    _strict: Option<bool>,
}

impl Format {
    /// The same as a constraint; none for words.
    ///
    /// # Errors
    ///
    /// Naming the field of `path` that is missing or not known.
    pub(crate) fn constraint(self, path: &str) -> Result<Option<Grammar>, Fault> {
        Ok(Some(match self {
            Self::Text {} => return Ok(None),
            Self::JsonObject {} => Grammar::JsonObject,
            Self::JsonSchema { json_schema, schema, .. } => {
                match json_schema.and_then(|object| object.schema).or(schema) {
                    Some(schema) => Grammar::JsonSchema(schema),
                    None => {
                        let message = format!("`{path}` of type `json_schema` has no schema");
                        return Err(Fault::field(path, message));
                    }
                }
            }
            Self::Regex { pattern } => Grammar::Regex(pattern),
            Self::Grammar { syntax, grammar } => match syntax.as_deref() {
                None | Some("lark") => Grammar::Lark(grammar),
                Some(other) => {
                    let field = format!("{path}.syntax");
                    let message = format!("`{field}` is `{other}`, but only `lark` is known");
                    return Err(Fault::field(field, message));
                }
            },
        }))
    }
}

/// `guided_*`, as clients of vLLM write them.
#[derive(Debug, Default)]
pub(crate) struct Guided {
    pub(crate) json: Option<Value>,
    pub(crate) regex: Option<String>,
    pub(crate) grammar: Option<String>,
    pub(crate) choice: Option<Vec<String>>,
}

impl Guided {
    /// The one that is given, if not more than one is.
    ///
    /// # Errors
    ///
    /// If more than one is given, or one beside `response_format`.
    pub(crate) fn constraint(self, format: Option<Grammar>) -> Result<Option<Grammar>, Fault> {
        let schema = |value: Value| match value {
            // Some send the schema as a text.
            Value::String(text) => serde_json::from_str(&text).map_err(|error| {
                Fault::field("guided_json", format!("`guided_json` is not JSON: {error}"))
            }),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => Ok(value),
        };
        let mut given: Vec<Grammar> = format.into_iter().collect();
        given.extend(self.json.map(schema).transpose()?.map(Grammar::JsonSchema));
        given.extend(self.regex.map(Grammar::Regex));
        given.extend(self.grammar.map(Grammar::Lark));
        given.extend(self.choice.map(Grammar::Choice));
        if given.len() > 1 {
            let message =
                "`response_format` and the `guided_` fields exclude each other: give one of them";
            return Err(Fault::field("response_format", message));
        }
        Ok(given.pop())
    }
}

/// Ollama's `format`: `json`, or a schema.
///
/// # Errors
///
/// If it is neither.
pub(crate) fn of_ollama(format: Option<Value>) -> Result<Option<Grammar>, Fault> {
    match format {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(word)) if word.is_empty() => Ok(None),
        Some(Value::String(word)) if word == "json" => Ok(Some(Grammar::JsonObject)),
        Some(schema @ Value::Object(_)) => Ok(Some(Grammar::JsonSchema(schema))),
        Some(Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
            Err(Fault::field("format", "`format` must be `json` or a JSON Schema"))
        }
    }
}
