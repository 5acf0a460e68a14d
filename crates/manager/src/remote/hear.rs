//! Answers of each kind of remote, made into the same fragments, the same for every split of the stream.

use std::collections::BTreeMap;

use serde_json::Value;

use super::lines::{Events, LONGEST, Lines, TooLong};
use super::{Finish, Fragment};
use crate::config::RemoteKind;
use crate::runtime::Usage;

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It makes no sense.
    Garbage(String),
    /// It is larger than any true one.
    TooLarge,
    /// The remote says that it failed.
    Failed(String),
    /// It ended in the middle.
    Cut,
}

impl From<TooLong> for Wrong {
    fn from(_: TooLong) -> Self {
        Self::TooLarge
    }
}

/// How bytes are made into pieces of JSON.
#[derive(Debug)]
enum Framing {
    Events(Events),
    Lines(Lines),
    /// One piece, at the end.
    Whole(Vec<u8>),
}

/// Reads one answer.
#[derive(Debug)]
pub(super) struct Ear {
    kind: RemoteKind,
    framing: Framing,
    usage: Option<Usage>,
    finish: Option<Finish>,
    /// Calls by the place that the remote gives them: ours, from 0.
    calls: BTreeMap<u64, usize>,
    done: bool,
}

impl Ear {
    /// For an answer of this `content_type`: a remote that does not stream answers in one piece.
    pub(super) fn new(kind: RemoteKind, content_type: &str) -> Self {
        let whole = content_type.starts_with("application/json");
        let framing = match kind {
            RemoteKind::Ollama => Framing::Lines(Lines::new(LONGEST)),
            RemoteKind::OpenAi | RemoteKind::Responses if whole => Framing::Whole(Vec::new()),
            RemoteKind::OpenAi | RemoteKind::Responses => Framing::Events(Events::new(LONGEST)),
        };
        Self { kind, framing, usage: None, finish: None, calls: BTreeMap::new(), done: false }
    }

