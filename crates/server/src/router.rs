//! Every endpoint, a line each.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, post};
use manager::find::Library;
use manager::house::House;
use tokio::sync::Semaphore;

use crate::state::{Options, RuleBook, Server};
use crate::{
    anthropic, documents, fault, finding, flight, gate, health, mcp, metrics, ollama, openai,
    openapi, rerank, told,
};

/// Strangers' files that are parsed at once.
const PARSERS: usize = 2;

/// The whole server, as a service of requests and responses.
pub fn router(house: Arc<House>, options: Options) -> Router {
    let limit = options.limits.body;
    let shelf = Arc::new(openai::files::Shelf::new(options.kept.clone()));
    let server = Server {
        rules: RuleBook::new(options.rules.clone(), options.told.clone()),
        shelf,
        parsers: Arc::new(Semaphore::new(PARSERS)),
        options: Arc::new(options),
        responses: Arc::default(),
        metrics: Arc::default(),
        accounts: Arc::default(),
        readings: Arc::default(),
        library: Library::new(Arc::clone(&house)),
        house,
    };
    let mcp = mcp::router(&server);
    Router::new()
        .merge(mcp)
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/version", get(health::version))
        .route("/openapi.json", get(openapi::json_document))
        .route("/docs", get(openapi::page))
        .route("/metrics", get(metrics::page))
        .route("/v1/plan", post(told::plan))
        .route("/v1/stats", get(told::stats))
        .route("/v1/memory", get(told::memory))
        .route("/v1/requests", get(flight::list))
        .route("/v1/requests/{id}", get(flight::one))
        .route("/v1/models", get(openai::models::list))
        .route("/v1/models/{*name}", get(openai::models::one))
        .route("/v1/chat/completions", post(openai::chat::create))
        .route("/v1/completions", post(openai::completions::create))
        .route("/v1/embeddings", post(openai::embeddings::create))
        .route("/v1/files", get(openai::files::list).post(openai::files::create))
        .route("/v1/files/{id}", get(openai::files::one).delete(openai::files::delete))
        .route("/v1/files/{id}/content", get(openai::files::content))
        .route("/v1/documents/read", post(documents::create))
        .route("/v1/documents/read/{id}", delete(documents::cancel))
        .route("/v1/search", post(finding::search))
        .route("/v1/indexes", get(finding::list))
        .route("/v1/indexes/{name}", get(finding::one))
        .route("/v1/indexes/{name}/documents", get(finding::documents))
        .route("/v1/indexes/{name}/documents/{document}/pages/{page}", get(finding::page))
        .route(
            "/v1/indexes/{name}/documents/{document}/pages/{page}/preview",
            get(finding::preview),
        )
        .route("/v1/responses", post(openai::responses::create))
        .route("/v1/responses/{id}", get(openai::responses::get).delete(openai::responses::delete))
        // As MLX-VLM's server has it.
        .route("/responses", post(openai::responses::create))
        .route("/v1/rerank", post(rerank::create))
        .route("/v1/messages", post(anthropic::messages::create))
        .route("/v1/messages/count_tokens", post(anthropic::count::create))
        .route("/", get(ollama::models::root))
        .route("/api/version", get(ollama::models::version))
        .route("/api/tags", get(ollama::models::tags))
        .route("/api/ps", get(ollama::models::ps))
        .route("/api/show", post(ollama::models::show))
        .route("/api/chat", post(ollama::chat::create))
        .route("/api/generate", post(ollama::generate::create))
        .route("/api/embed", post(ollama::embed::create))
        .route("/api/embeddings", post(ollama::embed::older))
        .route("/api/pull", post(ollama::disk::pull))
        .route("/api/delete", delete(ollama::disk::delete))
        .route("/rerank", post(rerank::create))
        .layer(DefaultBodyLimit::max(limit))
        .layer(from_fn_with_state(server.clone(), gate::check))
        .layer(from_fn_with_state(server.clone(), metrics::count))
        .layer(from_fn(fault::in_words))
        .layer(from_fn_with_state(server.clone(), flight::record))
        .with_state(server)
}
