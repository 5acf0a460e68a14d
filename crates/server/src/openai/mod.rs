//! OpenAI's endpoints, one file each.

pub(crate) mod chat;
pub(crate) mod completions;
mod content;
pub(crate) mod embeddings;
pub(crate) mod files;
mod message;
pub(crate) mod models;
pub(crate) mod responses;
pub(crate) mod sampling;
mod usage;

pub(crate) use content::image;
use serde::Deserialize;

/// How a stream is to come.
#[derive(Clone, Copy, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamOptions {
    /// A last event with what the answer took.
    #[serde(default)]
    pub(crate) include_usage: bool,
    /// Padding against those who watch the line: this server answers on its own machine, and sends none.
    #[serde(default, rename = "include_obfuscation")]
    pub(crate) _include_obfuscation: bool,
}
