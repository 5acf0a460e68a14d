//! The crate as its users see it: model folders, whole and broken.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail by panicking, as tests do")]

mod configuration;
mod disk;
mod fixtures;
mod headers;
mod matrices;
mod quantizers;
mod shards;
mod side_files;

use std::collections::BTreeMap;

use bytes::Bytes;
use checkpoint::{Error, Folder, Result};

/// A folder in memory with these files.
fn folder(files: &[(&str, Vec<u8>)]) -> Result<Folder> {
    let mut all: BTreeMap<String, Bytes> = files
        .iter()
        .map(|(name, bytes)| ((*name).to_owned(), Bytes::from(bytes.clone())))
        .collect();
    all.entry("config.json".to_owned())
        .or_insert_with(|| Bytes::from_static(b"{\"model_type\": \"llama\"}"));
    Folder::from_files(all)
}

/// The error's own words and its cause's, which name `parts`; its hint is not empty.
#[track_caller]
fn names(error: &Error, parts: &[&str]) {
    let mut text = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        text += &format!(": {source}");
    }
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    assert!(!error.hint().is_empty());
}
