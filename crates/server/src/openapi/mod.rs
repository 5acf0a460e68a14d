//! `GET /openapi.json` and `GET /docs`: what the server speaks, made from the structs that read it.
//!
//! Requests are described by the structs that handlers read, answers by `answers.json`. Neither says anything of this
//! server's models, so both are for all who may look at its pages at all, without a key.

mod routes;

use std::sync::LazyLock;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{Html, IntoResponse as _, Response};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::state::Server;
use routes::{Gives, ROUTES, Route};

/// Schemas of answers, by name.
const ANSWERS: &str = include_str!("answers.json");
/// The page.
const PAGE: &str = include_str!("docs.html");

/// The page may do nothing but ask this server.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// `GET /openapi.json`.
pub(crate) async fn json_document(State(server): State<Server>) -> Json<Value> {
    let mut document = DOCUMENT.clone();
    if server.rules().gate.keys.is_empty() {
        document["security"] = json!([]);
    }
    Json(document)
}

/// `GET /docs`.
pub(crate) async fn page() -> Response {
    let policy = (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    let sniff = (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let headers: [(HeaderName, HeaderValue); 2] = [policy, sniff];
    (headers, Html(PAGE)).into_response()
}

/// The whole description.
fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = SchemaGenerator::new(settings);
    let mut paths = Map::new();
    for route in ROUTES {
        let operation = operation(route, &mut generator);
        paths.entry(route.path).or_insert_with(|| json!({}))[route.method] = operation;
    }
    let mut schemas = generator.take_definitions(true);
    if let Ok(Value::Object(answers)) = serde_json::from_str(ANSWERS) {
        schemas.extend(answers);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "folio",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The models of a machine behind one port, for the clients of OpenAI, Anthropic and Ollama. A field that is not \
                described here is refused.",
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    })
}

fn named(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = names(route.path)
        .map(|name| {
            json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}})
        })
        .collect();
    if let Some(query) = route.query {
        parameters.extend(questions(&query(generator)));
    }
    let mut operation = json!({
        "operationId": format!("{} {}", route.method, route.path).replace(['/', '{', '}', ' '], "_"),
        "summary": route.about,
        "tags": [route.tag],
        "responses": responses(route),
    });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = route.body {
        let schema = body(generator);
        operation["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema}}});
    } else if matches!((route.gives, route.method), (Gives::Rpc, "post")) {
        operation["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": named("Rpc")}}});
    }
    if matches!((route.path, route.method), ("/v1/files", "post")) {
        operation["requestBody"] = json!({"required": true, "content": {"multipart/form-data": {"schema": named("Upload")}}});
    }
    if is_open(route.path) {
        operation["security"] = json!([]);
    }
    operation
}

/// Whether no key is asked for: by who asks whether we live, and by who reads how to ask.
pub(crate) fn is_open(path: &str) -> bool {
    matches!(path, "/health" | "/ready" | "/openapi.json" | "/docs")
}

/// What varies in a path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// The fields of a struct as questions behind a path.
fn questions(schema: &schemars::Schema) -> Vec<Value> {
    let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let one = |(name, schema)| json!({"name": name, "in": "query", "schema": schema});
    fields.map(one).collect()
}

