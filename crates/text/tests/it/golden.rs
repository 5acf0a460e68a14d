//! The fixtures.

use std::path::PathBuf;

use serde_json::Value;
use text::Tokenizer;

/// The tokenizers under `fixtures/tokenizers`, which have a golden of the same name.
pub(crate) const TOKENIZERS: [&str; 6] =
    ["byte_level", "llama3", "sentencepiece", "metaspace", "unigram", "wordpiece"];

pub(crate) fn file(path: &str) -> Option<Vec<u8>> {
    std::fs::read(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures")).join(path))
        .ok()
}

pub(crate) fn json(path: &str) -> Value {
    serde_json::from_slice(&file(path).unwrap_or_else(|| panic!("no fixture {path}"))).unwrap()
}

pub(crate) fn tokenizer(name: &str) -> Tokenizer {
    let json = file(&format!("tokenizers/{name}/tokenizer.json")).unwrap();
    Tokenizer::from_json(
        &json,
        file(&format!("tokenizers/{name}/tokenizer_config.json")).as_deref(),
    )
    .unwrap()
}

pub(crate) fn ids(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|id| u32::try_from(id.as_u64().unwrap()).unwrap())
        .collect()
}
