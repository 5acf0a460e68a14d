//! `POST /v1/rerank`, in the form of Jina's and Cohere's clients: by cross-encoders, and by late interaction.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use manager::runtime::{Compared, RerankOptions};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::gate::Client;
use crate::number;
use crate::openai::image;
use crate::read::json;
use crate::sse;
use crate::state::Server;
use crate::web;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
enum Document {
    Text(String),
    Object(Object),
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RerankDocument")]
struct Object {
    #[serde(default)]
    text: Option<String>,
    /// The image of a page, as a `data:` address.
    #[serde(default)]
    image: Option<String>,
}

impl Document {
    /// What is compared, and the same as it is told again.
    fn read(self, index: usize, told: bool) -> Result<(Compared, Option<Value>), Fault> {
        let path = format!("documents[{index}]");
        let (text, url) = match self {
            Self::Text(text) => (Some(text), None),
            Self::Object(Object { text, image }) => (text, image),
        };
        match (text, url) {
            (Some(text), None) => {
                let again = told.then(|| json!({"text": text}));
                Ok((Compared::Text(text), again))
            }
            (None, Some(url)) => {
                let image = image(&format!("{path}.image"), &url)?;
                Ok((Compared::Image(image), told.then(|| json!({"image": url}))))
            }
            (Some(_), Some(_)) | (None, None) => {
                Err(Fault::field(&path, format!("`{path}` must hold `text` or `image`")))
            }
        }
    }
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
    let body = web::fetched(&server, body).await?;
    let request: Request = json(&body)?;
    let most = server.limits().texts;
    if request.documents.is_empty() || request.documents.len() > most {
        let message =
            format!("`documents` has {}, but must have from 1 to {most}", request.documents.len());
        return Err(Fault::field("documents", message));
    }
    if request.top_n == Some(0) {
        return Err(Fault::field("top_n", "`top_n` is 0: ask for at least one"));
    }
    let again = request.return_documents;
    let read = |(index, document): (usize, Document)| document.read(index, again);
    let read = request.documents.into_iter().enumerate().map(read);
    let (documents, kept): (Vec<_>, Vec<_>) =
        read.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
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
        if let Some(kept) = &kept[index] {
            result["document"] = kept.clone();
        }
        if judged.relevances[index].truncated {
            result["truncated"] = true.into();
        }
        result
    };
    let results: Vec<_> = order.iter().map(result).collect();
    let mut answer = json!({
        "id": number::name("rerank-"),
        "object": "list",
        "model": judged.model,
        "results": results,
    });
    if let Some(scoring) = judged.scoring {
        answer["scoring"] = scoring.name().into();
    }
    Ok(sse::told(answer, judged.tokens, &judged.receipt))
}
