//! A server that looks at pages by a script: it speaks OpenAI's chat completions and responses, and Ollama's chat.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Incoming, Port};

/// What the server says to a question.
#[derive(Clone, Debug)]
pub enum Said {
    /// A text, and why it ended: `stop`, `length`, or anything.
    Text(String, &'static str),
    /// The same with so many tokens of the prompt.
    Tokens(String, u64),
    /// A status, with the seconds of `Retry-After` if there are any.
    Status(u16, Option<u64>),
    /// Nothing, for so long; then the connection ends.
    Hang(Duration),
    /// Half of an answer, and then the end of the connection.
    Cut,
}

/// A question, as it came.
#[derive(Clone, Debug)]
pub struct Question {
    /// Where it was asked.
    pub path: String,
    /// The value of the header `authorization`.
    pub authorization: Option<String>,
    /// Its body.
    pub body: Value,
}

type Script = dyn Fn(usize, &Question) -> Said + Send + Sync;

/// The server. It ends with this.
pub struct Seer {
    port: Port,
    heard: Arc<Mutex<Vec<Question>>>,
}

impl Seer {
    /// Answers each question with what `script` makes of its number, from 0, and of itself. Its only
    /// model is `eyes`.
    ///
    /// # Panics
    /// If no port can be had.
    pub fn start(script: impl Fn(usize, &Question) -> Said + Send + Sync + 'static) -> Self {
        Self::of(&["eyes"], script)
    }

    /// The same with these models.
    ///
    /// # Panics
    /// If no port can be had.
    pub fn of(
        models: &'static [&'static str],
        script: impl Fn(usize, &Question) -> Said + Send + Sync + 'static,
    ) -> Self {
        let heard: Arc<Mutex<Vec<Question>>> = Arc::default();
        let told = Arc::clone(&heard);
        let port = Port::listen(move |stream| serve(&stream, models, &told, &script));
        Self { port, heard }
    }

    /// Where it listens, without a path.
    pub fn url(&self) -> String {
        self.port.url()
    }

    /// What it was asked so far.
    pub fn heard(&self) -> Vec<Question> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A page as olmOCR's models write it.
pub fn page(text: &str) -> String {
    format!(
        "---\nprimary_language: en\nis_rotation_valid: True\nrotation_correction: 0\n\
         is_table: False\nis_diagram: False\n---\n{text}"
    )
}

/// The same of a page that is to be turned by so many degrees.
pub fn turned(degrees: u16, text: &str) -> String {
    page(text)
        .replace("valid: True", "valid: False")
        .replace("correction: 0", &format!("correction: {degrees}"))
}

fn serve(
    stream: &TcpStream,
    models: &[&str],
    heard: &Mutex<Vec<Question>>,
    script: &Script,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let Some(incoming) = Incoming::read(&mut reader)? else { return Ok(()) };
    let path = incoming.target;
    let authorization = incoming.headers.get("authorization").cloned();
    let body: Value = serde_json::from_slice(&incoming.body).unwrap_or(Value::Null);
    if path.ends_with("/models") {
        let models: Vec<_> = models.iter().map(|id| json!({"id": id, "object": "model"})).collect();
        let list = json!({"object": "list", "data": models});
        return answer(stream, 200, "application/json", "", &list.to_string());
    }
    let question = Question { path, authorization, body };
    let number = {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(question.clone());
        heard.len() - 1
    };
    let (text, finish, tokens) = match script(number, &question) {
        Said::Text(text, finish) => (text, finish, 100),
        Said::Tokens(text, tokens) => (text, "stop", tokens),
        Said::Status(status, wait) => {
            let header = wait.map_or_else(String::new, |wait| format!("retry-after: {wait}\r\n"));
            let body = json!({"error": {"message": "as the script says", "type": "script"}});
            return answer(stream, status, "application/json", &header, &body.to_string());
        }
        Said::Hang(time) => {
            thread::sleep(time);
            return Ok(());
        }
        Said::Cut => {
            let mut stream = stream;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n";
            return stream.write_all(format!("{head}data: {{\"choi").as_bytes());
        }
    };
    let (kind, body) = worded(&question.path, &text, finish, tokens);
    answer(stream, 200, kind, "", &body)
}

/// An answer in the words of who is asked where.
fn worded(path: &str, text: &str, finish: &str, tokens: u64) -> (&'static str, String) {
    let events = |events: &[Value]| -> String {
        events.iter().map(|event| format!("data: {event}\n\n")).collect()
    };
    if path.ends_with("/responses") {
        let whole = finish == "stop";
        let usage =
            json!({"input_tokens": tokens, "output_tokens": 10, "total_tokens": tokens + 10});
        let response = json!({
            "id": "resp_1", "object": "response",
            "status": if whole { "completed" } else { "incomplete" },
            "incomplete_details": if whole { Value::Null } else { json!({"reason": "max_output_tokens"}) },
            "output": [{"type": "message", "role": "assistant",
                "content": [{"type": "output_text", "text": text}]}],
            "usage": usage,
        });
        let end = if whole { "response.completed" } else { "response.incomplete" };
        let delta = json!({"type": "response.output_text.delta", "delta": text});
        let body = events(&[delta, json!({"type": end, "response": response})]);
        return ("text/event-stream", body);
    }
    if path.starts_with("/api/") {
        let part = json!({"message": {"role": "assistant", "content": text}, "done": false});
        let end = json!({
            "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": finish,
            "prompt_eval_count": tokens, "eval_count": 10,
        });
        return ("application/x-ndjson", format!("{part}\n{end}\n"));
    }
    let part =
        json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]});
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]});
    let usage =
        json!({"prompt_tokens": tokens, "completion_tokens": 10, "total_tokens": tokens + 10});
    let usage = json!({"choices": [], "usage": usage});
    ("text/event-stream", events(&[part, end, usage]) + "data: [DONE]\n\n")
}

fn answer(
    mut stream: &TcpStream,
    status: u16,
    kind: &str,
    header: &str,
    body: &str,
) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Said\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n{header}\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}
