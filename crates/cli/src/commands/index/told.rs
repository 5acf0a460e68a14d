//! What is in an index, in words and as JSON, wherever it lies.

use manager::find::index::{Document, Encoder, Profile};
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
    let documents: Vec<_> = documents
        .iter()
        .map(|of| {
            let failures = of.failures.iter();
            let failures = failures.map(|(page, why)| json!({"page": page, "reason": why}));
            json!({
                "path": of.path, "sha256": of.hash.to_string(), "pages": of.pages, "date": of.date,
                "category": of.category, "metadata": of.metadata, "failures": failures.collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "index": place, "documents": documents, "vectors": profile.vectors.as_ref().map(made),
        "dense": profile.dense.as_ref().map(made), "sparse": profile.sparse.as_ref().map(made),
    })
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
    for of in documents {
        let category = of.category.as_ref().map_or_else(String::new, |it| format!(", {it}"));
        text += &format!("{}: {} pages{category}\n", of.path, of.pages);
        for (page, why) in &of.failures {
            text += &format!("  page {page}: {why}\n");
        }
    }
    text
}
