//! What a template takes of tools, calls and their answers, asked of the template itself; and conversations put into the
//! shape that it takes.
//!
//! Published templates disagree: on whether arguments are an object or a text, on what stands for no content, on ids of nine
//! letters, on one call in a message or several. Some know no tools, and some no calls. What a template does not print is
//! said in words, so that nothing is left out.

use minijinja::value::Value;
use serde_json::{Value as Json, json};

use super::{RenderOptions, Template};
use crate::dialect;
use crate::message::{Message, Part, Role, ToolCall};

const TOOL: &str = "folio_tool";
const CALLED: [&str; 2] = ["folio_called", "folio_called_too"];
const KEY: &str = "folio_key";
const WORDS: &str = "folio words";
/// The ids that the strictest templates take are letters and digits, so many.
const ID: usize = 9;

/// How a template prints the tools.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Offer {
    /// From `tools`.
    Variable,
    /// From the system message, as text.
    System,
    /// Not at all.
    Words,
}

/// What a template takes.
#[derive(Clone, Debug)]
pub(super) struct Manners {
    offer: Offer,
    /// Calls are printed.
    calls: bool,
    /// Answers of tools are printed.
    answers: bool,
    /// No content is `none`, not an empty text.
    null: bool,
    /// Arguments are a text.
    text: bool,
    /// Ids are nine letters and digits.
    nine: bool,
    /// A message has one call at most.
    one: bool,
    /// A message with calls has thinking or content, not both.
    either: bool,
}

fn message(role: Role, content: Value) -> Vec<(&'static str, Value)> {
    vec![("role", role.name().into()), ("content", content)]
}

fn call(name: &str, id: &str, text: bool) -> Value {
    let arguments = json!({KEY: 1});
    let arguments =
        if text { arguments.to_string().into() } else { super::json::value(&arguments) };
    let function = Value::from_pairs([("name", Value::from(name)), ("arguments", arguments)]);
    Value::from_pairs([("id", id.into()), ("type", "function".into()), ("function", function)])
}

impl Manners {
    pub(super) fn of(template: &Template) -> Self {
        let run = |messages: Vec<Vec<(&'static str, Value)>>, options: &RenderOptions| {
            let messages = messages.into_iter().map(Value::from_pairs).collect();
            template.run_values(messages, options, false).ok()
        };
        let plain = RenderOptions {
            now: Some(super::LocalTime::from_unix(0, 0)),
            ..RenderOptions::default()
        };
        let user = || message(Role::User, template.words(WORDS));
        let answer = |id: &str| {
            let mut answer = message(Role::Tool, template.words("folio answer"));
            answer.push(("tool_call_id", id.into()));
            answer.push(("name", CALLED[0].into()));
            answer
        };
        let calling = |content: Value, calls: Vec<Value>| {
            let mut message = message(Role::Assistant, content);
            message.push(("tool_calls", calls.into()));
            message
        };
        let (long, nine) = ("call_0123456789abcdef", "folioCall");
        let content = |null: bool| if null { Value::from(()) } else { template.words("") };
        let prints = |text: &str| {
            text.contains(CALLED[0])
                && text.contains(KEY)
                // A dictionary as Python or the engine would show it.
                && !text.contains(&format!("'{KEY}'"))
        };
        let one_call = |null: bool, text: bool, id: &str| {
            run(vec![user(), calling(content(null), vec![call(CALLED[0], id, text)])], &plain)
                .filter(|out| prints(out))
        };
        let nothing = |null: bool, text: bool| {
            let none = |out: &str| out.matches("none").count() + out.matches("None").count();
            one_call(null, text, nine).filter(|out| {
                // Some templates take it at the end alone.
                let goes_on = |null: bool| {
                    let asks = calling(content(null), vec![call(CALLED[0], nine, text)]);
                    let last = message(Role::Assistant, template.words(WORDS));
                    run(vec![user(), asks, answer(nine), last, user()], &plain).is_some()
                };
                !null
                    || (goes_on(true) || !goes_on(false))
                        && one_call(false, text, nine).is_none_or(|other| none(out) == none(&other))
            })
        };
        let shapes = [(true, false), (false, false), (true, true), (false, true)];
        let shape = shapes.into_iter().find(|&(null, text)| nothing(null, text).is_some());
        let calls = shape.is_some();
        let (null, text) = shape.unwrap_or((false, false));
        let asked = |id: &str| {
            let asks = match shape {
                Some(_) => calling(content(null), vec![call(CALLED[0], id, text)]),
                None => message(Role::Assistant, template.words(WORDS)),
            };
            run(vec![user(), asks, answer(id)], &plain).filter(|out| out.contains("folio answer"))
        };
        let two = || {
            let both = CALLED.map(|name| call(name, nine, text)).to_vec();
            let out = run(vec![user(), calling(content(null), both)], &plain);
            out.is_some_and(|out| prints(&out) && out.contains(CALLED[1]))
        };
        let thinking = |words: Value| {
            let mut asks = calling(words, vec![call(CALLED[0], nine, text)]);
            asks.extend(["reasoning_content", "thinking"].map(|name| (name, WORDS.into())));
            run(vec![user(), asks], &plain).is_some()
        };
        let tools = json!([{"type": "function", "function": {"name": TOOL, "description": WORDS,
                            "parameters": {"type": "object", "properties": {}}}}]);
        let offered = RenderOptions { tools: Some(tools), ..plain.clone() };
        let offers = |out: Option<String>| out.is_some_and(|out| out.contains(TOOL));
        let offer = if offers(run(vec![user()], &offered)) {
            Offer::Variable
        } else {
            let mut system = message(Role::System, template.words(WORDS));
            system.push(("tools", TOOL.into()));
            if offers(run(vec![system, user()], &plain)) { Offer::System } else { Offer::Words }
        };
        Self {
            offer,
            calls,
            answers: asked(nine).is_some(),
            null,
            text,
            nine: calls && asked(long).is_none() && asked(nine).is_some(),
            one: calls && !two(),
            either: calls && !thinking(template.words(WORDS)) && thinking(content(null)),
        }
    }

