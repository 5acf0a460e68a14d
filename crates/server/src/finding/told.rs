//! What is told of indexes, documents and pages.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manager::find::index::{Document, Hit, ReaderPages};
use manager::find::{HitPage, Hits, IndexFacts, IndexStatus, called};
use serde_json::{Map, Value, json};

use super::Previews;
use super::place::{Spoken, name};
use crate::fault::Fault;
use crate::number;

/// A part of an address in which nothing has a meaning of its own.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Where a page is.
pub(super) fn address(index: &str, document: i64, page: u32) -> String {
    format!("/v1/indexes/{}/documents/{document}/pages/{page}", escaped(index))
}

/// Bytes in an address.
pub(crate) fn data_address((kind, bytes): &(String, Vec<u8>)) -> String {
    format!("data:{};base64,{}", media_type(kind), STANDARD.encode(bytes))
}

/// The media type of a small image; of what is none that browsers only draw, what they only keep.
pub(crate) fn media_type(kind: &str) -> &str {
    match kind {
        "image/jpeg" | "image/png" | "image/webp" | "image/gif" => kind,
        _ => "application/octet-stream",
    }
}

/// Which document: its number, its name, and its path if that may be told.
fn named(document: i64, path: &str, spoken: &Spoken) -> Map<String, Value> {
    let mut told = Map::new();
    told.insert("document".to_owned(), document.into());
    told.insert("name".to_owned(), name(path).into());
    if let Some(path) = spoken.told(path) {
        told.insert("path".to_owned(), path.into());
    }
    told
}

/// The hits, each with what is known of its page: where, how well it fits, and some of its words, in which marks are counted in
/// characters.
pub(crate) fn hits<'a>(
    hits: &'a Hits,
    spoken: &'a Spoken,
) -> impl Iterator<Item = (Map<String, Value>, &'a Hit, &'a HitPage)> {
    let again = hits.found.is_reranked();
    let all = hits.found.answer.hits.iter().zip(&hits.pages).zip(&hits.found.relevance);
    all.map(move |((found, page), relevance)| {
        let mut told = hit(found, spoken);
        if again {
            told.insert("relevance".to_owned(), json!(relevance));
        }
        if let Some(text) = &page.text {
            told.insert("text".to_owned(), text.as_str().into());
        }
        (told, found, page)
    })
}

fn hit(hit: &Hit, spoken: &Spoken) -> Map<String, Value> {
    let text = &hit.snippet.text;
    let characters = |at: usize| text.get(..at).map_or(0, |before| before.chars().count());
    let marks = hit.snippet.marks.iter();
    let marks: Vec<_> =
        marks.map(|mark| json!([characters(mark.start), characters(mark.end)])).collect();
    let mut told = named(hit.document.0, &hit.path, spoken);
    told.insert("page".to_owned(), hit.number.into());
    told.insert("score".to_owned(), hit.score.into());
    told.insert("snippet".to_owned(), json!({"text": text, "marks": marks}));
    told
}

/// The parts of a search, in order.
pub(crate) fn took(hits: &Hits) -> Vec<Value> {
    let part = |took: &manager::find::Took| {
        let ms = (took.time.as_secs_f64() * 1e6).round() / 1e3;
        json!({"stage": took.part.name(), "pages": took.pages, "ms": ms})
    };
    hits.found.took.iter().map(part).collect()
}

/// The answer to a search.
pub(super) fn answer(index: &str, hits: &Hits, previews: Previews, spoken: &Spoken) -> Value {
    let each = self::hits(hits, spoken).map(|(mut told, found, page)| {
        let preview = match previews {
            Previews::None => None,
            Previews::Data => page.preview.as_ref().map(data_address),
            Previews::Address => page
                .has_preview
                .then(|| format!("{}/preview", address(index, found.document.0, found.number))),
        };
        if let Some(preview) = preview {
            told.insert("preview".to_owned(), preview.into());
        }
        Value::Object(told)
    });
    json!({
        "id": number::name("search-"),
        "object": "search",
        "index": index,
        "hits": each.collect::<Vec<_>>(),
        "pages": hits.found.answer.pages,
        "route": hits.found.route(),
        "models": hits.models,
        "took": took(hits),
    })
}

/// An index of a list: what is known of it, or why nothing is.
pub(crate) fn status(status: &IndexStatus) -> Value {
    match &status.facts {
        Ok(of) => facts(&status.name, of),
        Err(error) => {
            let fault = Fault::worded(error);
            json!({"id": status.name, "object": "index", "ready": false, "error": fault.message})
        }
    }
}

/// An index.
pub(crate) fn facts(index: &str, facts: &IndexFacts) -> Value {
    let encoders = facts.makers.iter().map(|maker| {
        json!({
            "finds_by": maker.finds_by,
            "model": maker.called(),
            "sha256": maker.encoder.model.to_string(),
            "pooling": maker.encoder.pooling,
            "dimension": maker.encoder.dim,
            // What it is to be asked by here, if it is here.
            "served_as": maker.model,
        })
    });
    json!({
        "id": index,
        "object": "index",
        "ready": facts.makers.iter().all(|maker| maker.model.is_some()),
        // Of one on a server only its pages are counted.
        "server": facts.server,
        "documents": facts.size.map(|(size, _)| size.documents),
        "pages": facts.pages,
        "failed_pages": facts.size.map(|(size, _)| size.failed),
        "bytes": facts.size.map(|(_, bytes)| bytes),
        "encoders": encoders.collect::<Vec<_>>(),
        "read_by": read_by(&facts.read_by),
    })
}

/// Who read pages whose own words were missing or in doubt. Where a model lies is not told.
fn read_by(readers: &[ReaderPages]) -> Vec<Value> {
    let one = |of: &ReaderPages| json!({"kind": of.kind.name(), "name": called(&of.name), "pages": of.pages});
    readers.iter().map(one).collect()
}

/// A document of an index.
pub(crate) fn document(document: &Document, spoken: &Spoken) -> Value {
    let Document { hash, date, category, metadata, pages, failures, unread, .. } = document;
    let mut told = named(document.document.0, &document.path, spoken);
    let reasons = |of: &[(u32, String)]| -> Vec<Value> {
        of.iter().map(|(page, why)| json!({"page": page, "reason": why})).collect()
    };
    let more = json!({
        "object": "index.document", "sha256": hash.to_string(), "pages": pages, "date": date,
        "category": category, "metadata": metadata, "failures": reasons(failures),
        "unread": reasons(unread), "read_by": read_by(&document.read_by),
    });
    told.extend(more.as_object().cloned().unwrap_or_default());
    Value::Object(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hold_any_name() {
        assert_eq!(escaped("a b/ä?#%"), "a%20b%2F%C3%A4%3F%23%25");
        assert_eq!(address("x y", 3, 7), "/v1/indexes/x%20y/documents/3/pages/7");
        let page = ("text/html".to_owned(), b"hi".to_vec());
        assert_eq!(data_address(&page), "data:application/octet-stream;base64,aGk=");
    }
}
