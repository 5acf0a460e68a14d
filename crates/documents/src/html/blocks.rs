//! Blocks of a page's own text as HTML.

use super::markup::{Markup, target};
use crate::markdown::{Run, code_lines, runs};
use crate::{Block, BlockKind, Inline, Table};

const AUTO: (&str, &str) = ("dir", "auto");

/// Writes blocks one after the other.
pub(crate) fn write<'a>(blocks: impl Iterator<Item = &'a Block>, markup: &mut Markup) {
    let base = markup.depth();
    let mut lists: Vec<Sort> = Vec::new();
    for block in blocks {
        if let BlockKind::ListItem { marker, depth } = &block.kind {
            item(marker, usize::from(*depth), block, &mut lists, base, markup);
            continue;
        }
        if !lists.is_empty() {
            lists.clear();
            markup.close_to(base);
            markup.line();
        }
        match &block.kind {
            BlockKind::Heading { level } => {
                const TAGS: [&str; 6] = ["h1", "h2", "h3", "h4", "h5", "h6"];
                let tag = TAGS[usize::from((*level).clamp(1, 6)) - 1];
                lines(tag, &[AUTO], &block.inlines, true, markup);
            }
            BlockKind::Paragraph => lines("p", &[AUTO], &block.inlines, false, markup),
            BlockKind::Footnote => {
                lines("p", &[AUTO, ("class", "footnote")], &block.inlines, false, markup);
            }
            BlockKind::Header | BlockKind::Footer | BlockKind::PageNumber => {
                let class = ("class", "furniture");
                lines("p", &[AUTO, class], &block.inlines, false, markup);
            }
            BlockKind::Code => {
                markup.open("pre", &[]);
                markup.element("code", &[], &code_lines(block));
                markup.close();
            }
            BlockKind::Table(each) => table(each, markup),
            BlockKind::Figure { file, alt } => {
                markup.open("figure", &[]);
                let alt = if alt.is_empty() { "picture" } else { alt };
                markup.void("img", &[("src", file), ("alt", alt), ("loading", "lazy")]);
                markup.close();
            }
            BlockKind::ListItem { .. } => {}
        }
        markup.line();
    }
    markup.close_to(base);
}

/// What marks the items of a list.
#[derive(Clone, Copy, PartialEq)]
enum Sort {
    Bullets,
    Numbers,
    /// Markers of its own: `(a)`, `2.1`.
    Own,
}

fn sort(marker: &str) -> Sort {
    let mut chars = marker.chars();
    if let (Some(first), None) = (chars.next(), chars.next())
        && !first.is_alphanumeric()
    {
        return Sort::Bullets;
    }
    if number(marker).is_some() { Sort::Numbers } else { Sort::Own }
}

fn number(marker: &str) -> Option<u32> {
    marker.strip_suffix('.')?.parse().ok()
}

fn item(
    marker: &str,
    depth: usize,
    block: &Block,
    lists: &mut Vec<Sort>,
    base: usize,
    markup: &mut Markup,
) {
    let sort = sort(marker);
    // An item two levels down whose parent is missing stands one level down.
    let depth = depth.min(lists.len());
    if lists.get(depth).is_some_and(|open| *open != sort) {
        lists.truncate(depth);
    }
    lists.truncate(depth + 1);
    // Each list that is open has an item open in it.
    markup.close_to(base + 2 * lists.len());
    if lists.len() > depth {
        markup.close();
    } else {
        match sort {
            Sort::Bullets => markup.open("ul", &[]),
            Sort::Numbers => markup.open("ol", &[]),
            Sort::Own => markup.open("ul", &[("class", "own")]),
        }
        lists.push(sort);
    }
    markup.line();
    match (sort, number(marker)) {
        (Sort::Numbers, Some(number)) => {
            markup.open("li", &[AUTO, ("value", &number.to_string())]);
        }
        _ => markup.open("li", &[AUTO]),
    }
    if sort == Sort::Own {
        markup.element("span", &[("class", "marker")], marker);
        markup.text(" ");
    }
    inlines(&block.inlines, false, markup);
}

