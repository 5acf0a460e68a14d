//! Resources: the indexes that are offered, and the words and the small image of each of their pages.
//!
//! Pages are not listed, since there are many: they come with what `search_documents` finds, or by their template.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manager::find::{Library, LibraryError};
use rmcp::ErrorData;
use rmcp::model::{ListResourcesResult, Resource, ResourceContents, ResourceTemplate};
use serde_json::json;

use crate::fault::Fault;
use crate::finding::{self, told};
use crate::state::Rules;

/// How all of them begin.
const SCHEME: &str = "folio://indexes/";
/// Documents that are told of an index.
const MOST_DOCUMENTS: usize = 1000;

/// What is told of a page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Image,
    Text,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Text => "text",
        }
    }
}

/// Where a part of a page is.
pub(super) fn uri(index: &str, document: i64, page: u32, part: Part) -> String {
    let (index, part) = (told::escaped(index), part.name());
    format!("{SCHEME}{index}/documents/{document}/pages/{page}/{part}")
}

/// What a name of a resource means.
#[derive(Debug, Eq, PartialEq)]
enum Meant {
    Index(String),
    Page { index: String, document: i64, page: u32, part: Part },
}

fn meant(uri: &str) -> Option<Meant> {
    let parts: Vec<&str> = uri.strip_prefix(SCHEME)?.split('/').collect();
    match parts[..] {
        [index] => Some(Meant::Index(unescaped(index)?)),
        [index, "documents", document, "pages", page, part] => {
            let part = match part {
                "image" => Part::Image,
                "text" => Part::Text,
                _ => return None,
            };
            let (document, page) = (document.parse().ok()?, page.parse().ok()?);
            Some(Meant::Page { index: unescaped(index)?, document, page, part })
        }
        _ => None,
    }
}

/// What was escaped for an address.
fn unescaped(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push((high << 4 | low) as u8);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// How pages are named.
pub(super) fn templates() -> Vec<ResourceTemplate> {
    let template = |part: Part| {
        format!("{SCHEME}{{index}}/documents/{{document}}/pages/{{page}}/{}", part.name())
    };
    vec![
        ResourceTemplate::new(template(Part::Image), "page image")
            .with_title("The image of a page")
            .with_description(
                "A small image of a page that `search_documents` has found: its index, document and page.",
            ),
        ResourceTemplate::new(template(Part::Text), "page text")
            .with_title("The words of a page")
            .with_description("All words of a page that `search_documents` has found.")
            .with_mime_type("text/markdown"),
    ]
}

/// The indexes that are offered.
pub(super) async fn list(
    library: &Arc<Library>,
    rules: &Rules,
) -> Result<ListResourcesResult, ErrorData> {
    let all = library.list(&rules.indexes).await.map_err(|error| refused(&error.into()))?;
    let resource = |status: &manager::find::IndexStatus| {
        let about = match &status.facts {
            Ok(facts) => {
                let pages = facts.pages;
                match &facts.size {
                    Some((size, _)) => format!(
                        "An index of {pages} pages of {} documents, for `search_documents`",
                        size.documents
                    ),
                    None => format!("An index of {pages} pages, for `search_documents`"),
                }
            }
            Err(error) => error.to_string(),
        };
        Resource::new(format!("{SCHEME}{}", told::escaped(&status.name)), status.name.clone())
            .with_description(about)
            .with_mime_type("application/json")
    };
    Ok(ListResourcesResult::with_all_items(all.iter().map(resource).collect()))
}

/// What a resource holds.
pub(super) async fn read(
    library: &Arc<Library>,
    rules: &Rules,
    uri: &str,
) -> Result<ResourceContents, ErrorData> {
    let missing = || {
        let message = format!(
            "there is no resource `{uri}`: `resources/templates/list` tells how they are named"
        );
        ErrorData::resource_not_found(message, None)
    };
    let offer = &rules.indexes;
    let fail = |error: LibraryError| refused(&error.into());
    match meant(uri).ok_or_else(missing)? {
        Meant::Index(index) => {
            let facts = library.facts(offer, &index).await.map_err(fail)?;
            let documents = library.documents(offer, &index, (0, MOST_DOCUMENTS)).await;
            let documents = documents.map_err(fail)?;
            let spoken = finding::spoken(&rules.files).await.map_err(|fault| refused(&fault))?;
            let mut told = told::facts(&index, &facts);
            let documents: Vec<_> =
                documents.iter().map(|document| told::document(document, &spoken)).collect();
            told["listed_documents"] = json!(documents);
            Ok(ResourceContents::text(told.to_string(), uri).with_mime_type("application/json"))
        }
        Meant::Page { index, document, page, part } => {
            let page = library.page(offer, &index, (document, page)).await.map_err(fail)?;
            match (part, page.preview) {
                (Part::Text, _) => {
                    Ok(ResourceContents::text(page.text, uri).with_mime_type("text/markdown"))
                }
                (Part::Image, Some((kind, bytes))) => {
                    let contents = ResourceContents::blob(STANDARD.encode(bytes), uri);
                    Ok(contents.with_mime_type(told::media_type(&kind)))
                }
                (Part::Image, None) => {
                    let message = "no image of this page is kept".to_owned();
                    Err(ErrorData::resource_not_found(message, None))
                }
            }
        }
    }
}

/// A fault in the protocol's words.
fn refused(fault: &Fault) -> ErrorData {
    match fault.status.as_u16() {
        404 => ErrorData::resource_not_found(fault.message.clone(), None),
        400..=499 => ErrorData::invalid_params(fault.message.clone(), None),
        _ => ErrorData::internal_error(fault.message.clone(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_found_by_their_names() {
        let index = "my papers/ä%".to_owned();
        for part in [Part::Image, Part::Text] {
            let page = Meant::Page { index: index.clone(), document: 3, page: 7, part };
            assert_eq!(meant(&uri(&index, 3, 7, part)), Some(page));
        }
        assert_eq!(meant("folio://indexes/a%20b"), Some(Meant::Index("a b".to_owned())));
        for bad in [
            "",
            "folio://indexes/",
            "folio://indexes/%zz",
            "folio://indexes/%f",
            "folio://indexes/%ff",
            "folio://indexes/a/documents/x/pages/1/image",
            "folio://indexes/a/documents/1/pages/-1/image",
            "folio://indexes/a/documents/1/pages/1/sound",
            "folio://indexes/a/documents/1/pages/1",
            "file:///etc/passwd",
            "http://indexes/a",
        ] {
            assert_eq!(meant(bad), None, "{bad}");
        }
    }
}
