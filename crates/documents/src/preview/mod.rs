//! Documents to be looked over by a person, as one page of HTML: each page as it looks beside what was read on it, with
//! what is doubtful marked.

mod marks;
mod recorded;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::html::{HtmlOptions, Markup, blocks, body, head, transcribed};
use crate::picture::{Picture, jpeg, webp};
use crate::pipeline::{Agreement, PageReading, Raster, Reader, Render};
use crate::workspace::Failure;
use crate::{Document, Origin, Page, PageFailure};
use marks::marked;

pub use recorded::{Recorded, fill, recorded};

const SHEET: &str = include_str!("sheet.css");
const KEYS: &str = include_str!("keys.js");

/// What the head of a preview says that it was made by.
pub const GENERATOR: &str = "folio preview";

/// Agreement of the two readings from which on a page is as good as sure, and from which on it is fair.
const GOOD: f32 = 0.97;
const FAIR: f32 = 0.85;

/// A picture of a page, small enough to be shown beside its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// Its file.
    pub bytes: Vec<u8>,
    /// `webp` or `jpeg`.
    pub format: &'static str,
    /// Width and height in pixels.
    pub size: [usize; 2],
}

impl Thumbnail {
    /// Draws a page of the file that `parser` has open, by its number from 1, `longest` pixels on the longer side.
    ///
    /// # Errors
    /// The reason why this page has no picture.
    pub fn draw(parser: &mut dyn Render, page: u32, longest: u32) -> Result<Self, PageFailure> {
        let picture = parser.render(page.saturating_sub(1), Raster { longest })?;
        Ok(Self::of(&picture))
    }

    /// Text on paper is smaller without loss, a photograph with some.
    fn of(picture: &Picture) -> Self {
        let size = [picture.width, picture.height];
        // Neither fails for a page: its sides are shorter than what the formats can hold.
        let webp = webp(picture).unwrap_or_default();
        let jpeg = jpeg(picture, 72).unwrap_or_default();
        if jpeg.is_empty() || (!webp.is_empty() && webp.len() <= jpeg.len()) {
            Self { bytes: webp, format: "webp", size }
        } else {
            Self { bytes: jpeg, format: "jpeg", size }
        }
    }

    /// The media type of its file.
    pub fn media_type(&self) -> &'static str {
        if self.format == "webp" { "image/webp" } else { "image/jpeg" }
    }

    /// An address that holds the picture itself.
    pub fn inline(&self) -> String {
        format!("data:{};base64,{}", self.media_type(), STANDARD.encode(&self.bytes))
    }
}

/// How a page looks.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// A picture at this address, of this width and height.
    Picture(String, [usize; 2]),
    /// None, for this reason.
    Missing(String),
}

/// A document that is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The document.
    pub document: Document,
    /// How its pages look, in their order.
    pub looks: Vec<Look>,
    /// What is to be said of it besides, such as that pages are left out.
    pub note: Option<String>,
}

/// What could not be read: a document and why.
pub type Lost<'a> = (&'a str, &'a Failure);

/// The page, with `title` on top.
pub fn write(title: &str, documents: &[Shown], lost: &[Lost<'_>]) -> String {
    let mut markup = Markup::default();
    markup.ours("<!DOCTYPE html>\n");
    markup.open("html", &[]);
    head(title, GENERATOR, SHEET, Some(KEYS), &mut markup);
    markup.open("body", &[]);
    markup.line();
    markup.element("a", &[("class", "skip"), ("href", "#pages")], "Skip to the pages");
    bar(title, documents, lost.len(), &mut markup);
    index(documents, &mut markup);
    markup.open("main", &[("id", "pages")]);
    markup.line();
    losses(lost, &mut markup);
    for (at, shown) in documents.iter().enumerate() {
        if documents.len() > 1 {
            markup.element("h2", &[("dir", "auto")], &shown.document.name);
        }
        if let Some(note) = &shown.note {
            markup.element("p", &[("class", "missing")], note);
        }
        for (page, look) in shown.document.pages.iter().zip(&shown.looks) {
            section(at, page, look, &mut markup);
        }
    }
    markup.close();
    markup.line();
    markup.open("script", &[]);
    markup.ours(KEYS);
    markup.close();
    let mut html = markup.finish();
    html.push('\n');
    html
}

/// How far what was read on a page may be trusted.
fn state(page: &Page) -> &'static str {
    match (&page.origin, &page.agreement) {
        (Origin::Failed(_) | Origin::NoText { .. }, _) => "poor",
        (Origin::Transcript(reading), _) if reading.fallback => "poor",
        (Origin::Transcript(_), Some(agreement)) => match agreement.score() {
            score if score >= GOOD => "good",
            score if score >= FAIR => "fair",
            _ => "poor",
        },
        // Nobody read it twice.
        (Origin::Transcript(_), None) => "none",
        (Origin::TextLayer | Origin::HiddenText, _) if page.need.is_some() => "fair",
        (Origin::TextLayer, _) => "good",
        (Origin::HiddenText, _) => "fair",
        (Origin::Blank, _) => "none",
    }
}