fn lines(
    tag: &'static str,
    attributes: &[(&'static str, &str)],
    text: &[Inline],
    heading: bool,
    markup: &mut Markup,
) {
    markup.open(tag, attributes);
    inlines(text, heading, markup);
    markup.close();
}

/// Styled text. In a heading nothing is bold, since all of it is.
fn inlines(text: &[Inline], heading: bool, markup: &mut Markup) {
    for run in runs(text, heading) {
        let Run { text, bold, italic, mono, raised, link } = &run;
        let depth = markup.depth();
        if text.trim().is_empty() {
            markup.text(text);
            continue;
        }
        if let Some(href) = link.as_deref().and_then(target) {
            markup.open("a", &[("href", &href), ("rel", "noreferrer noopener")]);
        }
        let marks = [(*raised, "sup"), (*bold, "strong"), (*italic, "em"), (*mono, "code")];
        for (_, tag) in marks.into_iter().filter(|(set, _)| *set) {
            markup.open(tag, &[]);
        }
        for (at, line) in text.split('\n').enumerate() {
            if at > 0 {
                markup.void("br", &[]);
            }
            markup.text(line);
        }
        markup.close_to(depth);
    }
}

fn table(table: &Table, markup: &mut Markup) {
    markup.open("table", &[]);
    let mut rows = table.rows.iter();
    let row = |cells: &[crate::Cell], head: bool, markup: &mut Markup| {
        markup.open("tr", &[]);
        for cell in cells {
            if head {
                markup.open("th", &[AUTO, ("scope", "col")]);
            } else {
                markup.open("td", &[AUTO]);
            }
            inlines(&cell.inlines, head, markup);
            markup.close();
        }
        markup.close();
        markup.line();
    };
    if table.has_head
        && let Some(head) = rows.next()
    {
        markup.open("thead", &[]);
        row(head, true, markup);
        markup.close();
    }
    markup.open("tbody", &[]);
    rows.for_each(|cells| row(cells, false, markup));
    markup.close();
    markup.close();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rect;
    use crate::layout::Style;

    fn inline(text: &str, style: Style) -> Inline {
        Inline { text: text.to_owned(), style, link: None }
    }

    fn block(kind: BlockKind, text: &str) -> Block {
        let inlines = vec![inline(text, Style::PLAIN)];
        Block { kind, bbox: Rect::default(), inlines, lines: Vec::new() }
    }

    fn html(blocks: &[Block]) -> String {
        let mut markup = Markup::default();
        write(blocks.iter(), &mut markup);
        markup.finish().replace(" dir=\"auto\"", "").replace('\n', "")
    }

    #[test]
    fn lists_nest_and_keep_their_numbers() {
        let item = |marker: &str, depth, text| {
            block(BlockKind::ListItem { marker: marker.to_owned(), depth }, text)
        };
        let blocks = [
            item("2.", 0, "a"),
            item("•", 1, "b"),
            item("•", 1, "c"),
            item("(i)", 2, "d"),
            item("3.", 0, "e"),
            item("•", 0, "f"),
            block(BlockKind::Paragraph, "g"),
            item("•", 3, "h"),
        ];
        let wanted = "<ol><li value=\"2\">a<ul><li>b</li><li>c<ul class=\"own\"><li><span class=\"marker\">(i)</span> d</li></ul></li></ul></li>\
                      <li value=\"3\">e</li></ol><ul><li>f</li></ul><p>g</p><ul><li>h</li></ul>";
        assert_eq!(html(&blocks), wanted);
    }

    #[test]
    fn text_of_documents_is_text() {
        let mut evil = block(BlockKind::Paragraph, "");
        evil.inlines = vec![
            Inline {
                link: Some("javascript:alert(1)".to_owned()),
                ..inline("<script>x", Style::BOLD)
            },
            Inline { link: Some("#page=3".to_owned()), ..inline("a\nb", Style::PLAIN) },
        ];
        let wanted = "<p><strong>&lt;script&gt;x</strong><a href=\"#page-3\" rel=\"noreferrer noopener\">a<br/>b</a></p>";
        assert_eq!(html(&[evil]), wanted);
    }
}
