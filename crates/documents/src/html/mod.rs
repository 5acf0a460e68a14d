//! A document as one page of HTML: whole in itself, without scripts, and safe whatever a document or a model says.

pub(crate) mod blocks;
mod clean;
mod markup;
mod tags;
mod transcript;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::furniture::{Framed, framed};
use crate::{BlockKind, Document, Origin, Page};
pub(crate) use markup::{Markup, escape};
pub(crate) use tags::{Token, decoded, tokens};
pub(crate) use transcript::dialect;

/// What to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HtmlOptions {
    /// Keep running headers, footers and page numbers.
    pub furniture: bool,
}

const SHEET: &str = include_str!("sheet.css");

/// The document as a page of HTML that is also well-formed XML. Each page is a section with the id `page-N`. A page that
/// could not be read says why.
pub fn write(document: &Document, options: HtmlOptions) -> String {
    let title = document.title.as_deref().filter(|title| !title.trim().is_empty());
    let title = title.unwrap_or(&document.name);
    let mut markup = Markup::default();
    markup.ours("<!DOCTYPE html>\n");
    let language = language(document);
    match &language {
        Some(language) => markup.open("html", &[("lang", language)]),
        None => markup.open("html", &[]),
    }
    head(title, "folio", SHEET, None, &mut markup);
    markup.open("body", &[]);
    markup.line();
    markup.open("main", &[]);
    markup.line();
    for page in &document.pages {
        let number = page.number.to_string();
        let (id, label) = (format!("page-{number}"), format!("Page {number}"));
        markup.open("section", &[("id", &id), ("aria-label", &label)]);
        markup.line();
        let here = format!("#{id}");
        let attributes = [("class", "number"), ("href", here.as_str()), ("aria-label", &label)];
        markup.element("a", &attributes, &number);
        markup.line();
        body(page, options, &mut markup);
        markup.close();
        markup.line();
    }
    let mut html = markup.finish();
    html.push('\n');
    html
}

/// A text as it stands in HTML.
pub fn escaped(text: &str) -> String {
    let mut out = String::new();
    escape(text, &mut out);
    out
}

