//! `POST /v1/rerank`, in the form of Jina's and Cohere's clients.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use manager::runtime::RerankOptions;
use serde::Deserialize;
use serde_json::json;

use crate::fault::Fault;
use crate::gate::Client;
use crate::number;
use crate::read::json;
use crate::sse;
use crate::state::Server;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
enum Document {
    Text(String),
    Object(TextObject),
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct TextObject {
    text: String,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RerankRequest")]
pub(crate) struct Request {
    model: String,
    query: String,
    documents: Vec<Document>,
    top_n: Option<usize>,
    #[serde(default)]
    return_documents: bool,
    /// Cuts documents that are too long, instead of refusing them.
    #[serde(default)]
    truncate: bool,
    /// Scores as the network gives them.
    #[serde(default)]
    raw_scores: bool,
    #[serde(rename = "user")]
    _user: Option<String>,
}

/// Orders documents by how well they answer.
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    body: Bytes,
) -> Result<Response, Fault> {
    let request: Request = json(&body)?;
    let most = server.limits().texts;
    if request.documents.is_empty() || request.documents.len() > most {
        let message = format!(
            "`documents` has {} texts, but must have from 1 to {most}",
            request.documents.len()
        );
        return Err(Fault::field("documents", message));
    }
    if request.top_n == Some(0) {
        return Err(Fault::field("top_n", "`top_n` is 0: ask for at least one"));
    }
    let text = |document| match document {
        Document::Text(text) | Document::Object(TextObject { text }) => text,
    };
    let documents: Vec<String> = request.documents.into_iter().map(text).collect();
    let kept = request.return_documents.then(|| documents.clone());
    let options = RerankOptions { truncate: request.truncate, logits: request.raw_scores };
    let texts = (request.query, documents);
    let judged = server.house.rerank(&request.model, texts, options, client.strict).await?;
    let mut order: Vec<usize> = (0..judged.relevances.len()).collect();
    let score = |index: usize| judged.relevances[index].score;
    // Stable: of equals the one that came first goes first.
    order.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
    order.truncate(request.top_n.unwrap_or(usize::MAX));
    let result = |&index: &usize| {
        let mut result = json!({"index": index, "relevance_score": score(index)});
        if let Some(kept) = &kept {
            result["document"] = json!({"text": kept[index]});
        }
        if judged.relevances[index].truncated {
            result["truncated"] = true.into();
        }
        result
    };
    let results: Vec<_> = order.iter().map(result).collect();
    let answer = json!({
        "id": number::name("rerank-"),
        "object": "list",
        "model": judged.model,
        "results": results,
    });
    Ok(sse::told(answer, judged.tokens, &judged.receipt))
}