    /// What `bytes` say.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<Fragment>) -> Result<(), Wrong> {
        let mut pieces = Vec::new();
        match &mut self.framing {
            Framing::Events(events) => pieces = events.push(bytes)?,
            Framing::Lines(lines) => lines.push(bytes, |line| {
                if !line.iter().all(u8::is_ascii_whitespace) {
                    pieces.push(line.to_vec());
                }
            })?,
            Framing::Whole(body) => {
                if body.len() + bytes.len() > LONGEST {
                    return Err(Wrong::TooLarge);
                }
                body.extend_from_slice(bytes);
            }
        }
        pieces.iter().try_for_each(|piece| self.piece(piece, out))
    }

    /// What follows from the end of the stream.
    pub(super) fn finish(&mut self, out: &mut Vec<Fragment>) -> Result<(), Wrong> {
        let rest = match &mut self.framing {
            Framing::Events(_) => None,
            Framing::Lines(lines) => lines.finish(),
            Framing::Whole(body) => Some(std::mem::take(body)),
        };
        if let Some(rest) = rest.filter(|_| !self.done) {
            // A last line without its end may be a whole one, or a piece of one.
            let whole = serde_json::from_slice::<Value>(&rest).is_ok();
            if !whole {
                return Err(Wrong::Cut);
            }
            self.piece(&rest, out)?;
        }
        if !self.done && self.finish.is_some() {
            // Some servers end without saying so once more.
            self.end(out);
        }
        if self.done { Ok(()) } else { Err(Wrong::Cut) }
    }

    fn end(&mut self, out: &mut Vec<Fragment>) {
        if !std::mem::replace(&mut self.done, true) {
            out.extend(self.usage.map(Fragment::Usage));
            let finish = self.finish.take().unwrap_or(Finish::Stop);
            let called = !self.calls.is_empty() && finish == Finish::Stop;
            out.push(Fragment::End(if called { Finish::Calls } else { finish }));
        }
    }

    fn piece(&mut self, piece: &[u8], out: &mut Vec<Fragment>) -> Result<(), Wrong> {
        if self.done {
            return Ok(());
        }
        if piece == b"[DONE]" {
            if self.finish.is_none() {
                return Err(Wrong::Cut);
            }
            self.end(out);
            return Ok(());
        }
        let value: Value = serde_json::from_slice(piece)
            .map_err(|_| Wrong::Garbage("it is not the JSON that was expected".to_owned()))?;
        if !value.is_object() {
            return Err(Wrong::Garbage("it is not a JSON object".to_owned()));
        }
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            return Err(Wrong::Failed(words(error)));
        }
        match self.kind {
            RemoteKind::OpenAi => self.openai(&value, out),
            RemoteKind::Ollama => self.ollama(&value, out),
            RemoteKind::Responses => self.responses(&value, out),
        }
    }

    fn openai(&mut self, value: &Value, out: &mut Vec<Fragment>) -> Result<(), Wrong> {
        self.usage = usage(&value["usage"], "prompt_tokens", "completion_tokens").or(self.usage);
        let Some(choice) = value["choices"].get(0) else { return Ok(()) };
        let whole = choice.get("message").is_some();
        let said = if whole { &choice["message"] } else { &choice["delta"] };
        let thought = ["reasoning_content", "reasoning"];
        let thought = thought.iter().find_map(|name| text(&said[*name]));
        out.extend(thought.map(Fragment::Reasoning));
        out.extend(text(&said["content"]).map(Fragment::Text));
        for (at, call) in list(&said["tool_calls"]).iter().enumerate() {
            let place = call["index"].as_u64().unwrap_or(at as u64);
            let function = &call["function"];
            self.call(
                place,
                call["id"].as_str(),
                function["name"].as_str(),
                &function["arguments"],
                out,
            );
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.finish = Some(match reason {
                "stop" => Finish::Stop,
                "length" => Finish::Length,
                "tool_calls" | "function_call" => Finish::Calls,
                other => Finish::Incomplete(bounded(other)),
            });
        }
        if whole && self.finish.is_some() {
            self.end(out);
        }
        Ok(())
    }

    fn ollama(&mut self, value: &Value, out: &mut Vec<Fragment>) -> Result<(), Wrong> {
        let said = &value["message"];
        out.extend(text(&said["thinking"]).map(Fragment::Reasoning));
        out.extend(text(&said["content"]).map(Fragment::Text));
        for call in list(&said["tool_calls"]) {
            // Calls come whole, and have no numbers.
            let place = self.calls.len() as u64;
            let function = &call["function"];
            self.call(place, None, function["name"].as_str(), &function["arguments"], out);
        }
        let Some(done) = value["done"].as_bool() else {
            return Err(Wrong::Garbage("it does not say whether it is done".to_owned()));
        };
        if done {
            self.usage = usage(value, "prompt_eval_count", "eval_count");
            self.finish = Some(match value["done_reason"].as_str() {
                Some("length") => Finish::Length,
                Some("stop") | None => Finish::Stop,
                Some(other) => Finish::Incomplete(bounded(other)),
            });
            self.end(out);
        }
        Ok(())
    }

    fn responses(&mut self, value: &Value, out: &mut Vec<Fragment>) -> Result<(), Wrong> {
        let place = value["output_index"].as_u64().unwrap_or(0);
        match value["type"].as_str() {
            Some("response.output_text.delta" | "response.refusal.delta") => {
                out.extend(text(&value["delta"]).map(Fragment::Text));
            }
            Some("response.reasoning_text.delta" | "response.reasoning_summary_text.delta") => {
                out.extend(text(&value["delta"]).map(Fragment::Reasoning));
            }
            Some("response.output_item.added") if value["item"]["type"] == "function_call" => {
                let item = &value["item"];
                self.call(
                    place,
                    item["call_id"].as_str(),
                    item["name"].as_str(),
                    &Value::Null,
                    out,
                );
            }
            Some("response.function_call_arguments.delta") => {
                self.call(place, None, None, &value["delta"], out);
            }
            Some("response.completed" | "response.incomplete" | "response.failed") => {
                return self.response(&value["response"], out);
            }
            Some(_) => {}
            // The whole answer in one piece.
            None => {
                for (place, item) in list(&value["output"]).iter().enumerate() {
                    for content in list(&item["content"]) {
                        let reasoning = item["type"] == "reasoning";
                        let said = text(&content["text"]);
                        out.extend(said.map(if reasoning {
                            Fragment::Reasoning
                        } else {
                            Fragment::Text
                        }));
                    }
                    if item["type"] == "function_call" {
                        let (id, name) = (item["call_id"].as_str(), item["name"].as_str());
                        self.call(place as u64, id, name, &item["arguments"], out);
                    }
                }
                return self.response(value, out);
            }
        }
        Ok(())
    }

    /// The state of a whole response: only a completed one is a success.
    fn response(&mut self, response: &Value, out: &mut Vec<Fragment>) -> Result<(), Wrong> {
        self.usage = usage(&response["usage"], "input_tokens", "output_tokens");
        let reason = response["incomplete_details"]["reason"].as_str();
        self.finish = Some(match (response["status"].as_str(), reason) {
            (Some("completed"), _) => Finish::Stop,
            (Some("incomplete"), Some("max_output_tokens")) => Finish::Length,
            (Some("incomplete"), reason) => {
                Finish::Incomplete(bounded(reason.unwrap_or("incomplete")))
            }
            (Some("failed"), _) => return Err(Wrong::Failed(words(&response["error"]))),
            (status, _) => {
                let status = bounded(status.unwrap_or("none"));
                return Err(Wrong::Garbage(format!("its status is `{status}`")));
            }
        });
        self.end(out);
        Ok(())
    }

    fn call(
        &mut self,
        place: u64,
        id: Option<&str>,
        name: Option<&str>,
        arguments: &Value,
        out: &mut Vec<Fragment>,
    ) {
        let next = self.calls.len();
        let is_new = !self.calls.contains_key(&place);
        let index = *self.calls.entry(place).or_insert(next);
        if is_new {
            let id = id.filter(|id| !id.is_empty()).map(str::to_owned);
            out.push(Fragment::CallBegin { index, id, name: name.unwrap_or_default().to_owned() });
        }
        let delta = match arguments.as_str() {
            Some(text) => text.to_owned(),
            None if arguments.is_null() => String::new(),
            None => arguments.to_string(),
        };
        if !delta.is_empty() {
            out.push(Fragment::CallArguments { index, delta });
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn usage(value: &Value, prompt: &str, completion: &str) -> Option<Usage> {
    let count = |name: &str| usize::try_from(value.get(name)?.as_u64()?).ok();
    let completion_tokens = count(completion)?;
    let detail = |of: &str, name: &str| {
        usize::try_from(value.get(format!("{of}_details"))?.get(name)?.as_u64()?).ok()
    };
    Some(Usage {
        prompt_tokens: count(prompt).unwrap_or(0),
        completion_tokens,
        cached_tokens: detail(prompt, "cached_tokens"),
        reasoning_tokens: detail(completion, "reasoning_tokens"),
    })
}

/// What an error says, in a form that can be shown.
pub(super) fn words(error: &Value) -> String {
    let message = error.get("message").or_else(|| error.get("detail")).unwrap_or(error);
    bounded(&message.as_str().map_or_else(|| message.to_string(), str::to_owned))
}

/// A stranger's text, as far as it is shown.
pub(super) fn bounded(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(400).collect::<String>().trim().to_owned()
}
