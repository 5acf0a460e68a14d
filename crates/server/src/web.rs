//! Images that requests name by address: fetched before the request is read, so that what reads it finds `data:` addresses
//! and base64 only. Where no host is allowed (`server.urls`), nothing is done, and what reads the request refuses them.

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::try_join_all;
use manager::Kind;
use manager::web::{Error, Fetcher};
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::state::Server;

/// Files that one request may name.
const MOST: usize = 16;
/// Where the conversation stands in the requests of each dialect.
const PLACES: [&str; 2] = ["messages", "input"];

/// `body` with the images in it that it names by address.
///
/// # Errors
///
/// If one may not be fetched, or cannot be.
pub(crate) async fn fetched(server: &Server, body: Bytes) -> Result<Bytes, Fault> {
    let rules = server.rules();
    let Some(fetcher) = &rules.fetcher else { return Ok(body) };
    // Most requests name none: they are not read twice.
    let names = [&b"\"http://"[..], b"\"https://"];
    if !names.iter().any(|name| body.windows(name.len()).any(|window| window == *name)) {
        return Ok(body);
    }
    // What is no JSON is refused by what reads it, with the place.
    let Ok(Value::Object(mut request)) = serde_json::from_slice(&body) else { return Ok(body) };
    let mut found = Vec::new();
    for (place, value) in request.iter_mut().filter(|(place, _)| PLACES.contains(&place.as_str())) {
        find(value, place, &mut found);
    }
    if found.is_empty() {
        return Ok(body);
    }
    if found.len() > MOST {
        let message = format!(
            "the request names {} images by address, and {MOST} are fetched at most: send them as data:...;base64,...",
            found.len()
        );
        return Err(Fault::invalid(message));
    }
    let most = server.limits().body / found.len();
    try_join_all(found.into_iter().map(|wanted| fill(fetcher, wanted, most))).await?;
    Ok(Value::Object(request).to_string().into())
}

/// An image, and where the request names it.
struct Wanted<'a> {
    path: String,
    address: String,
    at: Place<'a>,
}

/// What is put in its place.
enum Place<'a> {
    /// The text of an address.
    Address(&'a mut Value),
    /// The source of an image, in Anthropic's words.
    Source(&'a mut Value),
}

/// Finds the images below `value` that are named by address.
fn find<'a>(value: &'a mut Value, path: &str, found: &mut Vec<Wanted<'a>>) {
    match value {
        Value::Array(list) => {
            for (n, value) in list.iter_mut().enumerate() {
                find(value, &format!("{path}[{n}]"), found);
            }
        }
        Value::Object(object) => match object.get("type").and_then(Value::as_str) {
            Some("image_url" | "input_image") => {
                let Some(url) = object.get_mut("image_url") else { return };
                let (path, url) = if url.is_object() {
                    (format!("{path}.image_url.url"), &mut url["url"])
                } else {
                    (format!("{path}.image_url"), url)
                };
                if let Some(address) = address(url) {
                    found.push(Wanted { path, address, at: Place::Address(url) });
                }
            }
            Some("image") => {
                let Some(source) = object.get_mut("source") else { return };
                let by_address = source["type"] == "url";
                if let Some(address) = source.get("url").and_then(address).filter(|_| by_address) {
                    let path = format!("{path}.source.url");
                    found.push(Wanted { path, address, at: Place::Source(source) });
                }
            }
            kind => {
                // As embeddings have it.
                let bare = kind.is_none();
                for (name, value) in object.iter_mut() {
                    let path = format!("{path}.{name}");
                    match address(value).filter(|_| bare && name == "image") {
                        Some(address) => {
                            found.push(Wanted { path, address, at: Place::Address(value) });
                        }
                        None => find(value, &path, found),
                    }
                }
            }
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn address(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    (text.starts_with("http://") || text.starts_with("https://")).then(|| text.to_owned())
}

async fn fill(fetcher: &Fetcher, wanted: Wanted<'_>, most: usize) -> Result<(), Fault> {
    let Wanted { path, address, at } = wanted;
    let bytes = fetcher.fetch(&address, most).await.map_err(|error| fault(&path, &error))?;
    let data = STANDARD.encode(bytes);
    match at {
        // What it is, its first bytes say; nobody looks at the type.
        Place::Address(url) => *url = format!("data:image/*;base64,{data}").into(),
        Place::Source(source) => {
            let media = json!({"type": "base64", "media_type": "image/png", "data": data});
            *source = media;
        }
    }
    Ok(())
}

fn fault(path: &str, error: &Error) -> Fault {
    let message = format!("`{path}`: {error}; {}", error.hint());
    match error.kind() {
        Kind::Internal => Fault::of(axum::http::StatusCode::INTERNAL_SERVER_ERROR, message),
        Kind::Invalid | Kind::NotFound | Kind::Unsupported | Kind::Overloaded => {
            Fault::field(path, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_wherever_dialects_put_them() {
        let mut body = json!([
            {"role": "user", "content": "see http://a/x.png"},
            {"role": "user", "content": [
                {"type": "text", "text": "http://a/y.png"},
                {"type": "image_url", "image_url": {"url": "https://a/1.png", "detail": "low"}},
                {"type": "input_image", "image_url": "http://a/2.png"},
                {"type": "image_url", "image_url": "data:image/png;base64,AAAA"},
                {"type": "image", "source": {"type": "url", "url": "http://a/3.png"}},
                {"type": "image", "source": {"type": "base64", "data": "http://a/4.png"}},
                {"type": "tool_result", "content": [
                    {"type": "image", "source": {"type": "url", "url": "http://a/5.png"}},
                ]},
                {"type": "image_url"},
                {"type": "image_url", "image_url": {}},
                {"type": "image", "source": 5},
            ]},
            {"image": "https://a/6.png"},
        ]);
        let mut found = Vec::new();
        find(&mut body, "messages", &mut found);
        let paths: Vec<_> = found.iter().map(|wanted| wanted.path.as_str()).collect();
        let expected = [
            "messages[1].content[1].image_url.url",
            "messages[1].content[2].image_url",
            "messages[1].content[4].source.url",
            "messages[1].content[6].content[0].source.url",
            "messages[2].image",
        ];
        assert_eq!(paths, expected);
    }
}
