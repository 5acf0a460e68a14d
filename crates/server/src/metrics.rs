//! `GET /metrics`, in Prometheus's text form. What vLLM measures too has its name, behind `folio:`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use manager::house::ModelState;
use manager::runtime::Status;
use manager::stats::{Row, Sketch};

use crate::fault::Fault;
use crate::state::Server;

/// Upper bounds of a duration's buckets, in seconds.
const BOUNDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// What is counted of requests.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    in_flight: AtomicU64,
    routes: Mutex<BTreeMap<String, Route>>,
}

#[derive(Debug, Default)]
struct Route {
    /// By method and status.
    count: BTreeMap<(String, u16), u64>,
    /// How many took no longer than each bound, and all.
    buckets: [u64; BOUNDS.len() + 1],
    seconds: f64,
}

/// Counts a request that is over, also one that is given up.
struct Under<'a>(&'a Metrics);

impl Drop for Under<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    fn routes(&self) -> MutexGuard<'_, BTreeMap<String, Route>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, route: String, method: String, status: u16, took: Duration) {
        let mut routes = self.routes();
        let route = routes.entry(route).or_default();
        *route.count.entry((method, status)).or_default() += 1;
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|&bound| seconds <= bound).unwrap_or(BOUNDS.len());
        route.buckets[bucket] += 1;
        route.seconds += seconds;
    }
}

/// Counts every request by its route's pattern, never by what a stranger wrote. The time is that until the response begins.
pub(crate) async fn count(State(server): State<Server>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().as_str().to_owned();
    server.metrics.in_flight.fetch_add(1, Ordering::Relaxed);
    let under = Under(&server.metrics);
    let response = next.run(request).await;
    drop(under);
    let known = ["GET", "POST", "DELETE", "OPTIONS", "HEAD"].contains(&method.as_str());
    let method = if known { method } else { "other".to_owned() };
    server.metrics.add(route, method, response.status().as_u16(), begun.elapsed());
    response
}

/// A number that is read off `T`.
type Read<T, N> = fn(&T) -> N;

/// What is measured of a row.
type Measured = for<'a> fn(&'a Row) -> &'a Sketch;

/// Lines of one metric.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP folio:{name} {help}\n# TYPE folio:{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let escaped =
            |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "folio:{name}{labels} {value}");
    }
}

