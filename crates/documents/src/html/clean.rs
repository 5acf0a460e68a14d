//! HTML as models write it, made into HTML that is safe and whole.
//!
//! A tag that is not in the list below is shown as text, an attribute that is not is dropped, and so nothing that a page or
//! a model says can become a script, a style or a request. Tables come out as tables: what the writer forgot to open or to
//! close is opened and closed, and nothing that stood in them is lost.

use super::markup::{Markup, target};
use super::tags::{Token, decoded, tokens};

/// Elements within a line.
const INLINE: &[&str] = &[
    "b", "strong", "i", "em", "u", "s", "del", "ins", "sub", "sup", "small", "mark", "code", "kbd",
    "samp", "var", "q", "cite", "abbr", "span",
];
/// Elements that stand for themselves.
const BLOCKS: &[&str] = &[
    "p",
    "div",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "ul",
    "ol",
    "li",
    "dl",
    "dt",
    "dd",
    "blockquote",
    "pre",
    "figure",
    "figcaption",
];
/// What a table is made of.
const TABLE: &[&str] = &["table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th"];
/// Elements that have no content.
const VOID: &[&str] = &["br", "hr", "wbr"];
/// What has nothing but rows, or cells, in it.
const FRAME: &[&str] = &["table", "thead", "tbody", "tfoot", "tr"];

/// The deepest nesting; what is deeper loses its tags and keeps its text.
const DEEPEST: usize = 48;
/// The most columns or rows that a cell spans.
const MOST_SPAN: u32 = 1000;

/// The name of a list as it stands there.
fn known(list: &[&'static str], name: &str) -> Option<&'static str> {
    list.iter().copied().find(|known| *known == name)
}

/// The attributes that were given to an element.
#[derive(Clone, Copy)]
struct Given<'a>(&'a [(String, String)]);

impl<'a> Given<'a> {
    fn value(self, wanted: &str) -> Option<&'a str> {
        self.0.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }
}

/// Elements of a stranger's HTML, in what is open at `base`.
pub(super) struct Cleaner {
    base: usize,
}

impl Cleaner {
    /// For HTML within the outermost `depth` elements that are open.
    pub(super) fn within(depth: usize) -> Self {
        Self { base: depth }
    }

    /// For HTML that stands in what is open now.
    pub(super) fn new(markup: &Markup) -> Self {
        Self { base: markup.depth() }
    }

    /// Writes a piece of HTML; what it leaves open stays so.
    pub(super) fn write(&self, html: &str, markup: &mut Markup) {
        for token in tokens(html) {
            match token {
                Token::Hidden => {}
                Token::Text(text) => self.text(&decoded(text), markup),
                Token::Open { name, attributes, raw } => {
                    self.open(&name, &attributes, raw, markup);
                }
                Token::Close { name, raw } => self.close(&name, raw, markup),
            }
        }
    }

    /// Text, which in a table stands in a cell.
    pub(super) fn text(&self, text: &str, markup: &mut Markup) {
        if self.in_frame(markup) {
            if text.trim().is_empty() {
                return;
            }
            cell(markup);
        }
        markup.text(text);
    }

    /// Ends what was left open.
    pub(super) fn end(self, markup: &mut Markup) {
        markup.close_to(self.base);
    }

    /// The innermost of these elements that is open, by its place, as far as `table`.
    fn innermost(&self, names: &[&str], markup: &Markup) -> Option<usize> {
        let own = &markup.stack()[self.base..];
        let table = own.iter().rposition(|tag| *tag == "table").unwrap_or(0);
        own[table..].iter().rposition(|tag| names.contains(tag)).map(|at| self.base + table + at)
    }

    fn in_frame(&self, markup: &Markup) -> bool {
        markup.stack()[self.base..].last().is_some_and(|top| FRAME.contains(top))
    }

