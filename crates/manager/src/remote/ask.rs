//! Questions in the words of each kind of remote. What it has no word for is an error that names the field, unless the
//! remote's settings let it be left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use text::grammar::Grammar;
use text::{Image, Message, Part, Role};

use super::{Error, Question};
use crate::config::{Remote, RemoteKind};
use crate::runtime::GenerateOptions;

/// A question as it is sent, and the fields that were left out because that is allowed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Body {
    pub(super) json: Value,
    pub(super) dropped: Vec<&'static str>,
}

/// Words `question` for the remote that is called `name`.
pub(super) fn chat(name: &str, remote: &Remote, question: &Question) -> Result<Body, Error> {
    let mut form = Form { name, remote, json: json!({}), dropped: Vec::new() };
    form.put(&["model"], json!(question.model));
    form.put(&["stream"], json!(true));
    match remote.kind {
        RemoteKind::OpenAi => {
            form.put(&["stream_options", "include_usage"], json!(true));
            let messages = question.messages.iter().map(openai_message);
            form.put(&["messages"], messages.collect());
        }
        RemoteKind::Ollama => {
            // A prompt that is too long is to be an error, and not cut.
            form.put(&["truncate"], json!(false));
            form.put(&["shift"], json!(false));
            let messages = question.messages.iter().map(ollama_message);
            form.put(&["messages"], messages.collect());
        }
        RemoteKind::Responses => {
            form.put(&["store"], json!(false));
            let items = question.messages.iter().flat_map(response_items);
            form.put(&["input"], items.collect());
        }
    }
    form.options(&question.options)?;
    form.tools(question)?;
    if let Some(think) = question.think {
        form.field("think", json!(think))?;
    }
    Ok(Body { json: form.json, dropped: form.dropped })
}

struct Form<'a> {
    name: &'a str,
    remote: &'a Remote,
    json: Value,
    dropped: Vec<&'static str>,
}