    /// Whether the template knows nothing of tools and calls.
    pub(super) fn ignorant(&self) -> bool {
        !self.calls && self.offer == Offer::Words
    }

    /// The conversation in the template's shape.
    pub(super) fn shape(
        &self,
        messages: &[Message],
        tools: Option<&Json>,
        source: &str,
    ) -> Vec<Message> {
        let form = dialect::spelling(source, self.ignorant());
        let mut out: Vec<Message> = Vec::new();
        for message in messages {
            let mut message = message.clone();
            if self.nine {
                message.tool_call_id = message.tool_call_id.map(|id| nine(&id));
                message.tool_calls.iter_mut().for_each(|call| call.id = nine(&call.id));
            }
            if !message.tool_calls.is_empty() && !self.calls {
                let calls = std::mem::take(&mut message.tool_calls);
                let before = if message.text().trim().is_empty() { "" } else { "\n" };
                message.content.push(Part::Text(before.to_owned() + &form(&calls)));
            }
            if message.role == Role::Tool && !self.answers {
                message = answered(message, out.last_mut());
                if message.content.is_empty() {
                    continue;
                }
            }
            let says = !message.text().trim().is_empty();
            if self.either
                && says
                && !message.tool_calls.is_empty()
                && let Some(thought) = &mut message.reasoning
            {
                // Both are thinking to it: the answer comes when the tool has answered.
                *thought = format!(
                    "{thought}\n\n{}",
                    message.content.iter().map(words).collect::<String>()
                );
                message.content.clear();
            }
            if self.one && message.tool_calls.len() > 1 {
                split(message, &mut out);
                continue;
            }
            // A person's words behind a tool's that stand in a person's message.
            let folds = !self.answers && message.role == Role::User;
            match out.last_mut() {
                Some(last)
                    if folds && last.role == Role::User && last.name.as_deref() == Some(SPOKEN) =>
                {
                    last.content.push(Part::Text("\n\n".to_owned()));
                    last.content.extend(message.content);
                }
                _ => out.push(message),
            }
        }
        if self.one {
            out = paired(out);
        }
        for message in &mut out {
            message.name = message.name.take().filter(|name| name != SPOKEN);
        }
        match tools.and_then(Json::as_array) {
            Some(tools) if !tools.is_empty() && self.offer == Offer::Words => {
                introduce(&mut out, &introduction(tools, form));
            }
            _ => {}
        }
        out
    }

