//! `POST /api/generate`.

use std::time::Instant;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use manager::house::Ask;
use manager::runtime::Prompt;
use manager::{Message, Part, RenderOptions, Role};
use serde_json::Value;

use super::chat::{images, loaded, thinking};
use super::options::{KeepAlive, asking};
use super::{Lines, Said, answered};
use crate::fault::Fault;
use crate::gate::Client;
use crate::read::{Never, json};
use crate::sse;
use crate::state::Server;

asking! {
    #[schemars(rename = "OllamaGenerateRequest")]
    pub(crate) struct Request {
        /// What is said; without it, the model is loaded or let go.
        #[serde(default)]
        prompt: String,
        /// What stands before it.
        system: Option<String>,
        /// Pictures, as base64.
        images: Option<Vec<String>>,
        /// Continues the prompt as it is, without the model's chat template.
        #[serde(default)]
        raw: bool,
        #[serde(default, rename = "suffix")]
        _suffix: Never,
        #[serde(default, rename = "template")]
        _template: Never,
        #[serde(default, rename = "context")]
        _context: Never,
    }
}

/// Answers a prompt; one without words loads the model, or lets it go.
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    body: Bytes,
) -> Result<Response, Fault> {
    let begun = Instant::now();
    let mut request: Request = json(&body)?;
    let options = request.continued(&client, server.limits())?;
    let keep = KeepAlive::of(request.keep_alive.as_ref())?;
    let mut content = images("images", request.images)?;
    if request.prompt.is_empty() && content.is_empty() {
        let mut line = loaded(&server, &request.model, keep).await?;
        line["response"] = "".into();
        return Ok(sse::typed(
            "application/json",
            futures_util::stream::iter([line.to_string().into()]),
        ));
    }
    let prompt = if request.raw {
        if !content.is_empty() {
            return Err(Fault::field("images", "plain text mentions no images: leave `raw` out"));
        }
        if request.system.is_some() {
            return Err(Fault::field("system", "plain text has no instructions: leave `raw` out"));
        }
        Prompt::Text(request.prompt)
    } else {
        content.push(Part::Text(request.prompt));
        let mut messages: Vec<_> = request.system.map(Message::system).into_iter().collect();
        messages.push(Message { content, ..Message::new(Role::User, "") });
        let render = thinking(RenderOptions::answer(), request.think.as_ref())?;
        Prompt::Chat(messages, Box::new(render))
    };
    let model = request.model.clone();
    let answer = server
        .house
        .answer(Ask { model: request.model, prompt, options, strict: client.strict })
        .await?;
    KeepAlive::apply(keep, &server.house, &model).await?;
    let header = answer.receipt().header();
    let response = answered(answer, GenerateLines, request.stream, begun).await?;
    Ok(sse::routed(response, &header))
}

struct GenerateLines;

impl Lines for GenerateLines {
    fn say(&self, line: &mut Value, said: &Said) {
        line["response"] = said.text.as_str().into();
        if !said.thinking.is_empty() {
            line["thinking"] = said.thinking.as_str().into();
        }
    }
}
