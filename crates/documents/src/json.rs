//! A document as JSON. Boxes are `[left, top, right, bottom]` in points from the page's top left.

use serde_json::{Map, Value, json};

use crate::layout::{Line, Style};
use crate::page::plain;
use crate::{Block, BlockKind, Document, Inline, Origin, Page, Rect};

/// What to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonOptions {
    /// Give each block its lines, each line its words, each with its box.
    pub lines: bool,
}

/// The document as a JSON object: `file`, `title`, `encrypted`, `page_count`, `pages`.
pub fn write(document: &Document, options: JsonOptions) -> Value {
    let pages: Vec<Value> = document.pages.iter().map(|p| page(p, options)).collect();
    json!({
        "file": document.name,
        "title": document.title,
        "encrypted": document.encrypted,
        "page_count": document.page_count,
        "pages": pages,
    })
}

/// One page: `page`, `width`, `height`, `rotation`, `text_source` and, when there is something to
/// say, `error`, `hint`, `note`, `reading`, `model_because`, `agreement`, `images`, `warnings`; then `blocks`.
pub fn page(page: &Page, options: JsonOptions) -> Value {
    let mut out = Map::new();
    out.insert("page".into(), page.number.into());
    out.insert("width".into(), points(page.width));
    out.insert("height".into(), points(page.height));
    out.insert("rotation".into(), page.rotation.into());
    let source = match &page.origin {
        Origin::TextLayer => "text_layer",
        Origin::HiddenText => "hidden_text",
        Origin::Transcript(reading) => reading.by.kind(),
        Origin::NoText { .. } => "no_text_layer",
        Origin::Blank => "blank",
        Origin::Failed(_) => "failed",
    };
    out.insert("text_source".into(), source.into());
    match &page.origin {
        Origin::Failed(failure) => {
            out.insert("error".into(), failure.to_string().into());
            out.insert("hint".into(), failure.hint().into());
        }
        Origin::NoText { images, cover } => {
            let note = crate::markdown::no_text(page.number, *images, *cover);
            out.insert("note".into(), note.into());
        }
        Origin::Transcript(reading) => {
            out.insert("reading".into(), reading.to_json());
        }
        Origin::TextLayer | Origin::HiddenText | Origin::Blank => {}
    }
    if let Some(need) = page.need {
        out.insert("model_because".into(), need.name().into());
    }
    if let Some(agreement) = &page.agreement {
        let part = |part: f32| Value::from((f64::from(part) * 1000.0).round() / 1000.0);
        let agreement = json!({
            "score": part(agreement.score()),
            "recall": part(agreement.recall),
            "precision": part(agreement.precision),
            "only_text_layer": agreement.only_text_layer,
            "only_model": agreement.only_model,
        });
        out.insert("agreement".into(), agreement);
    }
    if !page.images.is_empty() {
        let images: Vec<Value> = page.images.iter().map(bbox).collect();
        out.insert("images".into(), images.into());
    }
    if !page.warnings.is_empty() {
        let warnings: Map<String, Value> =
            page.warnings.iter().map(|(w, count)| (w.name().into(), (*count).into())).collect();
        out.insert("warnings".into(), warnings.into());
    }
    let blocks: Vec<Value> = page.blocks.iter().map(|b| block(b, options)).collect();
    out.insert("blocks".into(), blocks.into());
    out.into()
}

fn block(block: &Block, options: JsonOptions) -> Value {
    let mut out = Map::new();
    out.insert("kind".into(), block.kind.name().into());
    out.insert("bbox".into(), bbox(&block.bbox));
    match &block.kind {
        BlockKind::Heading { level } => {
            out.insert("level".into(), (*level).into());
        }
        BlockKind::ListItem { marker, depth } => {
            out.insert("marker".into(), marker.as_str().into());
            out.insert("depth".into(), (*depth).into());
        }
        BlockKind::Figure { file, alt } => {
            out.insert("file".into(), file.as_str().into());
            out.insert("alt".into(), alt.as_str().into());
        }
        BlockKind::Table(table) => {
            let row = |row: &Vec<crate::Cell>| -> Value {
                let cell =
                    |c: &crate::Cell| json!({ "text": plain(&c.inlines), "bbox": bbox(&c.bbox) });
                row.iter().map(cell).collect()
            };
            out.insert("has_head".into(), table.has_head.into());
            out.insert("rows".into(), table.rows.iter().map(row).collect());
        }
        BlockKind::Paragraph
        | BlockKind::Code
        | BlockKind::Footnote
        | BlockKind::Header
        | BlockKind::Footer
        | BlockKind::PageNumber => {}
    }
    out.insert("text".into(), block.text().into());
    if block.is_hidden() {
        out.insert("hidden".into(), true.into());
    }
    let styled = |i: &Inline| i.link.is_some() || i.style != Style::PLAIN;
    if block.inlines.iter().any(styled) {
        out.insert("spans".into(), block.inlines.iter().map(span).collect());
    }
    if options.lines && !block.lines.is_empty() {
        out.insert("lines".into(), block.lines.iter().map(line).collect());
    }
    out.into()
}

fn styles(style: Style) -> Vec<&'static str> {
    let all = [
        (Style::BOLD, "bold"),
        (Style::ITALIC, "italic"),
        (Style::MONO, "mono"),
        (Style::SUPERSCRIPT, "superscript"),
        (Style::HIDDEN, "hidden"),
    ];
    all.iter().filter(|(flag, _)| style.contains(*flag)).map(|(_, name)| *name).collect()
}

fn span(inline: &Inline) -> Value {
    let mut out = Map::new();
    out.insert("text".into(), inline.text.as_str().into());
    let styles = styles(inline.style);
    if !styles.is_empty() {
        out.insert("style".into(), styles.into());
    }
    if let Some(link) = &inline.link {
        out.insert("link".into(), link.as_str().into());
    }
    out.into()
}

fn line(line: &Line) -> Value {
    let words: Vec<Value> =
        line.words.iter().map(|w| json!({ "text": w.text, "bbox": bbox(&w.bbox) })).collect();
    json!({ "bbox": bbox(&line.bbox), "size": points(line.size), "words": words })
}

fn bbox(bbox: &Rect) -> Value {
    [bbox.x0, bbox.y0, bbox.x1, bbox.y1].into_iter().map(points).collect()
}

/// Points with two decimals, which is finer than any printer.
fn points(value: f32) -> Value {
    ((f64::from(value) * 100.0).round() / 100.0).into()
}
