//! `/v1/files`: documents that clients leave here, to ask about them by name.

pub(crate) mod multipart;
mod shelf;
mod words;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::gate::Client;
use crate::state::Server;

pub(crate) use shelf::Shelf;
use shelf::{Entry, Upload};
pub(super) use words::{Desk, WireFile};

/// Bytes of one document.
const MOST_BYTES: usize = 64 << 20;
/// What documents may be kept for: to be read by models.
const PURPOSES: [&str; 2] = ["user_data", "assistants"];
/// Seconds that a document may last, where its client says for how long.
const LASTS: std::ops::RangeInclusive<u64> = 3600..=2_592_000;
/// Documents of one list.
const MOST_LISTED: usize = 10_000;

/// Works on the disk, apart from those who wait for other things.
async fn on_disk<T: Send + 'static>(
    server: &Server,
    work: impl FnOnce(&Shelf) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let shelf = Arc::clone(&server.shelf);
    let done = tokio::task::spawn_blocking(move || work(&shelf)).await;
    done.map_err(|_| Fault::of(StatusCode::INTERNAL_SERVER_ERROR, "the disk was not asked"))?
}

/// `POST /v1/files`: keeps a document.
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Fault> {
    let (mut file, mut purpose, mut seconds, mut anchor) = (None, None, None, None);
    for part in multipart::parts(&headers, &body)? {
        let text = || {
            std::str::from_utf8(&part.bytes)
                .map(str::to_owned)
                .map_err(|_| Fault::field(&part.name, format!("`{}` must be text", part.name)))
        };
        let again = match part.name.as_str() {
            "file" => file.replace((part.file.clone(), part.bytes.clone())).is_some(),
            "purpose" => purpose.replace(text()?).is_some(),
            "expires_after[seconds]" => seconds.replace(text()?).is_some(),
            "expires_after[anchor]" => anchor.replace(text()?).is_some(),
            other => return Err(Fault::field(other, format!("unknown field `{other}`"))),
        };
        if again {
            return Err(Fault::field(&part.name, format!("`{}` is given twice", part.name)));
        }
    }
    let Some((name, bytes)) = file else {
        return Err(Fault::field("file", "`file` is missing: send a document"));
    };
    let purpose = purpose.unwrap_or_default();
    if !PURPOSES.contains(&purpose.as_str()) {
        let message =
            format!("`purpose` is `{purpose}`, but must be one of {}", PURPOSES.join(", "));
        return Err(Fault::field("purpose", message));
    }
    if bytes.is_empty() || bytes.len() > MOST_BYTES {
        let message =
            format!("`file` has {} bytes, but must have from 1 to {MOST_BYTES}", bytes.len());
        return Err(Fault::field("file", message));
    }
    let lasts = lasts(seconds.as_deref(), anchor.as_deref())?;
    let owner = client.number();
    let entry = on_disk(&server, move |shelf| {
        let name = name.as_deref().unwrap_or("document");
        shelf.keep(&Upload { owner, name, purpose: &purpose, lasts, bytes: &bytes })
    });
    Ok(Json(entry.await?.json()))
}

/// `expires_after`.
fn lasts(seconds: Option<&str>, anchor: Option<&str>) -> Result<Option<u64>, Fault> {
    if anchor.is_some_and(|anchor| anchor != "created_at") {
        let field = "expires_after[anchor]";
        return Err(Fault::field(field, format!("`{field}` must be created_at")));
    }
    let Some(seconds) = seconds else {
        if anchor.is_some() {
            let field = "expires_after[seconds]";
            return Err(Fault::field(field, format!("`{field}` is missing")));
        }
        return Ok(None);
    };
    match seconds.parse() {
        Ok(seconds) if LASTS.contains(&seconds) => Ok(Some(seconds)),
        _ => {
            let field = "expires_after[seconds]";
            let (least, most) = (LASTS.start(), LASTS.end());
            Err(Fault::field(field, format!("`{field}` must be from {least} to {most}")))
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Order {
    Asc,
    #[default]
    Desc,
}

/// Which documents.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Which {
    /// Only those that are kept for this.
    purpose: Option<String>,
    /// So many at most.
    limit: Option<usize>,
    /// The oldest or the newest first.
    #[serde(default)]
    order: Order,
    /// Those behind this one.
    after: Option<String>,
}

/// `GET /v1/files`: what this client has left here.
pub(crate) async fn list(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    which: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, Fault> {
    let Query(which) = which.map_err(|error| Fault::invalid(error.body_text()))?;
    let most = which.limit.unwrap_or(MOST_LISTED);
    if !(1..=MOST_LISTED).contains(&most) {
        let message = format!("`limit` is {most}, but must be from 1 to {MOST_LISTED}");
        return Err(Fault::field("limit", message));
    }
    let owner = client.number();
    let mut all = on_disk(&server, move |shelf| shelf.list(owner)).await?;
    if which.order == Order::Asc {
        all.reverse();
    }
    if let Some(after) = &which.after {
        let Some(at) = all.iter().position(|entry| entry.id == *after) else {
            return Err(Fault::field("after", format!("there is no file `{after}` here")));
        };
        all.drain(..=at);
    }
    all.retain(|entry| which.purpose.as_ref().is_none_or(|purpose| entry.purpose == *purpose));
    let more = all.len() > most;
    all.truncate(most);
    let data: Vec<_> = all.iter().map(Entry::json).collect();
    Ok(Json(json!({
        "object": "list",
        "data": data,
        "first_id": all.first().map(|entry| &entry.id),
        "last_id": all.last().map(|entry| &entry.id),
        "has_more": more,
    })))
}

/// `GET /v1/files/{id}`: what is known of one.
pub(crate) async fn one(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    let owner = client.number();
    Ok(Json(on_disk(&server, move |shelf| shelf.entry(owner, &id)).await?.json()))
}

/// `GET /v1/files/{id}/content`: what it holds, which a browser is not to take for a page of ours.
pub(crate) async fn content(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let owner = client.number();
    let (_, bytes) = on_disk(&server, move |shelf| shelf.content(owner, &id)).await?;
    let fixed = HeaderValue::from_static;
    let headers = [
        (header::CONTENT_TYPE, fixed("application/octet-stream")),
        (header::CONTENT_DISPOSITION, fixed("attachment")),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
    ];
    Ok((headers, Body::from(bytes)).into_response())
}

/// `DELETE /v1/files/{id}`.
pub(crate) async fn delete(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    let (owner, gone) = (client.number(), id.clone());
    on_disk(&server, move |shelf| shelf.remove(owner, &gone)).await?;
    Ok(Json(json!({"id": id, "object": "file", "deleted": true})))
}