fn bar(title: &str, documents: &[Shown], lost: usize, markup: &mut Markup) {
    markup.open("header", &[("class", "bar")]);
    markup.element("h1", &[("dir", "auto")], title);
    let pages = || documents.iter().flat_map(|shown| &shown.document.pages);
    let (mut seen, mut failed, mut doubtful) = (0, 0, 0);
    for page in pages() {
        seen += usize::from(
            matches!(&page.origin, Origin::Transcript(r) if matches!(r.by, Reader::Model(_))),
        );
        failed += usize::from(matches!(page.origin, Origin::Failed(_) | Origin::NoText { .. }));
        doubtful += usize::from(matches!(state(page), "fair" | "poor"));
    }
    let mut said = vec![format!("{} read by a model", seen), format!("{doubtful} doubtful")];
    if failed > 0 {
        said.push(format!("{failed} not read"));
    }
    if lost > 0 {
        said.push(format!("{lost} failures"));
    }
    let scores: Vec<f32> =
        pages().filter_map(|page| page.agreement.as_ref()).map(Agreement::score).collect();
    if !scores.is_empty() {
        let mean = scores.iter().sum::<f32>() / scores.len() as f32;
        said.push(format!("agreement {mean:.3} over {} pages", scores.len()));
    }
    markup.element("p", &[], &said.join(" · "));
    markup.element("span", &[("class", "room")], "");
    let place = [("id", "here"), ("role", "status"), ("aria-label", "Page on the screen")];
    markup.element("p", &place, &format!("{} pages", pages().count()));
    for (id, key, name) in [
        ("before", "k", "Back"),
        ("after", "j", "Next"),
        ("odd", "n", "Next doubtful"),
        ("wide", "z", "Large"),
    ] {
        markup.open("button", &[("type", "button"), ("id", id), ("aria-keyshortcuts", key)]);
        markup.text(&format!("{name} "));
        markup.element("kbd", &[], key);
        markup.close();
    }
    markup.close();
    markup.line();
}

fn id(document: usize, page: &Page) -> String {
    // The first document's pages are called as in a page of HTML, so that links within it lead to them.
    if document == 0 {
        format!("page-{}", page.number)
    } else {
        format!("d{}-page-{}", document + 1, page.number)
    }
}

fn index(documents: &[Shown], markup: &mut Markup) {
    markup.open("nav", &[("aria-label", "Pages")]);
    markup.open("ol", &[]);
    for (at, shown) in documents.iter().enumerate() {
        for page in &shown.document.pages {
            let (state, href) = (state(page), format!("#{}", id(at, page)));
            let word = word(state);
            let label = format!("Page {} of {}: {word}", page.number, shown.document.name);
            markup.open("li", &[]);
            let attributes = [
                ("class", state),
                ("href", href.as_str()),
                ("title", &label),
                ("aria-label", &label),
            ];
            markup.element("a", &attributes, &page.number.to_string());
            markup.close();
        }
    }
    markup.close();
    markup.close();
    markup.line();
}

fn word(state: &str) -> &'static str {
    match state {
        "good" => "sure",
        "fair" => "look at it",
        "poor" => "doubtful",
        _ => "read once",
    }
}

