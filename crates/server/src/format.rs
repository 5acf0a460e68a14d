//! What an answer is to be, in the words of each dialect.

use manager::Grammar;
use serde::Deserialize;
use serde_json::Value;

use crate::fault::Fault;
use crate::read::Never;

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

/// `structured_outputs`, as clients of newer vLLMs write it: one of the first six.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StructuredOutputs")]
pub(crate) struct Structured {
    /// A JSON Schema that the answer must fit.
    json: Option<Value>,
    /// A regular expression that the answer must match.
    regex: Option<String>,
    /// A Lark grammar of the answer.
    grammar: Option<String>,
    /// Texts of which the answer must be one.
    choice: Option<Vec<String>>,
    /// Whether the answer must be some JSON object.
    json_object: Option<bool>,
    #[serde(default, rename = "structural_tag")]
    _structural_tag: Never,
    #[serde(default, rename = "whitespace_pattern")]
    _whitespace_pattern: Never,
    /// Only false.
    disable_any_whitespace: Option<bool>,
    /// Only false.
    disable_additional_properties: Option<bool>,
    // There is only one way here, so nothing else is tried if it fails.
    #[serde(rename = "disable_fallback")]
    _disable_fallback: Option<bool>,
}

impl Structured {
    /// The same as a constraint.
    ///
    /// # Errors
    ///
    /// Naming the field, if not just one says what the answer is to be, or if one wishes what is not done.
    fn constraint(self) -> Result<Grammar, Fault> {
        for (name, wished) in [
            ("disable_any_whitespace", self.disable_any_whitespace),
            ("disable_additional_properties", self.disable_additional_properties),
        ] {
            if wished == Some(true) {
                let field = format!("structured_outputs.{name}");
                let message = format!(
                    "`{field}` is not supported here: say it in the JSON Schema, or leave it out"
                );
                return Err(Fault::field(field, message));
            }
        }
        let mut given = Vec::new();
        given.extend(self.json.map(|it| schema("structured_outputs.json", it)).transpose()?);
        given.extend(self.regex.map(Grammar::Regex));
        given.extend(self.grammar.map(Grammar::Lark));
        given.extend(self.choice.map(Grammar::Choice));
        given.extend(self.json_object.filter(|wished| *wished).map(|_| Grammar::JsonObject));
        let message = match (given.pop(), given.is_empty()) {
            (Some(one), true) => return Ok(one),
            (Some(_), false) => "says several things",
            (None, _) => "says nothing",
        };
        let field = "structured_outputs";
        let message = format!(
            "`{field}` {message}: give one of json, regex, choice, grammar and json_object"
        );
        Err(Fault::field(field, message))
    }
}

/// A JSON Schema, which some send as a text.
fn schema(field: &str, value: Value) -> Result<Grammar, Fault> {
    let schema = match value {
        Value::String(text) => serde_json::from_str(&text)
            .map_err(|error| Fault::field(field, format!("`{field}` is not JSON: {error}")))?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value
        }
    };
    Ok(Grammar::JsonSchema(schema))
}

/// `guided_*` and `structured_outputs`, as clients of vLLM write them.
#[derive(Debug, Default)]
pub(crate) struct Guided {
    pub(crate) json: Option<Value>,
    pub(crate) regex: Option<String>,
    pub(crate) grammar: Option<String>,
    pub(crate) choice: Option<Vec<String>>,
    pub(crate) structured: Option<Structured>,
}

impl Guided {
    /// What is given. Clients that do not know which vLLM they speak to say the same in the words of both.
    ///
    /// # Errors
    ///
    /// If two differ, or one beside `response_format` does.
    pub(crate) fn constraint(self, format: Option<Grammar>) -> Result<Option<Grammar>, Fault> {
        let mut given: Vec<Grammar> = format.into_iter().collect();
        given.extend(self.json.map(|it| schema("guided_json", it)).transpose()?);
        given.extend(self.regex.map(Grammar::Regex));
        given.extend(self.grammar.map(Grammar::Lark));
        given.extend(self.choice.map(Grammar::Choice));
        given.extend(self.structured.map(Structured::constraint).transpose()?);
        if given.windows(2).any(|two| two[0] != two[1]) {
            let message = "`response_format`, `structured_outputs` and the `guided_` fields exclude each other: give one of them";
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn guided(regex: Option<&str>, structured: Value) -> Result<Option<Grammar>, Fault> {
        let structured = Some(serde_json::from_value(structured).unwrap());
        let regex = regex.map(str::to_owned);
        Guided { regex, structured, ..Guided::default() }.constraint(None)
    }

    #[test]
    fn structured_outputs_say_one_thing() {
        let said = |structured| guided(None, structured).unwrap().unwrap();
        let object = json!({"type": "object"});
        assert_eq!(said(json!({"json": object})), Grammar::JsonSchema(object.clone()));
        assert_eq!(said(json!({"json": object.to_string()})), Grammar::JsonSchema(object));
        assert_eq!(said(json!({"regex": "a+"})), Grammar::Regex("a+".to_owned()));
        assert_eq!(said(json!({"choice": ["a"]})), Grammar::Choice(vec!["a".to_owned()]));
        assert_eq!(said(json!({"grammar": "start: \"a\""})), Grammar::Lark("start: \"a\"".into()));
        assert_eq!(said(json!({"json_object": true, "regex": null})), Grammar::JsonObject);
        for (wrong, part) in [
            (json!({}), "says nothing"),
            (json!({"json_object": false}), "says nothing"),
            (json!({"regex": "a", "choice": ["a"]}), "says several things"),
            (json!({"json": "{"}), "is not JSON"),
            (json!({"regex": "a", "disable_any_whitespace": true}), "disable_any_whitespace"),
        ] {
            let fault = guided(None, wrong.clone()).unwrap_err();
            assert!(fault.message.contains(part), "{wrong}: {fault:?}");
        }
        for unknown in [json!({"structural_tag": "{}"}), json!({"whitespace_pattern": " "})] {
            assert!(serde_json::from_value::<Structured>(unknown).is_err());
        }
    }

    #[test]
    fn the_same_may_be_said_in_the_words_of_both() {
        let both = guided(Some("a+"), json!({"regex": "a+"})).unwrap();
        assert_eq!(both, Some(Grammar::Regex("a+".to_owned())));
        let fault = guided(Some("a+"), json!({"regex": "b+"})).unwrap_err();
        assert!(fault.message.contains("exclude each other"), "{fault:?}");
    }
}