    fn open(&self, name: &str, attributes: &[(String, String)], raw: &str, markup: &mut Markup) {
        let given = Given(attributes);
        if markup.depth() >= self.base + DEEPEST {
            return;
        }
        if let Some(part) = known(TABLE, name) {
            return self.part(part, given, markup);
        }
        if self.in_frame(markup) {
            if matches!(name, "colgroup" | "col") {
                return;
            }
            cell(markup);
        }
        if let Some(tag) = known(VOID, name) {
            markup.void(tag, &[]);
        } else if let Some(tag) = known(INLINE, name) {
            markup.open(tag, &[]);
        } else if let Some(tag) = known(BLOCKS, name) {
            self.block(tag, given, markup);
        } else if name == "a" {
            match given.value("href").and_then(target) {
                Some(href) => markup.open("a", &[("href", &href), ("rel", "noreferrer noopener")]),
                None => markup.open("span", &[]),
            }
        } else if name == "img" {
            // Nothing is fetched for a page: what a picture shows is what it is said to show.
            let said = given.value("alt").filter(|alt| !alt.trim().is_empty());
            markup.element("span", &[("class", "picture")], said.unwrap_or("picture"));
        } else {
            markup.text(raw);
        }
    }

    fn block(&self, tag: &'static str, given: Given<'_>, markup: &mut Markup) {
        // A paragraph ends where the next block begins, and an item where the next one does.
        let own = &markup.stack()[self.base..];
        if own.last() == Some(&"p") {
            markup.close();
        }
        if tag == "li" {
            let own = &markup.stack()[self.base..];
            let item = own.iter().rposition(|open| *open == "li");
            let list = own.iter().rposition(|open| matches!(*open, "ul" | "ol"));
            match (item, list) {
                (Some(item), Some(list)) if item > list => markup.close_to(self.base + item),
                (_, None) => markup.open("ul", &[]),
                (_, Some(_)) => {}
            }
        }
        let start = given.value("start").and_then(|n| n.parse::<u32>().ok()).map(|n| n.to_string());
        match (tag, &start) {
            ("ol", Some(start)) => markup.open(tag, &[("start", start)]),
            ("p" | "li" | "dd" | "dt" | "div", _) => markup.open(tag, &[("dir", "auto")]),
            _ => markup.open(tag, &[]),
        }
    }

    /// A part of a table, where it can stand.
    fn part(&self, part: &'static str, given: Given<'_>, markup: &mut Markup) {
        let within = |names: &[&str], markup: &Markup| self.innermost(names, markup);
        match part {
            "table" => {
                if self.in_frame(markup) {
                    cell(markup);
                }
                if markup.stack()[self.base..].last() == Some(&"p") {
                    markup.close();
                }
                markup.open("table", &[]);
            }
            "caption" | "thead" | "tbody" | "tfoot" => {
                let Some(table) = within(&["table"], markup) else { return };
                markup.close_to(table + 1);
                markup.open(part, &[]);
            }
            "tr" => {
                let sections = ["table", "thead", "tbody", "tfoot"];
                let Some(section) = within(&sections, markup) else { return };
                markup.close_to(section + 1);
                markup.open("tr", &[]);
            }
            _ => {
                let Some(row) = within(FRAME, markup) else { return };
                markup.close_to(row + 1);
                if markup.stack()[row] != "tr" {
                    markup.open("tr", &[]);
                }
                let span = |name: &str| {
                    let span = given.value(name)?.trim().parse::<u32>().ok()?;
                    (span > 1).then(|| span.min(MOST_SPAN).to_string())
                };
                let (columns, rows) = (span("colspan"), span("rowspan"));
                let mut attributes = vec![("dir", "auto")];
                attributes.extend(columns.as_deref().map(|span| ("colspan", span)));
                attributes.extend(rows.as_deref().map(|span| ("rowspan", span)));
                if part == "th" {
                    let heads = within(&["thead"], markup).is_some();
                    let scope = known(
                        &["col", "row", "colgroup", "rowgroup"],
                        given.value("scope").unwrap_or(""),
                    );
                    attributes
                        .extend(scope.or(heads.then_some("col")).map(|scope| ("scope", scope)));
                }
                markup.open(part, &attributes);
            }
        }
    }