fn losses(lost: &[Lost<'_>], markup: &mut Markup) {
    if lost.is_empty() {
        return;
    }
    markup.element("h2", &[], "What could not be read as was wanted");
    markup.open("table", &[("class", "failures")]);
    markup.open("thead", &[]);
    markup.open("tr", &[]);
    for name in ["Document", "Page", "Reason", "What was met", "Attempts"] {
        markup.element("th", &[("scope", "col")], name);
    }
    markup.close();
    markup.close();
    markup.open("tbody", &[]);
    for (source, failure) in lost {
        markup.open("tr", &[]);
        markup.element("td", &[], source);
        markup.element(
            "td",
            &[],
            &failure.page.map_or_else(|| "all".to_owned(), |n| n.to_string()),
        );
        markup.element("td", &[], &failure.reason.to_string());
        markup.element("td", &[("dir", "auto")], &failure.message);
        markup.element("td", &[], &failure.attempt.to_string());
        markup.close();
    }
    markup.close();
    markup.close();
    markup.line();
}

fn section(document: usize, page: &Page, look: &Look, markup: &mut Markup) {
    let (id, state) = (id(document, page), state(page));
    let label = format!("Page {}", page.number);
    let attributes = [
        ("class", "page"),
        ("id", id.as_str()),
        ("data-state", state),
        ("tabindex", "-1"),
        ("aria-label", &label),
    ];
    markup.open("section", &attributes);
    markup.open("h3", &[]);
    markup.element("a", &[("href", &format!("#{id}"))], &label);
    let chip = match &page.agreement {
        Some(agreement) => format!("agreement {:.2}", agreement.score()),
        None => word(state).to_owned(),
    };
    markup.element("span", &[("class", &format!("chip {state}"))], &chip);
    markup.element("span", &[("class", "by")], &by(page));
    markup.close();
    markup.line();
    markup.open("div", &[("class", "sides")]);
    markup.open("div", &[("class", "seen")]);
    match look {
        Look::Picture(address, [width, height]) => {
            let (width, height) = (width.to_string(), height.to_string());
            let alt = format!("Page {} as it looks", page.number);
            let attributes = [
                ("src", address.as_str()),
                ("alt", &alt),
                ("width", &width),
                ("height", &height),
                ("loading", "lazy"),
            ];
            markup.void("img", &attributes);
        }
        Look::Missing(why) => markup.element("p", &[("class", "missing")], why),
    }
    markup.close();
    markup.open("div", &[("class", "read")]);
    read(page, markup);
    markup.close();
    markup.close();
    markup.close();
    markup.line();
}

/// Who read a page.
fn by(page: &Page) -> String {
    match &page.origin {
        Origin::TextLayer => "its own text".to_owned(),
        Origin::HiddenText => "text that another program recognised".to_owned(),
        Origin::Blank => "nothing on it".to_owned(),
        Origin::NoText { .. } => "a scan that nobody read".to_owned(),
        Origin::Failed(_) => "not read".to_owned(),
        Origin::Transcript(reading) => by_reader(reading),
    }
}

fn by_reader(reading: &PageReading) -> String {
    let mut said = match &reading.by {
        Reader::TextLayer => "its own text".to_owned(),
        Reader::Model(name) | Reader::Engine(name) => format!("read by {name}"),
    };
    if reading.attempt > 0 {
        said.push_str(&format!(", attempt {}", reading.attempt + 1));
    }
    if reading.turned > 0 {
        said.push_str(&format!(", turned by {} degrees", reading.turned));
    }
    if reading.fallback {
        said.push_str(", which is not what was wanted");
    }
    if let Some(because) = reading.because.as_deref().filter(|because| !because.is_empty()) {
        said.push_str(&format!(": {because}"));
    }
    said
}

/// What was read on a page, with what differs marked.
fn read(page: &Page, markup: &mut Markup) {
    let options = HtmlOptions { furniture: true };
    let rendered = |write: &dyn Fn(&mut Markup)| {
        let mut inner = Markup::default();
        write(&mut inner);
        inner.finish()
    };
    let text = rendered(&|inner| {
        if let Origin::Transcript(reading) = &page.origin {
            // Exactly what was read.
            transcribed(page, reading.text.as_deref().unwrap_or_default(), inner);
        } else {
            body(page, options, inner);
        }
    });
    let empty = text.trim().is_empty();
    let Some(agreement) = &page.agreement else {
        if empty {
            markup.element("p", &[("class", "empty")], "No text.");
        } else {
            markup.finished(text);
        }
        return;
    };
    let own = rendered(&|inner| blocks::write(page.blocks.iter(), inner));
    if empty {
        markup.element("p", &[("class", "empty")], "No text.");
    } else {
        markup.finished(marked(&text, &own));
    }
    odds(agreement, markup);
    markup.open("details", &[]);
    markup.element("summary", &[], "The page's own text");
    markup.finished(marked(&own, &text));
    markup.close();
}

/// What only one of two readings has.
fn odds(agreement: &Agreement, markup: &mut Markup) {
    let Agreement { only_text_layer, only_model, recall, precision } = agreement;
    if only_text_layer.is_empty() && only_model.is_empty() {
        return;
    }
    markup.open("div", &[("class", "odds")]);
    let heads = [
        ("Only in the page's own text", only_text_layer, recall, "of its words were read"),
        ("Only in what was read", only_model, precision, "of it stands in the page's own text"),
    ];
    for (head, spans, part, of) in heads {
        if spans.is_empty() {
            continue;
        }
        let percent = f64::from(*part) * 100.0;
        markup.element("h4", &[], &format!("{head} ({percent:.1} % {of})"));
        markup.open("ul", &[]);
        for span in spans {
            markup.element("li", &[("dir", "auto")], span);
        }
        markup.close();
    }
    markup.close();
}
