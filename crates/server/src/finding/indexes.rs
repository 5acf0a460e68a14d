//! `GET /v1/indexes`: what is offered, what it holds, and single pages of it.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{spoken, told};
use crate::fault::Fault;
use crate::state::Server;

/// Documents of one answer.
const MOST_DOCUMENTS: usize = 1000;

/// `GET /v1/indexes`: every index that is offered.
pub(crate) async fn list(State(server): State<Server>) -> Result<Json<Value>, Fault> {
    let all = server.library.list(&server.rules().indexes).await?;
    let all: Vec<_> = all.iter().map(told::status).collect();
    Ok(Json(json!({"object": "list", "data": all})))
}

/// `GET /v1/indexes/{name}`: one of them.
pub(crate) async fn one(
    State(server): State<Server>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Fault> {
    let facts = server.library.facts(&server.rules().indexes, &name).await?;
    Ok(Json(told::facts(&name, &facts)))
}

/// Which documents.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Which {
    /// Those after the one with this number.
    after: Option<i64>,
    /// So many at most, from 1 to 1000. Default: 100.
    limit: Option<usize>,
}

/// `GET /v1/indexes/{name}/documents`: what an index holds, a part at a time.
pub(crate) async fn documents(
    State(server): State<Server>,
    Path(name): Path<String>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Value>, Fault> {
    let Query(which) = which.map_err(|error| Fault::invalid(error.body_text()))?;
    let most = which.limit.unwrap_or(100);
    if !(1..=MOST_DOCUMENTS).contains(&most) {
        let message = format!("`limit` is {most}, but must be from 1 to {MOST_DOCUMENTS}");
        return Err(Fault::field("limit", message));
    }
    let rules = server.rules();
    let after = which.after.unwrap_or(0).max(0);
    // One more tells whether there are others.
    let wanted = (after, most + 1);
    let mut found = server.library.documents(&rules.indexes, &name, wanted).await?;
    let has_more = found.len() > most;
    found.truncate(most);
    let spoken = spoken(&rules.files).await?;
    let all: Vec<_> = found.iter().map(|document| told::document(document, &spoken)).collect();
    Ok(Json(json!({"object": "list", "data": all, "has_more": has_more})))
}

/// Which page: the index, the document's number, the page's.
type Named = Result<Path<(String, i64, u32)>, PathRejection>;

fn named(path: Named) -> Result<(String, i64, u32), Fault> {
    let Path(named) = path.map_err(|error| Fault::invalid(error.body_text()))?;
    Ok(named)
}

/// `GET /v1/indexes/{name}/documents/{document}/pages/{page}`: the words of a page.
pub(crate) async fn page(State(server): State<Server>, path: Named) -> Result<Json<Value>, Fault> {
    let (name, document, number) = named(path)?;
    let rules = server.rules();
    let page = server.library.page(&rules.indexes, &name, (document, number)).await?;
    let spoken = spoken(&rules.files).await?;
    let preview =
        page.preview.map(|_| format!("{}/preview", told::address(&name, document, number)));
    Ok(Json(json!({
        "object": "index.page", "index": name, "document": told::document(&page.document, &spoken),
        "page": number, "text": page.text, "preview": preview,
    })))
}

/// `GET /v1/indexes/{name}/documents/{document}/pages/{page}/preview`: the small image of a page.
pub(crate) async fn preview(State(server): State<Server>, path: Named) -> Result<Response, Fault> {
    let (name, document, number) = named(path)?;
    let page = server.library.page(&server.rules().indexes, &name, (document, number)).await?;
    let Some((kind, bytes)) = page.preview else {
        let message = format!(
            "no image of page {number} is kept in the index `{name}`: it was made with `--no-previews`, or the page could not be drawn"
        );
        return Err(Fault::of(StatusCode::NOT_FOUND, message));
    };
    let kind = HeaderValue::from_str(told::media_type(&kind));
    let fixed = HeaderValue::from_static;
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, kind.unwrap_or(fixed("application/octet-stream"))),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (header::CONTENT_SECURITY_POLICY, fixed("default-src 'none'")),
        // An index that is made anew counts its documents from 1 again.
        (header::CACHE_CONTROL, fixed("private, no-cache")),
    ];
    Ok((headers, bytes).into_response())
}
