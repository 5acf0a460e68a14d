//! In which form documents are written.

use std::cell::RefCell;

use clap::Args;
use documents::Document;
use documents::chunks::{ChunkOptions, chunks, estimate};
use documents::html::HtmlOptions;
use documents::json::JsonOptions;
use documents::markdown::MarkdownOptions;
use manager::runtime::tokenizer;
use manager::{Special, Tokenizer};
use serde_json::Value;

use super::Read;
use crate::models;
use crate::report::{Failure, Problem, Result};

/// How documents are parted.
#[derive(Args, Debug)]
#[command(next_help_heading = "Chunks")]
pub(super) struct Chunking {
    /// Write JSON lines of chunks for retrieval: text, headings above it, pages, boxes, tokens
    #[arg(long, conflicts_with_all = ["json", "html", "page_markers"])]
    pub(super) chunks: bool,
    /// Tokens of a chunk at most
    #[arg(long, value_name = "N", requires = "chunks", default_value_t = 512,
          value_parser = clap::value_parser!(u32).range(8..=1_000_000))]
    chunk_tokens: u32,
    /// Tokens at most of the chunk before that a chunk begins with, in whole sentences
    #[arg(long, value_name = "N", requires = "chunks", default_value_t = 0)]
    chunk_overlap: u32,
    /// Headings down to this level begin a chunk; 0 for none
    #[arg(long, value_name = "LEVEL", requires = "chunks", default_value_t = 6,
          value_parser = clap::value_parser!(u8).range(0..=6))]
    chunk_headings: u8,
    /// End chunks with their pages
    #[arg(long, requires = "chunks")]
    chunk_pages: bool,
    /// Whose tokens are counted: a model, as with --model [default: an estimate, of four letters for
    /// a token]
    #[arg(long, value_name = "MODEL", requires = "chunks")]
    chunk_tokenizer: Option<String>,
}

/// The form that was asked for.
pub(super) enum Form<'a> {
    Markdown(MarkdownOptions),
    Json(JsonOptions),
    Html(HtmlOptions),
    Chunks { asked: &'a Chunking, furniture: bool, tokenizer: Option<Tokenizer> },
}

impl<'a> Form<'a> {
    pub(super) fn of(asked: &'a Read) -> Result<Self> {
        let furniture = asked.keep_headers;
        let chunking = &asked.chunking;
        Ok(if asked.json {
            Self::Json(JsonOptions { lines: asked.lines })
        } else if asked.html {
            Self::Html(HtmlOptions { furniture })
        } else if chunking.chunks {
            if chunking.chunk_overlap > chunking.chunk_tokens / 2 {
                let reason = "more than half of --chunk-tokens is no overlap".to_owned();
                return Err(Problem::Flag { flag: "--chunk-overlap", reason }.into());
            }
            let model = chunking.chunk_tokenizer.as_deref();
            let tokenizer =
                model.map(|model| -> Result<_> { Ok(tokenizer(&models::locate(model)?)?) });
            Self::Chunks { asked: chunking, furniture, tokenizer: tokenizer.transpose()? }
        } else {
            Self::Markdown(MarkdownOptions { page_markers: asked.page_markers, furniture })
        })
    }

    /// What its files' names end with.
    pub(super) fn extension(&self) -> &'static str {
        match self {
            Self::Markdown(_) => "md",
            Self::Json(_) => "json",
            Self::Html(_) => "html",
            Self::Chunks { .. } => "jsonl",
        }
    }

    /// Whether a comment between several documents would be out of place.
    pub(super) fn is_lines(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Chunks { .. })
    }

    /// What was written of a document whose file was called otherwise.
    pub(super) fn renamed(&self, text: &str, from: &str, to: &str) -> String {
        match self {
            Self::Markdown(_) => text.to_owned(),
            Self::Html(_) => {
                let title = |name| format!("<title>{}</title>", documents::html::escaped(name));
                text.replacen(&title(from), &title(to), 1)
            }
            Self::Json(_) | Self::Chunks { .. } => {
                let line = |line: &str| match serde_json::from_str::<Value>(line) {
                    Ok(mut value) if value["file"] == from => {
                        value["file"] = to.into();
                        format!("{value}\n")
                    }
                    Ok(_) | Err(_) => format!("{line}\n"),
                };
                text.lines().map(line).collect()
            }
        }
    }

    /// The whole document.
    pub(super) fn write(&self, document: &Document) -> Result<String> {
        Ok(match self {
            Self::Markdown(options) => documents::markdown::write(document, *options),
            Self::Html(options) => documents::html::write(document, *options),
            // One line for each file, so that many can be told apart.
            Self::Json(options) => format!("{}\n", documents::json::write(document, *options)),
            Self::Chunks { asked, furniture, tokenizer } => {
                parted(document, asked, *furniture, tokenizer.as_ref())?
            }
        })
    }
}

/// The lines of a document's chunks.
fn parted(
    document: &Document,
    asked: &Chunking,
    furniture: bool,
    tokenizer: Option<&Tokenizer>,
) -> Result<String> {
    let refused = RefCell::new(None);
    let count = |text: &str| match tokenizer {
        None => estimate(text),
        Some(tokenizer) => match tokenizer.encode(text, Special::OmitLiteral) {
            Ok(tokens) => tokens.len(),
            Err(error) => {
                refused.borrow_mut().get_or_insert(error);
                estimate(text)
            }
        },
    };
    let options = ChunkOptions {
        tokens: asked.chunk_tokens as usize,
        overlap: asked.chunk_overlap as usize,
        heading_level: asked.chunk_headings,
        by_page: asked.chunk_pages,
        furniture,
        count: &count,
    };
    let found = chunks(document, &options);
    let mut lines = String::new();
    for (number, chunk) in found.iter().enumerate() {
        let mut line = chunk.to_json(&document.name, number);
        line["tokens_by"] = asked.chunk_tokenizer.as_deref().unwrap_or("estimate").into();
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    match refused.into_inner() {
        None => Ok(lines),
        Some(error) => {
            let reason = format!("it cannot count the tokens of {}: {error}", document.name);
            Err(Failure::from(Problem::Flag { flag: "--chunk-tokenizer", reason }))
        }
    }
}