/// The head of a page that asks for nothing from anywhere: what may run and what may be shown is named by its hash.
pub(crate) fn head(
    title: &str,
    generator: &str,
    sheet: &'static str,
    script: Option<&'static str>,
    markup: &mut Markup,
) {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let scripts = script.map_or_else(|| "'none'".to_owned(), hash);
    let policy = format!(
        "default-src 'none'; img-src 'self' file: data:; style-src {}; script-src {scripts}; base-uri 'none'; form-action 'none'",
        hash(sheet)
    );
    markup.open("head", &[]);
    markup.line();
    markup.void("meta", &[("charset", "utf-8")]);
    markup.line();
    markup.void("meta", &[("http-equiv", "Content-Security-Policy"), ("content", &policy)]);
    markup.line();
    markup
        .void("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
    markup.line();
    markup.void("meta", &[("name", "color-scheme"), ("content", "light dark")]);
    markup.line();
    markup.void("meta", &[("name", "generator"), ("content", generator)]);
    markup.line();
    markup.element("title", &[], title);
    markup.line();
    markup.open("style", &[]);
    markup.ours(sheet);
    markup.close();
    markup.line();
    markup.close();
    markup.line();
}

/// What stands on a page.
pub(crate) fn body(page: &Page, options: HtmlOptions, markup: &mut Markup) {
    let depth = markup.depth();
    match &page.origin {
        Origin::Transcript(reading) => {
            let text = reading.text.as_deref().unwrap_or_default();
            let Framed { above, text, below } = framed(page, text, options.furniture);
            blocks::write(above.into_iter(), markup);
            transcribed(page, text, markup);
            blocks::write(below.into_iter(), markup);
        }
        Origin::Failed(failure) => {
            let said = format!("Page {} could not be read: {failure}", page.number);
            markup.element("p", &[("class", "lost"), ("role", "note")], &said);
            markup.line();
        }
        Origin::NoText { images, cover } => {
            let said = crate::markdown::no_text(page.number, *images, *cover);
            markup.element("p", &[("class", "lost"), ("role", "note")], &said);
            markup.line();
        }
        Origin::TextLayer | Origin::HiddenText | Origin::Blank => {
            let kept = |block: &&crate::Block| options.furniture || !block.kind.is_furniture();
            blocks::write(page.blocks.iter().filter(kept), markup);
        }
    }
    markup.close_to(depth);
}

/// What a model wrote about a page, all of it.
pub(crate) fn transcribed(page: &Page, text: &str, markup: &mut Markup) {
    let files: BTreeSet<&str> = figures(page).collect();
    transcript::write(text, &|file| files.contains(file), markup);
}

/// The files of a page's figures.
fn figures(page: &Page) -> impl Iterator<Item = &str> {
    page.blocks.iter().filter_map(|block| {
        let BlockKind::Figure { file, .. } = &block.kind else { return None };
        Some(file.as_str())
    })
}

/// The language that most pages are in, as far as a model said so.
fn language(document: &Document) -> Option<String> {
    let mut pages: BTreeMap<&str, usize> = BTreeMap::new();
    for page in &document.pages {
        if let Origin::Transcript(reading) = &page.origin
            && let Some(language) = &reading.front_matter.primary_language
        {
            *pages.entry(language).or_default() += 1;
        }
    }
    let (most, _) = pages.into_iter().max_by_key(|(_, count)| *count)?;
    let plain = (2..=3).contains(&most.len()) && most.bytes().all(|b| b.is_ascii_alphabetic());
    plain.then(|| most.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::clean::Cleaner;
    use super::tags::{Token, decoded, tokens};
    use super::*;

    /// Checks that HTML is well-formed and made of nothing but what is allowed; gives its text.
    fn checked(html: &str) -> String {
        let mut open = Vec::new();
        let mut text = String::new();
        for token in tokens(html) {
            match token {
                Token::Text(said) => {
                    assert!(!said.contains(['<', '>', '"', '\'']), "{said:?} in {html}");
                    text.push_str(&decoded(said));
                }
                Token::Open { name, attributes, raw } => {
                    assert!(!matches!(name.as_str(), "script" | "style" | "iframe" | "object"));
                    for (name, value) in attributes {
                        assert!(!name.starts_with("on") && name != "style", "{html}");
                        let lower = value.to_ascii_lowercase();
                        let link = matches!(name.as_str(), "href" | "src");
                        assert!(!link || !lower.trim().starts_with("javascript"), "{html}");
                    }
                    if !raw.ends_with("/>") {
                        open.push(name);
                    }
                }
                Token::Close { name, .. } => assert_eq!(open.pop(), Some(name), "{html}"),
                Token::Hidden => panic!("{html}"),
            }
        }
        assert!(open.is_empty(), "{html}");
        text
    }

    /// Texts as a model might write them on a bad day.
    fn muddle() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("<table>"),
            Just("</table>"),
            Just("<tr>"),
            Just("</tr>"),
            Just("<td colspan=2>"),
            Just("</td>"),
            Just("<th>"),
            Just("<thead>"),
            Just("</tbody>"),
            Just("<ul>"),
            Just("<li>"),
            Just("</li>"),
            Just("<p>"),
            Just("</p>"),
            Just("<b>"),
            Just("</b>"),
            Just("</i>"),
            Just("<div>"),
            Just("</div>"),
            Just("<script>"),
            Just("</script>"),
            Just("<a href='javascript:x'>"),
            Just("</a>"),
            Just("<img src=x onerror=y>"),
            Just("<!-- "),
            Just(" -->"),
            Just("<caption>"),
            Just("<col>"),
            Just("\n"),
            Just("\n\n"),
            Just("\n- "),
            Just("\n> "),
            Just("\n# "),
            Just("|a|b|\n|-|-|\n|"),
            Just("```"),
            Just("`"),
            Just("**"),
            Just("_"),
            Just("$"),
            Just("\\("),
            Just("\\)"),
            Just("![x](y)"),
            Just("[x](http://y)"),
            Just("word "),
            Just("<"),
            Just("&"),
            Just("&lt;"),
            Just("\""),
            Just("\u{0}"),
            Just("é"),
            Just("  "),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn whatever_a_model_writes_is_well_formed_and_harmless(text in muddle()) {
            let mut markup = Markup::default();
            markup.open("section", &[]);
            transcript::write(&text, &|_| false, &mut markup);
            prop_assert_eq!(markup.depth(), 1);
            let shown = checked(&markup.finish());
            let words = |text: &str| text.matches("word").count();
            let hidden = ["<!--", "](", "```"].iter().any(|mark| text.contains(mark));
            prop_assert!(hidden || words(&shown) == words(&text), "{}", shown);
        }

        #[test]
        fn any_html_is_cleaned(html in muddle()) {
            let mut markup = Markup::default();
            let cleaner = Cleaner::new(&markup);
            cleaner.write(&html, &mut markup);
            cleaner.end(&mut markup);
            checked(&markup.finish());
        }
    }
}
