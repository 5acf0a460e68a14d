//! For models that were taught no form of their own: calls in a fence, as JSON or as Python writes them, or as the whole
//! answer.

use serde_json::Value;

use super::bare::{Bare, list};
use super::forced::{Forced, envelope};
use super::out::Out;
use super::pythonic;
use super::reader::Form;
use super::said::Fault;
use super::watch::Watch;
use super::{Known, object};
use crate::grammar::Grammar;
use crate::message::ToolCall;

pub(super) const KNOWN: Known = Known {
    name: "fenced",
    about: "```tool_code, and JSON or name(key=\"value\"); for models that were taught no form",
    signs: &[],
    frames: false,
    marks: &[],
    spell,
    force: |tools| {
        Ok(Some(Forced::new(
            "```tool_code\n",
            Grammar::JsonSchema(envelope(tools, "arguments", "#")),
        )))
    },
    answer: |_| "",
    form: |_| Box::new(Fenced { bare: Bare::new(), watch: Watch::new(FENCES), within: None }),
};

/// What opens a fence. In the last there may be other things than calls.
const FENCES: &[&str] = &["```tool_code", "```tool_call", "```json"];
const CLOSE: &str = "```";

pub(super) fn spell(calls: &[ToolCall]) -> String {
    let call = |call| format!("```tool_code\n{}\n```", object(call, "arguments"));
    calls.iter().map(call).collect::<Vec<_>>().join("\n")
}

#[derive(Debug)]
struct Fenced {
    bare: Bare,
    watch: Watch,
    /// The fence's mark and what stands in it.
    within: Option<(&'static str, String)>,
}

impl Fenced {
    fn plain(&mut self, c: char, out: &mut Out) {
        let mut passed = String::new();
        if let Some((open, body)) = &mut self.within {
            if self.watch.take(c, body).is_some() {
                let (open, body) = (*open, std::mem::take(body));
                self.within = None;
                self.watch = Watch::new(FENCES);
                tell(open, body, out);
            }
        } else {
            let mark = self.watch.take(c, &mut passed);
            out.text(&passed);
            if let Some(mark) = mark {
                self.within = Some((mark, String::new()));
                self.watch = Watch::new(&[CLOSE]);
            }
        }
    }
}

/// Tells what stands in a fence.
fn tell(open: &'static str, body: String, out: &mut Out) {
    let whole = || open.to_owned() + &body + CLOSE;
    let calls = objects(&body);
    if open == FENCES[2] {
        match calls {
            Some(calls) if calls.iter().all(|(name, _)| out.tools().get(name).is_some()) => {
                calls.iter().for_each(|(name, arguments)| out.call(name, arguments));
            }
            _ => out.text(&whole()),
        }
    } else if let Some(calls) = calls {
        calls.iter().for_each(|(name, arguments)| out.call(name, arguments));
    } else if pythonic::read(&body).is_some() {
        list(body, Fault::NotJson, out);
    } else {
        out.broken(whole(), Fault::NotJson);
    }
}

/// The calls in a text, if it is a JSON object that is one, or a list of such.
fn objects(text: &str) -> Option<Vec<(String, Value)>> {
    let read: Value = serde_json::from_str(text).ok()?;
    let objects = match read.as_array() {
        Some(objects) if objects.is_empty() => return None,
        Some(objects) => objects.clone(),
        None => vec![read],
    };
    let known = ["name", "arguments", "parameters", "id", "type"];
    let call = |object: Value| {
        if object.as_object()?.keys().any(|key| !known.contains(&key.as_str())) {
            return None;
        }
        let name = object.get("name")?.as_str()?.to_owned();
        let arguments = object.get("arguments").or_else(|| object.get("parameters"));
        Some((name, arguments.cloned().unwrap_or_else(|| Value::Object(Default::default()))))
    };
    objects.into_iter().map(call).collect()
}

impl Form for Fenced {
    fn take(&mut self, c: char, out: &mut Out) {
        if self.bare.off() {
            self.plain(c, out);
        } else {
            let text = self.bare.take(c, out);
            text.chars().for_each(|c| self.plain(c, out));
        }
    }

    fn finish(&mut self, out: &mut Out) {
        let text = self.bare.finish(out);
        text.chars().for_each(|c| self.plain(c, out));
        let rest = self.watch.rest();
        match self.within.take() {
            None => out.text(&rest),
            // Some end the answer instead of the fence.
            Some((open, body)) if objects(&body).is_some() || pythonic::read(&body).is_some() => {
                tell(open, body, out);
                out.text(&rest);
            }
            Some((open, body)) if open == FENCES[2] => out.text(&(open.to_owned() + &body + &rest)),
            Some((open, body)) => {
                out.broken(open.to_owned() + &body + &rest, Fault::Unfinished);
            }
        }
    }
}