fn responses(route: &Route) -> Value {
    let json = |name: &str| json!({"application/json": {"schema": named(name)}});
    let both = |name: &str, kind: &str, part: &str| {
        let mut content = json(name);
        // A stream as a whole has no schema; each of its parts has the other form.
        content[kind] = json!({"x-part": named(part)});
        content
    };
    let (what, content) = match route.gives {
        Gives::Json("Anything") => (
            "A description in OpenAPI",
            json!({"application/json": {"schema": {"type": "object"}}}),
        ),
        Gives::Json(name) => ("The answer", json(name)),
        Gives::Events(name, part) => {
            ("The answer; with `stream`, in events", both(name, "text/event-stream", part))
        }
        Gives::Lines(name, part) => {
            ("The answer; streamed, in lines", both(name, "application/x-ndjson", part))
        }
        Gives::Text(kind) => ("Text", json!({kind: {"schema": {"type": "string"}}})),
        Gives::Image => ("The image", json!({"image/*": {}})),
        Gives::Nothing => ("Done", json!({})),
        Gives::Rpc => ("Messages, or none", both("Rpc", "text/event-stream", "Rpc")),
    };
    let error = if route.path.starts_with("/api/") {
        "OllamaError"
    } else if route.path.starts_with("/v1/messages") {
        "AnthropicError"
    } else if route.path == "/mcp" {
        "RpcError"
    } else {
        "OpenAiError"
    };
    let fault = |what: &str| json!({"description": what, "content": json(error)});
    let mut good = json!({"description": what, "content": content});
    if matches!(route.gives, Gives::Nothing) {
        good = json!({"description": what});
    }
    let mut responses = json!({
        "200": good,
        "4XX": fault("The request is not one that can be answered; `429` asks to come again later"),
        "5XX": fault("The server could not answer; `503` asks to come again after `Retry-After` seconds"),
    });
    if matches!(route.gives, Gives::Rpc) {
        responses["202"] = json!({"description": "Taken; nothing is to be said"});
        responses["204"] = json!({"description": "Done"});
    }
    responses
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What `router` has, read off its text: a router does not tell its routes.
    fn routed() -> BTreeSet<(String, String)> {
        let text = include_str!("../router.rs");
        let mut found = BTreeSet::new();
        for line in text.split(".route(").skip(1) {
            let line: String = line.split_whitespace().collect();
            let end = line.find(".layer(").unwrap_or(line.len());
            let line = &line[..end];
            let path = line.split('"').nth(1).unwrap().replace("{*", "{");
            for method in ["get", "post", "delete", "put", "patch"] {
                let (first, chained) = (format!(",{method}("), format!(").{method}("));
                if line.contains(&first) || line.contains(&chained) {
                    found.insert((path.clone(), method.to_owned()));
                }
            }
        }
        found
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let mut routed = routed();
        assert!(routed.len() > 30, "{routed:?}");
        // `mcp` brings its own.
        for method in ["get", "post", "delete"] {
            routed.insert(("/mcp".to_owned(), method.to_owned()));
        }
        let document = document();
        let mut described = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            let methods = operations.as_object().unwrap().keys().cloned();
            described.extend(methods.map(|method| (path.clone(), method)));
        }
        assert_eq!(described, routed);
        assert_eq!(described.len(), ROUTES.len(), "a route is described twice");
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(map) => {
                    for (key, value) in map {
                        match (key.as_str(), value.as_str()) {
                            ("$ref", Some(to)) => drop(found.insert(to.to_owned())),
                            _ => references(value, found),
                        }
                    }
                }
                Value::Array(list) => list.iter().for_each(|value| references(value, found)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let there: BTreeSet<_> =
            schemas.keys().map(|name| format!("#/components/schemas/{name}")).collect();
        assert_eq!(found, there);
        // Two of one name would be told apart by a number that says nothing.
        let numbered: Vec<_> =
            schemas.keys().filter(|name| name.ends_with(|c: char| c.is_ascii_digit())).collect();
        assert!(numbered.is_empty(), "{numbered:?}");
    }

    #[test]
    fn what_is_not_described_is_refused() {
        let document = document();
        let chat = &document["components"]["schemas"]["ChatRequest"];
        assert_eq!(chat["additionalProperties"], false, "{chat}");
        assert_eq!(chat["required"], json!(["model", "messages"]));
        assert_eq!(chat["properties"]["audio"]["type"], "null");
        assert_eq!(chat["properties"]["temperature"]["type"], json!(["number", "null"]));
        let records = &document["paths"]["/v1/requests"]["get"]["parameters"];
        assert_eq!((&records[0]["name"], &records[1]["name"]), (&json!("limit"), &json!("format")));
        let one = &document["paths"]["/v1/requests/{id}"]["get"]["parameters"];
        assert_eq!((&one[0]["name"], &one[0]["in"]), (&json!("id"), &json!("path")));
    }

    /// The page fetches nothing from elsewhere, and puts nothing into itself that is read as its own.
    #[test]
    fn the_page_stands_alone() {
        for word in ["http://", "https://", "src=", "innerHTML", "eval("] {
            assert!(!PAGE.contains(word), "{word}");
        }
    }
}
