//! Servers elsewhere: Ollama, servers that speak OpenAI's chat completions, and servers that speak its responses. A
//! question goes out in our words, and the answer comes back in fragments that say the same as a local one's pieces.
//!
//! - A key goes to its remote and nowhere else: redirects are not followed, and it is in no text that is shown.
//! - What a remote has no word for is an error that names the field, unless its settings let the field be left out.
//! - A question is sent again only where nothing of an answer came yet, after the pause that the remote asks for.
//! - A remote that fails again and again is left alone for a while ([`Breaker`]).

mod ask;
mod backend;
mod breaker;
mod error;
mod hear;
mod lines;
#[cfg(test)]
mod tests;
mod vectors;

use serde_json::Value;
use text::Message;

pub use backend::{Answer, Backend};
pub(crate) use backend::{is_near, read_key, retry_after};
pub use breaker::{Breaker, Health};
pub use error::Error;
pub use vectors::{Embedded, Judged};

use crate::config;
use crate::runtime::{GenerateOptions, Usage};

/// The port that Ollama listens on.
const OLLAMA_PORT: u16 = 11434;

/// What is asked of a remote.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The model, as it is called there.
    pub model: String,
    /// The conversation. The thinking of earlier answers is not sent: templates leave it out as well.
    pub messages: Vec<Message>,
    /// How to continue.
    pub options: GenerateOptions,
    /// Tools in OpenAI's form, a list, if there are any.
    pub tools: Option<Value>,
    /// Which of them is to be called, in OpenAI's form.
    pub tool_choice: Option<Value>,
    /// Whether it is to think, if that is said.
    pub think: Option<bool>,
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Fragment {
    /// More words; never empty.
    Text(String),
    /// More of the thinking before them; never empty.
    Reasoning(String),
    /// A tool is called. Calls are numbered from 0.
    CallBegin {
        /// Which call.
        index: usize,
        /// Its name for the answer of the tool, if the remote gives it one.
        id: Option<String>,
        /// The tool.
        name: String,
    },
    /// More of the arguments of a call, as the model wrote them: whether they are JSON in the end, nobody has checked.
    CallArguments {
        /// Whose.
        index: usize,
        /// The text; never empty.
        delta: String,
    },
    /// What it took, if the remote says it.
    Usage(Usage),
    /// The end; nothing follows.
    End(Finish),
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it, or a text that was to end it occurred.
    Stop,
    /// It called tools.
    Calls,
    /// It was as long as it might be.
    Length,
    /// It is not whole for another reason, which the remote calls so.
    Incomplete(String),
}

impl Finish {
    /// Whether nothing is missing.
    pub fn is_whole(&self) -> bool {
        matches!(self, Self::Stop | Self::Calls)
    }
}

/// Where Ollama is, by the value of `OLLAMA_HOST`: an address, a name, a port, or nothing.
pub fn ollama_address(host: Option<&str>) -> String {
    let text = host.map(str::trim).filter(|text| !text.is_empty()).unwrap_or("127.0.0.1");
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let rest = rest.trim_end_matches('/');
    let (place, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    // A colon within brackets is a part of the address.
    let colon = place.rfind(':').filter(|at| !place[*at..].contains(']'));
    let (name, port) = match colon {
        Some(at) => (&place[..at], place[at + 1..].parse().ok()),
        None => (place, None),
    };
    // What a server listens on everywhere is reached on this machine.
    let name = match name {
        "" | "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        name => name,
    };
    let usual = match (scheme, text.contains("://")) {
        ("https", true) => 443,
        ("http", true) => 80,
        _ => OLLAMA_PORT,
    };
    format!("{scheme}://{name}:{}{path}", port.unwrap_or(usual))
}

/// The settings of the Ollama that is there without being set.
pub fn ollama(host: Option<&str>) -> config::Remote {
    config::Remote::at(config::RemoteKind::Ollama, &ollama_address(host))
}
