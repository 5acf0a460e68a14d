//! All pages of an index at a glance, as one page of HTML with a small image of each.

use crate::html::{Markup, head};

const SHEET: &str = concat!(include_str!("base.css"), include_str!("contact.css"));

/// What the head of such a page says that it was made by.
const GENERATOR: &str = "folio index";

/// A document and its pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactDocument {
    /// Where it is.
    pub path: String,
    /// What else is said of it; may be empty.
    pub note: String,
    /// Of each page its number, from 1, and the address of its image, or why there is none.
    pub pages: Vec<(u32, Result<String, String>)>,
}

/// The page, called `title`.
pub fn contact_sheet(title: &str, documents: &[ContactDocument]) -> String {
    let mut markup = Markup::default();
    markup.ours("<!DOCTYPE html>\n");
    markup.open("html", &[]);
    head(title, GENERATOR, SHEET, None, &mut markup);
    markup.open("body", &[]);
    markup.open("header", &[]);
    markup.element("h1", &[("dir", "auto")], title);
    let pages: usize = documents.iter().map(|document| document.pages.len()).sum();
    markup.element("p", &[], &format!("{} documents, {pages} pages", documents.len()));
    markup.close();
    markup.line();
    markup.open("main", &[]);
    for document in documents {
        section(document, &mut markup);
    }
    if documents.is_empty() {
        markup.element("p", &[], "Nothing is in this index.");
    }
    let mut html = markup.finish();
    html.push('\n');
    html
}

fn section(document: &ContactDocument, markup: &mut Markup) {
    let name = document.path.rsplit(['/', '\\']).next().unwrap_or(&document.path);
    markup.open("section", &[]);
    markup.element("h2", &[("dir", "auto"), ("title", &document.path)], name);
    if !document.note.is_empty() {
        markup.element("p", &[("class", "note")], &document.note);
    }
    markup.open("div", &[("class", "pages")]);
    for (number, image) in &document.pages {
        markup.line();
        markup.open("figure", &[]);
        match image {
            Ok(address) => {
                let alt = format!("Page {number} of {name}");
                markup.open("a", &[("href", address)]);
                let image = [("src", address.as_str()), ("alt", &alt), ("loading", "lazy")];
                markup.void("img", &image);
                markup.close();
                markup.element("figcaption", &[], &number.to_string());
            }
            Err(why) => {
                markup.element("p", &[("class", "missing")], why);
                markup.element("figcaption", &[], &number.to_string());
            }
        }
        markup.close();
    }
    markup.close();
    markup.close();
    markup.line();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_shown_or_said_to_have_no_image() {
        let document = ContactDocument {
            path: "/papers/<a>.pdf".to_owned(),
            note: "letters".to_owned(),
            pages: vec![(1, Ok("a b/1.webp".to_owned())), (2, Err("torn & lost".to_owned()))],
        };
        let html = contact_sheet("my \"index\"", &[document]);
        assert_eq!((html.matches("<figure>").count(), html.matches("<img ").count()), (2, 1));
        assert!(html.contains("&lt;a&gt;.pdf") && html.contains("torn &amp; lost"), "{html}");
        assert!(html.contains("1 documents, 2 pages"));
        assert!(contact_sheet("x", &[]).contains("Nothing is in this index."));
    }
}