    fn close(&self, name: &str, raw: &str, markup: &mut Markup) {
        let lists = [INLINE, BLOCKS, TABLE];
        let Some(tag) = lists.iter().find_map(|list| known(list, name)) else {
            if name == "a" {
                return self.close_within(&["a", "span"], markup);
            }
            if !matches!(name, "br" | "hr" | "img" | "wbr" | "col" | "colgroup") {
                self.text(raw, markup);
            }
            return;
        };
        if TABLE.contains(&tag) {
            if let Some(at) = self.innermost(&[tag], markup) {
                markup.close_to(at);
            }
        } else {
            self.close_within(&[tag], markup);
        }
    }

    /// Ends the innermost of these that is open, unless a cell or a table lies between.
    fn close_within(&self, tags: &[&str], markup: &mut Markup) {
        let own = &markup.stack()[self.base..];
        let wall = own.iter().rposition(|tag| TABLE.contains(tag)).map_or(0, |at| at + 1);
        if let Some(at) = own[wall..].iter().rposition(|tag| tags.contains(tag)) {
            markup.close_to(self.base + wall + at);
        }
    }
}

/// Opens what is missing in a table, so that text can follow.
fn cell(markup: &mut Markup) {
    if markup.stack().last() != Some(&"tr") {
        markup.open("tr", &[]);
    }
    markup.open("td", &[("dir", "auto")]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(html: &str) -> String {
        let mut markup = Markup::default();
        let cleaner = Cleaner::new(&markup);
        cleaner.write(html, &mut markup);
        cleaner.end(&mut markup);
        markup.finish().replace(" dir=\"auto\"", "")
    }

    #[test]
    fn tables_keep_their_spans_and_their_heads() {
        let table = "<table border=1><thead><tr><th colspan=\"2\" onclick=x>A</th></tr></thead>\
                     <tbody><tr><td rowspan=3>1</td><td>2<br>3</td></tr></tbody></table>";
        let wanted = "<table><thead><tr><th colspan=\"2\" scope=\"col\">A</th></tr></thead>\
                      <tbody><tr><td rowspan=\"3\">1</td><td>2<br/>3</td></tr></tbody></table>";
        assert_eq!(clean(table), wanted);
    }

    #[test]
    fn what_was_forgotten_is_opened_and_closed() {
        let wanted = "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>";
        assert_eq!(clean("<table><tr><td>a<td>b<tr><td>c"), wanted);
        assert_eq!(
            clean("<table><td>a</td>loose"),
            "<table><tr><td>a</td><td>loose</td></tr></table>"
        );
        assert_eq!(clean("<table>x</table>"), "<table><tr><td>x</td></tr></table>");
        assert_eq!(clean("<td>no table</td></tr>"), "no table");
        let nested = "<table><tr><td><table><tr><td>in</table></td><td>out</td></table>";
        let wanted =
            "<table><tr><td><table><tr><td>in</td></tr></table></td><td>out</td></tr></table>";
        assert_eq!(clean(nested), wanted);
        assert_eq!(
            clean("<ul><li>a<li>b</ul><li>c"),
            "<ul><li>a</li><li>b</li></ul><ul><li>c</li></ul>"
        );
        assert_eq!(
            clean("<table><tr><td><b>x</td></b><td>y"),
            "<table><tr><td><b>x</b></td><td>y</td></tr></table>"
        );
    }

    #[test]
    fn nothing_becomes_a_script() {
        let evil = "<script>alert(1)</script><img src=x onerror=alert(1) alt='a cat'><a href=\"javascript:x\">l</a>\
                    <b onmouseover=x style='background:url(//e)'>b</b><svg/onload=alert(1)><iframe src=//e></iframe>";
        let clean = clean(evil);
        let wanted = "&lt;script&gt;alert(1)&lt;/script&gt;<span class=\"picture\">a cat</span><span>l</span><b>b</b>\
                      &lt;svg/onload=alert(1)&gt;&lt;iframe src=//e&gt;&lt;/iframe&gt;";
        assert_eq!(clean, wanted);
    }

    #[test]
    fn depth_has_an_end_and_text_has_none() {
        let deep = clean(&format!("{}word", "<b>".repeat(5000)));
        assert!(deep.contains("word") && deep.matches("<b>").count() == DEEPEST, "{}", deep.len());
    }
}
