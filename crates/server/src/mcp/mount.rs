//! Where the protocol is spoken: `/mcp`, and standard input and output.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use manager::find::Library;
use manager::house::House;
use rmcp::ServiceExt as _;
use rmcp::transport::streamable_http_server::session::local::{LocalSessionManager, SessionConfig};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::sync::watch;

use super::Mcp;
use crate::fault::Fault;
use crate::state::{RuleBook, Rules, Server};

/// Bytes of a request: a file of code and what is said of it.
const MOST_BODY: usize = 8 << 20;
/// Sessions at once, of clients that speak a version of the protocol that has them.
const MOST_SESSIONS: usize = 256;
/// So long a session may say nothing: longer than any call may take.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// What a session is known by.
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// What stands before `/mcp`.
#[derive(Clone, Debug)]
struct Door {
    sessions: Arc<LocalSessionManager>,
    stop: Option<watch::Receiver<bool>>,
}

/// What answers on `/mcp`.
pub(crate) fn router(server: &Server) -> Router<Server> {
    let mcp = Mcp::new(
        Arc::clone(&server.house),
        server.rules.clone(),
        Arc::clone(&server.readings),
        Arc::clone(&server.library),
    );
    let options = &server.options;
    let mut session = SessionConfig::default();
    session.keep_alive = Some(IDLE);
    let mut sessions = LocalSessionManager::default();
    sessions.session_config = session;
    let sessions = Arc::new(sessions);
    let config = StreamableHttpServerConfig::default()
        // Names and pages of strangers are refused by the gate before, as for every path, by the same lists.
        .disable_allowed_hosts()
        .disable_allowed_origins()
        .with_max_request_body_bytes(options.limits.body.min(MOST_BODY))
        .with_json_response(true);
    let service =
        StreamableHttpService::new(move || Ok(mcp.clone()), Arc::clone(&sessions), config);
    let door = Door { sessions, stop: options.stop.clone() };
    Router::new().route_service("/mcp", service).layer(from_fn_with_state(door, watch_over))
}

/// Begins no session beyond those that there may be, and ends streams that wait for news when the server ends.
async fn watch_over(State(door): State<Door>, request: Request, next: Next) -> Response {
    let begins = request.method() == Method::POST && !request.headers().contains_key(SESSION);
    if begins && door.sessions.sessions.read().await.len() >= MOST_SESSIONS {
        let message =
            format!("{MOST_SESSIONS} sessions are open already; ask again when some have ended");
        let mut fault = Fault::of(StatusCode::SERVICE_UNAVAILABLE, message);
        fault.retry_after = Some(Duration::from_secs(10));
        return fault.into_response();
    }
    let waits = request.method() == Method::GET;
    let response = next.run(request).await;
    match door.stop.filter(|_| waits) {
        Some(mut stop) => response.map(|body| {
            let told = async move {
                // If nobody can say it any more, it goes on.
                if stop.wait_for(|stop| *stop).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            Body::from_stream(body.into_data_stream().take_until(Box::pin(told)))
        }),
        None => response,
    }
}

/// Speaks the protocol on standard input and output, until the input ends.
///
/// # Errors
///
/// If the other side does not speak it, in words.
pub async fn stdio(house: Arc<House>, rules: Rules) -> Result<(), String> {
    let (rules, library) = (RuleBook::new(rules, None), Library::new(Arc::clone(&house)));
    let mcp = Mcp::new(house, rules, Arc::default(), library);
    let serving = mcp.serve(rmcp::transport::stdio()).await;
    let running = match serving {
        Ok(running) => running,
        // Whoever closes the line before the first word wants nothing.
        Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    running.waiting().await.map(drop).map_err(|error| error.to_string())
}