impl Form<'_> {
    /// Puts a value at a path of objects.
    fn put(&mut self, path: &[&str], value: Value) {
        let mut place = &mut self.json;
        for part in path {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            place = &mut place[*part];
        }
        *place = value;
    }

    /// Puts the field `name`, where the remote has a word for it.
    fn field(&mut self, name: &'static str, value: Value) -> Result<(), Error> {
        match word(self.remote.kind, name) {
            Some(path) => {
                self.put(path, value);
                return Ok(());
            }
            None if self.remote.understands.iter().any(|field| field == name) => {
                match name {
                    "think" => self.put(&["chat_template_kwargs", "enable_thinking"], value),
                    name => self.put(&[name], value),
                }
                return Ok(());
            }
            None => {}
        }
        self.refuse(name)
    }

    fn refuse(&mut self, field: &'static str) -> Result<(), Error> {
        if self.remote.may_drop.iter().any(|may| may == field) {
            self.dropped.push(field);
            return Ok(());
        }
        let kind = self.remote.kind.name();
        Err(Error::Unsupported { remote: self.name.to_owned(), kind, field })
    }

    fn options(&mut self, options: &GenerateOptions) -> Result<(), Error> {
        // Every field is named, so that a new one cannot be forgotten. How urgent a request is and whose are ours alone,
        // and remotes always tell thinking and calls apart.
        let GenerateOptions {
            max_tokens,
            temperature,
            top_p,
            top_k,
            min_p,
            repetition_penalty,
            presence_penalty,
            frequency_penalty,
            repetition_context,
            typical_p,
            logit_bias,
            logprobs,
            seed,
            stop,
            ignore_eos,
            constraint,
            tell_apart: _,
            priority: _,
            client: _,
            // `Question::tool_choice` says it.
            must_call: _,
            invariant,
        } = options;
        let whole = |number: &Option<usize>| number.map(|number| json!(number));
        let fields = [
            ("max_tokens", whole(max_tokens)),
            ("temperature", temperature.map(decimal)),
            ("top_p", top_p.map(decimal)),
            ("top_k", whole(top_k)),
            ("min_p", min_p.map(decimal)),
            ("repetition_penalty", repetition_penalty.map(decimal)),
            ("presence_penalty", presence_penalty.map(decimal)),
            ("frequency_penalty", frequency_penalty.map(decimal)),
            ("repetition_context", whole(repetition_context)),
            ("typical_p", typical_p.map(decimal)),
            ("seed", seed.map(|seed| json!(seed))),
            ("stop", (!stop.is_empty()).then(|| json!(stop))),
            ("ignore_eos", ignore_eos.then(|| json!(true))),
            ("batch_invariant", invariant.then(|| json!(true))),
            (
                "logit_bias",
                (!logit_bias.is_empty()).then(|| {
                    logit_bias
                        .iter()
                        .map(|(token, bias)| (token.to_string(), decimal(*bias)))
                        .collect()
                }),
            ),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                self.field(name, value)?;
            }
        }
        if logprobs.is_some() {
            // Their answers have a form for each kind, which is not read.
            self.refuse("logprobs")?;
        }
        match constraint {
            None => Ok(()),
            Some(Grammar::JsonSchema(schema)) => self.format(Some(schema)),
            Some(Grammar::JsonObject) => self.format(None),
            Some(Grammar::Regex(pattern)) => self.regex(pattern),
            Some(Grammar::Lark(_)) => self.refuse("grammar"),
            Some(Grammar::Choice(_)) => self.refuse("choice"),
        }
    }

    /// An answer that a regular expression matches, in the words that the remote is said to understand: servers called
    /// this `guided_regex` before they called it `structured_outputs`, and some read what they know of both.
    fn regex(&mut self, pattern: &str) -> Result<(), Error> {
        let understood = |word: &str| self.remote.understands.iter().any(|field| field == word);
        let words = [understood("guided_regex"), understood("structured_outputs")];
        if words == [false; 2] {
            return self.refuse("regex");
        }
        if words[0] {
            self.put(&["guided_regex"], json!(pattern));
        }
        if words[1] {
            self.put(&["structured_outputs", "regex"], json!(pattern));
        }
        Ok(())
    }

    /// An answer of this JSON Schema, or of any JSON.
    fn format(&mut self, schema: Option<&Value>) -> Result<(), Error> {
        let (path, value): (&[&str], Value) = match (self.remote.kind, schema) {
            (RemoteKind::OpenAi, Some(schema)) => {
                let schema = json!({ "name": "answer", "schema": schema, "strict": true });
                (&["response_format"], json!({ "type": "json_schema", "json_schema": schema }))
            }
            (RemoteKind::OpenAi, None) => (&["response_format"], json!({ "type": "json_object" })),
            (RemoteKind::Ollama, Some(schema)) => (&["format"], schema.clone()),
            (RemoteKind::Ollama, None) => (&["format"], json!("json")),
            (RemoteKind::Responses, Some(schema)) => (
                &["text", "format"],
                json!({ "type": "json_schema", "name": "answer", "schema": schema, "strict": true }),
            ),
            (RemoteKind::Responses, None) => {
                (&["text", "format"], json!({ "type": "json_object" }))
            }
        };
        self.put(path, value);
        Ok(())
    }

    fn tools(&mut self, question: &Question) -> Result<(), Error> {
        if let Some(tools) =
            question.tools.as_ref().and_then(Value::as_array).filter(|t| !t.is_empty())
        {
            let flat = |tool: &Value| {
                let mut tool = tool.get("function").unwrap_or(tool).clone();
                tool["type"] = json!("function");
                tool
            };
            let nested = |tool: &Value| match tool.get("function") {
                Some(_) => tool.clone(),
                None => json!({ "type": "function", "function": tool }),
            };
            let tools: Vec<_> = match self.remote.kind {
                RemoteKind::Responses => tools.iter().map(flat).collect(),
                RemoteKind::OpenAi | RemoteKind::Ollama => tools.iter().map(nested).collect(),
            };
            self.put(&["tools"], json!(tools));
        }
        match &question.tool_choice {
            // What is so anyway.
            Some(choice) if self.remote.kind == RemoteKind::Ollama && choice == "auto" => Ok(()),
            Some(choice) => self.field("tool_choice", choice.clone()),
            None => Ok(()),
        }
    }
}

