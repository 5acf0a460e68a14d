//! Channels: an answer of several messages, each with a header that says for whom it is. `analysis` is thinking, `final` the
//! answer, and a message to `functions.NAME` a call.

use super::forced::named;
use super::out::Out;
use super::reader::Form;
use super::said::Fault;
use super::watch::Watch;
use super::{Known, python};
use crate::message::ToolCall;

pub(super) const KNOWN: Known = Known {
    name: "harmony",
    about: "<|channel|>commentary to=functions.name<|message|>{...}<|call|>",
    signs: &["<|channel|>"],
    frames: true,
    marks: MARKS,
    spell: |calls| {
        let call = |call: &ToolCall| {
            let (name, arguments) = (&call.name, python(&call.arguments));
            format!(
                "<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{arguments}<|call|>"
            )
        };
        calls.iter().map(call).collect::<Vec<_>>().join("<|start|>assistant")
    },
    force: |tools| {
        named("<|channel|>commentary to=functions.", tools, " <|constrain|>json<|message|>")
            .map(Some)
    },
    answer: |prompt| if prompt.trim_end().ends_with(ASSISTANT) { FINAL } else { "" },
    form: |prompt| {
        let mut harmony = Harmony::new();
        // What the template began is read, but was not said.
        if let Some(at) = prompt.rfind(START) {
            let mut unsaid = Out::default();
            prompt[at..].chars().for_each(|c| harmony.take(c, &mut unsaid));
            if let At::Header(header) = &harmony.at {
                harmony.unsaid = header.len();
            }
        }
        Box::new(harmony)
    },
};

/// Behind it a message of the model begins.
const ASSISTANT: &str = "<|start|>assistant";
/// With this header it is the answer.
const FINAL: &str = "<|channel|>final<|message|>";
const START: &str = "<|start|>";
const CHANNEL: &str = "<|channel|>";
const CONSTRAIN: &str = "<|constrain|>";
const MESSAGE: &str = "<|message|>";
const END: &str = "<|end|>";
const CALL: &str = "<|call|>";
const RETURN: &str = "<|return|>";
const MARKS: &[&str] = &[START, CHANNEL, CONSTRAIN, MESSAGE, END, CALL, RETURN];

/// The longest header.
const HEADER: usize = 1024;

#[derive(Debug)]
enum At {
    /// No header was seen yet, or the last message has ended.
    Outside,
    /// In a header, marks included.
    Header(String),
    Text,
    Reasoning,
    /// In a call's arguments.
    Call,
    /// The same, before anything but whitespace.
    CallBegins,
}

#[derive(Debug)]
struct Harmony {
    at: At,
    watch: Watch,
    /// How much of the header the template wrote.
    unsaid: usize,
}

impl Harmony {
    fn new() -> Self {
        Self { at: At::Outside, watch: Watch::new(MARKS), unsaid: 0 }
    }

    /// A message begins.
    fn message(&mut self, header: &str, out: &mut Out) {
        out.mark();
        let (channel, recipient) = read(header);
        if let Some(recipient) = recipient {
            out.begin(recipient.strip_prefix("functions.").unwrap_or(recipient));
            self.at = At::CallBegins;
        } else if channel == Some("analysis") {
            self.at = At::Reasoning;
        } else {
            self.at = At::Text;
        }
    }

    /// A message, or what was said without a header, ends here or is followed by a header.
    fn mark(&mut self, mark: &'static str, out: &mut Out) {
        match (&mut self.at, mark) {
            (At::Header(header), MESSAGE) => {
                let header = std::mem::take(header);
                self.unsaid = 0;
                self.message(&header, out);
            }
            (At::Header(header), CHANNEL | CONSTRAIN) => header.push_str(mark),
            (At::Header(_), _) => {
                self.broken(Fault::Unfinished, out);
                out.mark();
                self.after(mark);
            }
            (At::Call | At::CallBegins, _) => {
                if matches!(self.at, At::CallBegins) {
                    out.arguments("{}");
                }
                out.end(if mark == MESSAGE { Some(Fault::Unfinished) } else { None });
                self.after(mark);
            }
            (At::Outside, MESSAGE) => self.message("", out),
            (At::Text | At::Reasoning | At::Outside, _) => {
                out.mark();
                self.after(mark);
            }
        }
    }

    /// What follows a mark that ended something.
    fn after(&mut self, mark: &'static str) {
        self.at = match mark {
            START => At::Header(String::new()),
            CHANNEL | CONSTRAIN => At::Header(mark.to_owned()),
            MESSAGE => At::Text,
            _ => At::Outside,
        };
    }

    /// A header that no message follows. The speaker alone says nothing.
    fn broken(&mut self, fault: Fault, out: &mut Out) {
        if let At::Header(header) = &mut self.at {
            let header = std::mem::take(header);
            self.at = At::Outside;
            let said = &header[std::mem::take(&mut self.unsaid).min(header.len())..];
            if !said.trim().is_empty() && said.trim() != "assistant" {
                out.broken(said.to_owned(), fault);
            }
        }
    }

    fn say(&mut self, text: &str, out: &mut Out) {
        match &mut self.at {
            At::Outside if text.trim().is_empty() => {}
            At::Outside | At::Text => {
                self.at = At::Text;
                out.text(text);
            }
            At::Reasoning => out.reasoning(text),
            At::Call => out.arguments(text),
            At::CallBegins if text.trim().is_empty() => {}
            At::CallBegins => {
                self.at = At::Call;
                out.arguments(text);
            }
            At::Header(header) => {
                header.push_str(text);
                if header.len() > HEADER {
                    self.broken(Fault::TooLong, out);
                    self.at = At::Text;
                }
            }
        }
    }
}

/// The channel and the recipient of a header, such as `assistant to=functions.f<|channel|>commentary <|constrain|>json`.
fn read(header: &str) -> (Option<&str>, Option<&str>) {
    let channel = header.split_once(CHANNEL).and_then(|(_, rest)| {
        rest.split(|c: char| c.is_whitespace() || c == '<').find(|word| !word.is_empty())
    });
    let recipient = header.find("to=").map(|at| {
        let rest = &header[at + 3..];
        let end = rest.find(|c: char| c.is_whitespace() || c == '<').unwrap_or(rest.len());
        &rest[..end]
    });
    (channel, recipient.filter(|name| !name.is_empty() && *name != "assistant" && *name != "user"))
}

impl Form for Harmony {
    fn take(&mut self, c: char, out: &mut Out) {
        let mut passed = String::new();
        let mark = self.watch.take(c, &mut passed);
        if !passed.is_empty() {
            self.say(&passed, out);
        }
        if let Some(mark) = mark {
            self.mark(mark, out);
        }
    }

    fn finish(&mut self, out: &mut Out) {
        let held = self.watch.rest();
        if !held.is_empty() {
            self.say(&held, out);
        }
        self.broken(Fault::Unfinished, out);
        match std::mem::replace(&mut self.at, At::Outside) {
            // The mark behind a call ends the answer, and so may not be part of it.
            At::Call => match out.is_object() {
                true => out.end(None),
                false => out.end(Some(Fault::Unfinished)),
            },
            At::CallBegins => out.end(Some(Fault::Unfinished)),
            At::Header(_) | At::Outside | At::Text | At::Reasoning => {}
        }
    }
}
