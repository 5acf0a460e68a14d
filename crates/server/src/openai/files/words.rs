//! A document made into words, as far as it has any: by the text that a PDF carries, without a model.

use std::sync::Arc;
use std::time::{Duration, Instant};

use documents::markdown::{MarkdownOptions, write_page};
use documents::{FileKind, Origin, PageSet, Source};
use serde::Deserialize;
use tokio::runtime::Handle;

use crate::fault::Fault;
use crate::inline::{of_address, of_base64};
use crate::parsing::{Opened, Within};
use crate::state::Server;

/// Pages of a document.
const MOST_PAGES: u32 = 1000;
/// Characters of what is read of it: far more than a model reads.
const MOST_CHARACTERS: usize = 8 << 20;
/// So long one document may take.
const WITHIN: Duration = Duration::from_secs(120);
/// And one page.
const PAGE: Duration = Duration::from_secs(30);

/// A document in a request: kept here, or sent along.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FileObject")]
pub(in crate::openai) struct WireFile {
    /// The id of one that was uploaded.
    #[serde(default)]
    pub(in crate::openai) file_id: Option<String>,
    /// What it holds, as base64, with or without `data:application/pdf;base64,` before it.
    #[serde(default)]
    pub(in crate::openai) file_data: Option<String>,
    /// What it is called, if it is sent along.
    #[serde(default)]
    pub(in crate::openai) filename: Option<String>,
    /// Refused: this server fetches no addresses.
    #[serde(default)]
    pub(in crate::openai) file_url: Option<String>,
}

/// Where the documents of one client's request are read. It waits, and so is used apart from others.
#[derive(Clone, Debug)]
pub(in crate::openai) struct Desk {
    server: Server,
    owner: u64,
}

impl Desk {
    pub(in crate::openai) fn new(server: &Server, owner: u64) -> Self {
        Self { server: server.clone(), owner }
    }

    /// Does `work`, which may read documents, apart from those who wait for other things.
    ///
    /// # Errors
    ///
    /// As `work`.
    pub(in crate::openai) async fn apart<T: Send + 'static>(
        self,
        work: impl FnOnce(&Self) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let done = tokio::task::spawn_blocking(move || work(&self)).await;
        let status = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
        done.map_err(|_| Fault::of(status, "the request could not be read"))?
    }

    /// What a document says, under its name.
    ///
    /// # Errors
    ///
    /// If it is not there, is neither a PDF nor text, or is too long.
    pub(in crate::openai) fn words(&self, path: &str, file: WireFile) -> Result<String, Fault> {
        if file.file_url.is_some() {
            let field = format!("{path}.file_url");
            let message = "this server fetches no addresses: send the file as `file_data`";
            return Err(Fault::field(&field, format!("`{field}`: {message}")));
        }
        let (name, bytes) = match (file.file_id, file.file_data) {
            (Some(id), None) => {
                if file.filename.is_some() {
                    let message = format!("`{path}`: `filename` goes with `file_data`");
                    return Err(Fault::field(path, message));
                }
                let found = self.server.shelf.content(self.owner, &id);
                let (entry, bytes) = found
                    .map_err(|fault| Fault { param: Some(format!("{path}.file_id")), ..fault })?;
                (entry.name, bytes)
            }
            (None, Some(data)) => {
                let name = file.filename.unwrap_or_else(|| "document".to_owned());
                (name, decoded(path, &data)?)
            }
            (Some(_), Some(_)) | (None, None) => {
                let message = format!("`{path}` must hold either `file_id` or `file_data`");
                return Err(Fault::field(path, message));
            }
        };
        let text = if FileKind::of(&bytes) == FileKind::Pdf {
            self.pdf(path, &name, bytes)?
        } else {
            String::from_utf8(bytes).map_err(|_| {
                let message = format!("`{path}`: `{name}` is neither a PDF nor text in UTF-8");
                Fault::field(path, message)
            })?
        };
        let count = text.chars().count();
        if count > MOST_CHARACTERS {
            let message = format!(
                "`{path}`: `{name}` has {count} characters, but at most {MOST_CHARACTERS} are read"
            );
            return Err(Fault::field(path, message));
        }
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        Ok(format!("[Document: {name}]\n\n{}\n\n[End of {name}]\n", text.trim()))
    }

    fn pdf(&self, path: &str, name: &str, bytes: Vec<u8>) -> Result<String, Fault> {
        let fault = |what: String| Fault::field(path, format!("`{path}`: {what}"));
        // Strangers' files are parsed a few at a time.
        let places = Arc::clone(&self.server.parsers);
        let _place = Handle::current().block_on(places.acquire_owned());
        let source = Source { name: name.to_owned(), bytes };
        let within = Within { each: PAGE, deadline: Instant::now() + WITHIN };
        let opened = Opened::new(&self.server.rules().files, source, within).map_err(fault)?;
        let pages = opened.pages();
        if pages > MOST_PAGES {
            return Err(fault(format!(
                "`{name}` has {pages} pages, but at most {MOST_PAGES} are read"
            )));
        }
        let (document, late) = opened.lay_out(&PageSet::all()).map_err(fault)?;
        if late.is_some() {
            let seconds = WITHIN.as_secs();
            return Err(fault(format!(
                "`{name}` was not read within {seconds} seconds: send fewer pages"
            )));
        }
        let mut text = String::new();
        for page in &document.pages {
            let said = write_page(page, MarkdownOptions::default());
            let number = page.number;
            let said = if matches!(page.origin, Origin::Failed(_)) {
                format!("[Page {number} could not be read.]")
            } else if said.trim().is_empty() {
                format!("[Page {number} has no text: it is empty, or an image.]")
            } else {
                said
            };
            text.push_str(&said);
            text.push_str("\n\n");
        }
        Ok(text)
    }
}

/// What stands behind `data:...;base64,`, or base64 alone.
fn decoded(path: &str, data: &str) -> Result<Vec<u8>, Fault> {
    let fault = |what: String| Fault::field(path, format!("`{path}`: `file_data`: {what}"));
    if data.starts_with("http:") || data.starts_with("https:") {
        return Err(fault("this server fetches no addresses: send the file as base64".to_owned()));
    }
    of_address(data).unwrap_or_else(|| of_base64(data)).map_err(fault)
}