/// Where a field stands in what a kind of remote reads.
fn word(kind: RemoteKind, field: &str) -> Option<&'static [&'static str]> {
    Some(match (kind, field) {
        (RemoteKind::OpenAi, "max_tokens") => &["max_tokens"],
        (RemoteKind::Responses, "max_tokens") => &["max_output_tokens"],
        (RemoteKind::OpenAi | RemoteKind::Responses, "temperature") => &["temperature"],
        (RemoteKind::OpenAi | RemoteKind::Responses, "top_p") => &["top_p"],
        (RemoteKind::OpenAi | RemoteKind::Responses, "tool_choice") => &["tool_choice"],
        (RemoteKind::OpenAi, "presence_penalty") => &["presence_penalty"],
        (RemoteKind::OpenAi, "frequency_penalty") => &["frequency_penalty"],
        (RemoteKind::OpenAi, "seed") => &["seed"],
        (RemoteKind::OpenAi, "stop") => &["stop"],
        (RemoteKind::OpenAi, "logit_bias") => &["logit_bias"],
        (RemoteKind::Ollama, "max_tokens") => &["options", "num_predict"],
        (RemoteKind::Ollama, "temperature") => &["options", "temperature"],
        (RemoteKind::Ollama, "top_p") => &["options", "top_p"],
        (RemoteKind::Ollama, "top_k") => &["options", "top_k"],
        (RemoteKind::Ollama, "min_p") => &["options", "min_p"],
        (RemoteKind::Ollama, "typical_p") => &["options", "typical_p"],
        (RemoteKind::Ollama, "repetition_penalty") => &["options", "repeat_penalty"],
        (RemoteKind::Ollama, "repetition_context") => &["options", "repeat_last_n"],
        (RemoteKind::Ollama, "presence_penalty") => &["options", "presence_penalty"],
        (RemoteKind::Ollama, "frequency_penalty") => &["options", "frequency_penalty"],
        (RemoteKind::Ollama, "seed") => &["options", "seed"],
        (RemoteKind::Ollama, "stop") => &["options", "stop"],
        (RemoteKind::Ollama, "think") => &["think"],
        _ => return None,
    })
}

/// The shortest decimal that is this number: `0.1`, and not what a wider float makes of it.
fn decimal(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, |number| json!(number))
}

/// The media type of a picture, by its first bytes.
fn media_type(bytes: &[u8]) -> &'static str {
    match bytes {
        [0xFF, 0xD8, 0xFF, ..] => "image/jpeg",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => "image/tiff",
        _ => "image/png",
    }
}

fn data_url(image: &Image) -> String {
    format!("data:{};base64,{}", media_type(image.bytes()), STANDARD.encode(image.bytes()))
}

fn openai_message(message: &Message) -> Value {
    let mut out = json!({ "role": message.role.name() });
    let sees = message.images().next().is_some();
    out["content"] = if sees {
        let part = |part: &Part| match part {
            Part::Text(text) => json!({ "type": "text", "text": text }),
            Part::Image(image) => {
                json!({ "type": "image_url", "image_url": { "url": data_url(image) } })
            }
        };
        message.content.iter().map(part).collect()
    } else if message.content.is_empty() && !message.tool_calls.is_empty() {
        Value::Null
    } else {
        json!(message.text())
    };
    if !message.tool_calls.is_empty() {
        let call = |call: &text::ToolCall| {
            let function = json!({ "name": call.name, "arguments": call.arguments.to_string() });
            json!({ "id": call.id, "type": "function", "function": function })
        };
        out["tool_calls"] = message.tool_calls.iter().map(call).collect();
    }
    if let Some(id) = &message.tool_call_id {
        out["tool_call_id"] = json!(id);
    }
    if let Some(name) = &message.name {
        out["name"] = json!(name);
    }
    out
}

fn ollama_message(message: &Message) -> Value {
    let mut out = json!({ "role": message.role.name(), "content": message.text() });
    let images: Vec<_> = message.images().map(|image| STANDARD.encode(image.bytes())).collect();
    if !images.is_empty() {
        out["images"] = json!(images);
    }
    if !message.tool_calls.is_empty() {
        let call = |call: &text::ToolCall| json!({ "function": { "name": call.name, "arguments": call.arguments } });
        out["tool_calls"] = message.tool_calls.iter().map(call).collect();
    }
    if let (Role::Tool, Some(name)) = (message.role, &message.name) {
        out["tool_name"] = json!(name);
    }
    out
}

/// A message may be several items there: what is said, each call, an answer of a tool.
fn response_items(message: &Message) -> Vec<Value> {
    if message.role == Role::Tool {
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        return vec![
            json!({ "type": "function_call_output", "call_id": id, "output": message.text() }),
        ];
    }
    let said = if message.role == Role::Assistant { "output_text" } else { "input_text" };
    let part = |part: &Part| match part {
        Part::Text(text) => json!({ "type": said, "text": text }),
        Part::Image(image) => json!({ "type": "input_image", "image_url": data_url(image) }),
    };
    let mut items = Vec::new();
    if !message.content.is_empty() {
        let content: Vec<_> = message.content.iter().map(part).collect();
        items.push(json!({ "type": "message", "role": message.role.name(), "content": content }));
    }
    items.extend(message.tool_calls.iter().map(|call| {
        let arguments = call.arguments.to_string();
        json!({ "type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments })
    }));
    items
}