/// Everything that is measured.
pub(crate) async fn page(State(server): State<Server>) -> Result<Response, Fault> {
    let mut page = Page(String::new());
    http(&mut page, &server.metrics);
    let house = &server.house;
    page.head("uptime_seconds", "gauge", "Since the server began.");
    page.line("uptime_seconds", &[], house.uptime().as_secs_f64());
    answers(&mut page, &server);
    let account = house.account();
    page.head("memory_limit_bytes", "gauge", "What all models may take together.");
    page.line("memory_limit_bytes", &[], account.limit);
    page.head("memory_reserved_bytes", "gauge", "What is booked, by owner and by what it is for.");
    for (owner, row) in &account.owners {
        for (class, bytes) in row {
            page.line("memory_reserved_bytes", &[("owner", owner), ("class", class)], bytes);
        }
    }
    page.head("memory_peak_bytes", "gauge", "The most that was ever booked.");
    page.line("memory_peak_bytes", &[], account.peak);
    if let Some(resident) = manager::current_rss() {
        page.head("process_resident_bytes", "gauge", "What the process holds.");
        page.line("process_resident_bytes", &[], resident);
    }
    page.head("unloads_total", "counter", "Models that left memory, by reason.");
    for (why, count) in house.unloads() {
        page.line("unloads_total", &[("reason", why)], count);
    }
    let models = house.models().await?;
    page.head("model_users", "gauge", "Requests that use a model that is in memory.");
    for model in &models {
        if let ModelState::Loaded { users, .. } = model.state {
            page.line("model_users", &[("model_name", &model.name)], users);
        }
    }
    page.head("num_requests_waiting", "gauge", "Requests that wait for their model to be loaded.");
    let waiting: usize =
        models.iter().filter_map(|model| model.memory.as_ref()).map(|status| status.waiting).sum();
    page.line("num_requests_waiting", &[], waiting);
    engines(&mut page, &house.engines().await);
    let mut response = page.0.into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// What the engines have in hand.
fn engines(page: &mut Page, engines: &[(String, Status)]) {
    let gauges: [(&str, &str, Read<Status, f64>); 3] = [
        ("num_requests_running", "Answers that are being continued.", |s| s.running as f64),
        ("num_requests_queued", "Answers that wait for a place in a step.", |s| s.waiting as f64),
        (
            "kv_cache_usage_perc",
            "The share of the cache's pages that is in use, from 0 to 1.",
            |s| s.pages_held as f64 / s.pages.max(1) as f64,
        ),
    ];
    for (name, help, of) in gauges {
        page.head(name, "gauge", help);
        for (model, status) in engines {
            page.line(name, &[("model_name", model)], of(status));
        }
    }
    let counters: [(&str, &str, Read<Status, u64>); 5] = [
        ("num_preemptions_total", "Answers that were put aside for others.", |s| s.preemptions),
        ("num_promotions_total", "Answers that had waited too long.", |s| s.promotions),
        ("prefix_cache_queries_total", "Tokens of prompts that were looked for.", |s| {
            s.prefix.asked
        }),
        ("prefix_cache_hits_total", "Tokens that were found.", |s| s.prefix.found),
        ("prefix_cache_evictions_total", "Pages that were given away.", |s| s.prefix.evicted),
    ];
    for (name, help, of) in counters {
        page.head(name, "counter", help);
        for (model, status) in engines {
            page.line(name, &[("model_name", model)], of(status));
        }
    }
}

fn http(page: &mut Page, metrics: &Metrics) {
    page.head("http_requests_in_flight", "gauge", "Requests whose response has not begun.");
    page.line("http_requests_in_flight", &[], metrics.in_flight.load(Ordering::Relaxed));
    let routes = metrics.routes();
    page.head("http_requests_total", "counter", "Requests by route, method and status.");
    for (name, route) in routes.iter() {
        for ((method, status), count) in &route.count {
            let labels =
                [("route", name.as_str()), ("method", method), ("status", &status.to_string())];
            page.line("http_requests_total", &labels, count);
        }
    }
    page.head("http_request_duration_seconds", "histogram", "Until the response begins.");
    for (name, route) in routes.iter() {
        let mut sum = 0;
        for (bound, count) in
            BOUNDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]).zip(route.buckets)
        {
            sum += count;
            let labels = [("route", name.as_str()), ("le", &bound)];
            page.line("http_request_duration_seconds_bucket", &labels, sum);
        }
        let labels = [("route", name.as_str())];
        page.line("http_request_duration_seconds_sum", &labels, route.seconds);
        page.line("http_request_duration_seconds_count", &labels, sum);
    }
}

/// What answers took, by task and by who answered.
fn answers(page: &mut Page, server: &Server) {
    let house = &server.house;
    page.head(
        "requests_cancelled_total",
        "counter",
        "Answers that were given up by those who asked.",
    );
    page.line("requests_cancelled_total", &[], house.cancelled());
    let stats = house.stats();
    let rows: Vec<_> = stats.rows().collect();
    let counters: [(&str, &str, Read<Row, u64>); 5] = [
        ("request_success_total", "Answers that were given.", |row| row.count - row.errors),
        ("request_failure_total", "Answers that failed.", |row| row.errors),
        ("request_fallback_total", "Answers by another than the first.", |row| row.fallbacks),
        ("prompt_tokens_total", "Tokens of prompts.", |row| row.prompt_tokens),
        ("generation_tokens_total", "Tokens of answers.", |row| row.completion_tokens),
    ];
    for (name, help, of) in counters {
        page.head(name, "counter", help);
        for (task, backend, row) in &rows {
            page.line(name, &[("task", task), ("model_name", backend)], of(row));
        }
    }
    let summaries: [(&str, &str, Measured); 2] = [
        ("time_to_first_token_seconds", "From the request to its first token.", |row| {
            &row.first_token
        }),
        ("e2e_request_latency_seconds", "From the request to its end.", |row| &row.total),
    ];
    for (name, help, of) in summaries {
        page.head(name, "summary", help);
        for (task, backend, row) in &rows {
            for (share, label) in [(0.5, "0.5"), (0.9, "0.9"), (0.99, "0.99")] {
                if let Some(value) = of(row).quantile(share) {
                    let labels = [("task", *task), ("model_name", *backend), ("quantile", label)];
                    page.line(name, &labels, value);
                }
            }
            let count = of(row).count();
            page.line(&format!("{name}_count"), &[("task", task), ("model_name", backend)], count);
        }
    }
}
