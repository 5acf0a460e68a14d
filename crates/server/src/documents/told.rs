//! What is said of a reading: pages, failures, sums, and what went wrong with all of it.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use documents::html::{self, HtmlOptions};
use documents::json::{self, JsonOptions};
use documents::markdown::{self, MarkdownOptions};
use documents::pipeline::Need;
use documents::{Document, Kind, OpenFailure, Origin, Page, PageFailure};
use serde_json::{Value, json};

use super::request::Format;
use crate::fault::Fault;
use crate::parsing::in_words;

/// How a reading is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(super) format: Format,
    pub(super) lines: bool,
    pub(super) page_markers: bool,
    pub(super) keep_headers: bool,
}

impl Shape {
    fn markdown(self) -> MarkdownOptions {
        MarkdownOptions { page_markers: self.page_markers, furniture: self.keep_headers }
    }

    /// One page: where its text is from and why, how far two readings agree, and its text.
    pub(super) fn page(self, page: &Page) -> Value {
        let mut told = json::page(page, JsonOptions { lines: self.lines });
        if self.format != Format::Json
            && let Some(fields) = told.as_object_mut()
        {
            fields.remove("blocks");
            // It stands in the page's text.
            if let Some(reading) = fields.get_mut("reading").and_then(Value::as_object_mut) {
                reading.remove("text");
            }
            if self.format == Format::Markdown {
                let options = MarkdownOptions { page_markers: false, ..self.markdown() };
                fields.insert("markdown".to_owned(), markdown::write_page(page, options).into());
            }
        }
        told
    }

    /// All of it.
    pub(super) fn whole(self, id: &str, document: &Document) -> Value {
        let mut told = sums(id, &document.pages);
        told["object"] = "document.reading".into();
        told["name"] = document.name.as_str().into();
        told["title"] = document.title.as_deref().into();
        told["encrypted"] = document.encrypted.into();
        told["page_count"] = document.page_count.into();
        told["pages"] = document.pages.iter().map(|page| self.page(page)).collect();
        match self.format {
            Format::Markdown => {
                told["markdown"] = markdown::write(document, self.markdown()).into();
            }
            Format::Html => told["html"] = self.html(document),
            Format::Json => {}
        }
        told
    }

    /// What is told at the end, where each page was told when it was done.
    pub(super) fn end(self, id: &str, document: &Document) -> Value {
        let mut told = sums(id, &document.pages);
        // It is of all pages together.
        if self.format == Format::Html {
            told["html"] = self.html(document);
        }
        told
    }

    fn html(self, document: &Document) -> Value {
        html::write(document, HtmlOptions { furniture: self.keep_headers }).into()
    }
}

/// How many pages were read by whom, what was not read as was wanted, and what it took.
fn sums(id: &str, pages: &[Page]) -> Value {
    let mut by = BTreeMap::<&str, u64>::new();
    let (mut prompt, mut completion) = (0_u64, 0_u64);
    let (mut agreement, mut compared) = (0.0, 0_u32);
    for page in pages {
        let source = match &page.origin {
            Origin::Transcript(reading) => {
                prompt += reading.input_tokens;
                completion += reading.output_tokens;
                reading.by.kind()
            }
            Origin::TextLayer => "text_layer",
            Origin::HiddenText => "hidden_text",
            Origin::NoText { .. } => "no_text_layer",
            Origin::Blank => "blank",
            // What is not known here was not read.
            Origin::Failed(_) | _ => "failed",
        };
        *by.entry(source).or_default() += 1;
        if let Some(alike) = &page.agreement {
            agreement += f64::from(alike.score());
            compared += 1;
        }
    }
    let failures: Vec<Value> = pages.iter().filter_map(failure).collect();
    let mut told = json!({
        "id": id,
        "pages_read": pages.len(),
        "by_source": by,
        "failures": failures,
        // Of the attempts that were taken.
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    });
    if compared > 0 {
        let mean = agreement / f64::from(compared);
        told["agreement"] = ((mean * 1000.0).round() / 1000.0).into();
    }
    told
}

/// Why a page was not read as was wanted, if it was not.
pub(crate) fn failure(page: &Page) -> Option<Value> {
    let (reason, message, attempts, taken) = match &page.origin {
        Origin::Transcript(reading) if reading.fallback => {
            let because = reading.because.clone().unwrap_or_default();
            ("model", because, reading.attempt, Some(reading.by.kind()))
        }
        Origin::Failed(PageFailure::Unread { attempts, because }) => {
            ("model", because.clone(), *attempts, None)
        }
        Origin::Failed(failure) if page.need == Some(Need::Unparsed) => {
            ("unreadable", failure.to_string(), 0, None)
        }
        Origin::Failed(failure) => ("rendering", failure.to_string(), 0, None),
        Origin::NoText { .. } => {
            let message = "it has no text of its own, and no model was asked";
            ("no_text_layer", message.to_owned(), 0, None)
        }
        Origin::TextLayer | Origin::HiddenText | Origin::Transcript(_) | Origin::Blank | _ => {
            return None;
        }
    };
    let mut told = json!({
        "page": page.number, "reason": reason, "message": message, "attempts": attempts,
    });
    if let Some(taken) = taken {
        told["taken"] = taken.into();
    }
    Some(told)
}

/// An error in the words of a request.
pub(crate) fn fault(error: documents::Error) -> Fault {
    use documents::Error as E;
    let message = in_words(&error);
    let failure = if let E::Open { failure, .. } = &error { Some(failure) } else { None };
    match failure {
        Some(OpenFailure::PasswordRequired) => {
            let message = format!("{error}: send it as `password`");
            return Fault::field("password", message).coded("password_required");
        }
        Some(OpenFailure::PasswordWrong { .. }) => {
            return Fault::field("password", message).coded("password_wrong");
        }
        Some(_) | None => {}
    }
    if matches!(error, E::Stopped { .. }) {
        return cancelled();
    }
    if matches!(error, E::NoReader { .. }) {
        let message =
            "`mode` is ocr, which shows every page to a vision model: name one in `model`";
        return Fault::field("model", message);
    }
    let field = if matches!(error, E::PageSyntax { .. } | E::PageMissing { .. }) {
        "pages"
    } else if matches!(error, E::Unusable { .. }) {
        "model"
    } else {
        "file"
    };
    match error.kind() {
        Kind::Invalid | Kind::Unsupported | Kind::NotFound => Fault::field(field, message),
        Kind::Overloaded => Fault::of(StatusCode::SERVICE_UNAVAILABLE, message),
        Kind::Internal => {
            tracing::error!(%message, "a document was not read");
            Fault::of(StatusCode::INTERNAL_SERVER_ERROR, message)
        }
    }
}

/// Somebody has ended it.
pub(super) fn cancelled() -> Fault {
    Fault::of(StatusCode::CONFLICT, "the reading was cancelled").coded("cancelled")
}
