//! A document as Markdown.

use crate::Document;

/// What to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarkdownOptions {
    /// A comment `<!-- page N -->` before each page.
    pub page_markers: bool,
    /// Keep running headers, footers and page numbers.
    pub furniture: bool,
}

/// The document as Markdown.
pub fn write(document: &Document, options: MarkdownOptions) -> String {
    let _ = (document, options);
    String::new()
}
