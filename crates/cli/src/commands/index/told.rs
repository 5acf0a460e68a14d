//! What is in an index, in words and as JSON, wherever it lies.

use std::collections::BTreeMap;

use manager::find::index::{Document, Encoder, Profile, ReaderKind, ReaderPages};
use manager::find::makers;
use serde_json::{Value, json};

/// What made an index and what it holds, without what only some indexes know of themselves.
pub(super) fn as_json(place: &str, profile: &Profile, documents: &[Document]) -> Value {
    let made = |encoder: &Encoder| {
        json!({
            "model": encoder.name, "sha256": encoder.model.to_string(),
            "pooling": encoder.pooling, "dimension": encoder.dim,
        })
    };
    let all = documents;
    let documents: Vec<_> = documents
        .iter()
        .map(|of| {
            let failures = of.failures.iter();
            let failures = failures.map(|(page, why)| json!({"page": page, "reason": why}));
            let unread = of.unread.iter().map(|(page, why)| json!({"page": page, "reason": why}));
            let reading = of.reading.as_ref();
            json!({
                "path": of.path, "sha256": of.hash.to_string(), "pages": of.pages, "date": of.date,
                "category": of.category, "metadata": of.metadata, "failures": failures.collect::<Vec<_>>(),
                "reading": reading.map(|of| json!({"mode": of.mode, "reader": of.reader})),
                "read_by": read_by(&of.read_by), "unread": unread.collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "index": place, "documents": documents, "vectors": profile.vectors.as_ref().map(made),
        "dense": profile.dense.as_ref().map(made), "sparse": profile.sparse.as_ref().map(made),
        "read_by": read_by(&all_read_by(all)),
    })
}

fn read_by(readers: &[ReaderPages]) -> Vec<Value> {
    let one =
        |of: &ReaderPages| json!({"kind": of.kind.name(), "name": of.name, "pages": of.pages});
    readers.iter().map(one).collect()
}

/// Who read how many pages of all of them.
fn all_read_by(documents: &[Document]) -> Vec<ReaderPages> {
    let mut all: BTreeMap<(ReaderKind, &str), usize> = BTreeMap::new();
    for of in documents.iter().flat_map(|document| &document.read_by) {
        *all.entry((of.kind, &of.name)).or_default() += of.pages;
    }
    let one =
        |((kind, name), pages): ((_, &str), _)| ReaderPages { kind, name: name.to_owned(), pages };
    all.into_iter().map(one).collect()
}

/// `3 pages read by eyes, 1 by tesseract 5`, or nothing if nobody read any.
fn said_read_by(readers: &[ReaderPages]) -> Option<String> {
    let mut parts = Vec::new();
    for ReaderPages { kind, name, pages } in readers {
        let noun = if *pages == 1 { "page" } else { "pages" };
        parts.push(match kind {
            ReaderKind::Model | ReaderKind::Engine => format!("{pages} {noun} read by {name}"),
            ReaderKind::TextLayer => format!("{pages} {noun} with doubtful words of their own"),
            ReaderKind::Nobody => format!("{pages} {noun} without words, which nobody could read"),
        });
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The same for a person, below a line of its own that says how much there is.
pub(super) fn lines(profile: &Profile, documents: &[Document]) -> String {
    let (_, options) = makers(profile);
    let vectors = if options.token_vectors { "tokens" } else { "looks" };
    let parts = [
        (vectors, &profile.vectors),
        ("meaning", &profile.dense),
        ("words, weighted", &profile.sparse),
    ];
    let mut text = String::new();
    for (what, encoder) in parts {
        if let Some(encoder) = encoder {
            let (name, dim, pooling) = (&encoder.name, encoder.dim, &encoder.pooling);
            text += &format!("  by {what}: {name} ({dim} elements, pooling {pooling})\n");
        }
    }
    if let Some(said) = said_read_by(&all_read_by(documents)) {
        text += &format!("  {said}\n");
    }
    for of in documents {
        let category = of.category.as_ref().map_or_else(String::new, |it| format!(", {it}"));
        text += &format!("{}: {} pages{category}\n", of.path, of.pages);
        for (page, why) in &of.failures {
            text += &format!("  page {page}: {why}\n");
        }
        let is_told = |page| of.failures.iter().any(|(failed, _)| failed == page);
        for (page, why) in of.unread.iter().filter(|(page, _)| !is_told(page)) {
            text += &format!("  page {page}: has no words: {why}\n");
        }
        if let Some(said) = said_read_by(&of.read_by) {
            text += &format!("  {said}\n");
        }
    }
    text
}