    /// Tools as the text that stands in a system message.
    pub(super) fn in_system(&self, tools: Option<&Json>) -> Option<String> {
        let tools =
            tools?.as_array().filter(|tools| !tools.is_empty() && self.offer == Offer::System)?;
        let functions = tools.iter().map(|tool| tool.get("function").unwrap_or(tool).clone());
        Some(super::json::python(&Json::Array(functions.collect())))
    }

    /// The arguments of a call, and its message's content where there is none.
    pub(super) fn arguments(&self, arguments: &Json) -> Value {
        if self.text {
            return super::json::python(arguments).into();
        }
        super::json::value(arguments)
    }

    /// Whether a message without words and with calls has no content.
    pub(super) fn null(&self, message: &Message) -> bool {
        self.null
            && !message.tool_calls.is_empty()
            && message.text().trim().is_empty()
            && message.images().count() == 0
    }
}

/// The name of a message in which a tool's answer stands as a person's words.
const SPOKEN: &str = "\u{f8ff}tool";

fn words(part: &Part) -> &str {
    if let Part::Text(text) = part { text } else { "" }
}

/// A tool's answer as a person's words; into the message before where that is one already.
fn answered(message: Message, last: Option<&mut Message>) -> Message {
    let name = message.name.as_deref().map(|name| format!(" of {name}")).unwrap_or_default();
    let text = format!("Result{name}:\n{}", message.text());
    match last {
        Some(last) if last.role == Role::User && last.name.as_deref() == Some(SPOKEN) => {
            last.content.push(Part::Text(format!("\n\n{text}")));
            Message { content: Vec::new(), ..message }
        }
        _ => Message { name: Some(SPOKEN.to_owned()), ..Message::user(text) },
    }
}

/// A message for each call.
fn split(message: Message, out: &mut Vec<Message>) {
    for (index, call) in message.tool_calls.iter().enumerate() {
        let first = index == 0;
        out.push(Message {
            content: if first { message.content.clone() } else { Vec::new() },
            reasoning: message.reasoning.clone().filter(|_| first),
            tool_calls: vec![call.clone()],
            ..message.clone()
        });
    }
}

/// The answer to each call behind the call.
fn paired(messages: Vec<Message>) -> Vec<Message> {
    let mut out: Vec<Message> = Vec::new();
    for message in messages {
        let asks = |before: &Message| {
            message.tool_call_id.is_some()
                && before
                    .tool_calls
                    .iter()
                    .any(|call| Some(&call.id) == message.tool_call_id.as_ref())
        };
        // Only within the calls and answers at the end: an id may have been used before.
        let tail = out
            .iter()
            .rposition(|m| m.role != Role::Tool && m.tool_calls.is_empty())
            .map_or(0, |at| at + 1);
        match out[tail..].iter().position(asks).filter(|_| message.role == Role::Tool) {
            Some(at) => out.insert(tail + at + 1, message),
            None => out.push(message),
        }
    }
    out
}

/// An id of nine letters and digits: the id itself if it is one, else made of it, always the same.
fn nine(id: &str) -> String {
    if id.len() == ID && id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in id.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let digits = b"0123456789abcdefghijklmnopqrstuvwxyz";
    (0..ID)
        .map(|_| {
            let digit = digits[(hash % 36) as usize];
            hash /= 36;
            char::from(digit)
        })
        .collect()
}

/// What a model is told of its tools.
fn introduction(tools: &[Json], form: dialect::Spelling) -> String {
    let mut text = "You can call these functions:\n".to_owned();
    for tool in tools {
        let tool = tool.get("function").unwrap_or(tool);
        text += &super::json::python(tool);
        text.push('\n');
    }
    let example = ToolCall {
        id: String::new(),
        name: "NAME".to_owned(),
        arguments: json!({"PARAMETER": "VALUE"}),
    };
    text + "\nTo call one, end your answer with nothing but this, the name and the arguments filled in:\n"
        + &form(&[example])
}

/// Puts a text before the system's words, or the person's first ones.
fn introduce(messages: &mut Vec<Message>, text: &str) {
    let at = messages.iter().position(|message| matches!(message.role, Role::System | Role::User));
    match at {
        Some(at) => {
            let content = &mut messages[at].content;
            content.insert(0, Part::Text(format!("{text}\n\n")));
        }
        None => messages.insert(0, Message::user(text)),
    }
}
