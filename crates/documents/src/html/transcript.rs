//! What a model wrote about a page, Markdown with tables of HTML, as clean HTML.

use pulldown_cmark::{Alignment, CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::clean::Cleaner;
use super::markup::{Markup, target};
use crate::markdown::{Segment, dollars, segments};

/// What of Markdown's dialects is understood.
pub(crate) fn dialect() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_MATH
}

/// Writes a text; `figure` tells which pictures there are, by what the text calls them.
pub(super) fn write(text: &str, figure: &dyn Fn(&str) -> bool, markup: &mut Markup) {
    for segment in segments(text) {
        match segment {
            Segment::Table(table) => {
                let cleaner = Cleaner::new(markup);
                cleaner.write(table, markup);
                cleaner.end(markup);
            }
            Segment::Markdown(text) => markdown(text, figure, markup),
        }
        markup.line();
    }
}

/// The deepest nesting of lists and quotations; what is deeper loses its marks and keeps its text.
const DEEPEST: usize = 40;

fn markdown(text: &str, figure: &dyn Fn(&str) -> bool, markup: &mut Markup) {
    let text = dollars(text);
    let base = markup.depth();
    let mut under_way = UnderWay {
        figure,
        markup,
        base,
        open: Vec::new(),
        picture: None,
        columns: Vec::new(),
        in_head: false,
        column: 0,
    };
    for event in Parser::new_ext(&text, dialect()) {
        under_way.event(event);
    }
    under_way.markup.close_to(base);
}

struct UnderWay<'a> {
    figure: &'a dyn Fn(&str) -> bool,
    markup: &'a mut Markup,
    base: usize,
    /// How deep it was where each part of the Markdown that is open began.
    open: Vec<usize>,
    /// A picture whose description comes: its target and the description so far, and how many are open in it.
    picture: Option<(String, String, usize)>,
    columns: Vec<Alignment>,
    in_head: bool,
    column: usize,
}

impl UnderWay<'_> {
    fn event(&mut self, event: Event<'_>) {
        if self.described(&event) {
            return;
        }
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text),
            Event::Code(text) => self.inline("code", &[], &text),
            Event::InlineMath(tex) => self.inline("code", &[("class", "tex")], &tex),
            Event::DisplayMath(tex) => self.inline("code", &[("class", "tex display")], &tex),
            Event::Html(html) | Event::InlineHtml(html) => {
                let cleaner = self.cleaner();
                cleaner.write(&html, self.markup);
            }
            Event::SoftBreak => self.text("\n"),
            Event::HardBreak => self.markup.void("br", &[]),
            Event::Rule => self.markup.void("hr", &[]),
            Event::TaskListMarker(done) => self.text(if done { "☑ " } else { "☐ " }),
            Event::FootnoteReference(name) => self.text(&format!("[^{name}]")),
        }
    }

    /// Takes what describes a picture.
    fn described(&mut self, event: &Event<'_>) -> bool {
        let Some((_, said, open)) = &mut self.picture else { return false };
        match event {
            Event::Text(text) | Event::Code(text) | Event::InlineMath(text) => said.push_str(text),
            Event::SoftBreak | Event::HardBreak => said.push(' '),
            Event::Start(_) => *open += 1,
            Event::End(_) if *open > 0 => *open -= 1,
            Event::End(_) => self.picture_ends(),
            Event::DisplayMath(_)
            | Event::Html(_)
            | Event::InlineHtml(_)
            | Event::FootnoteReference(_)
            | Event::Rule
            | Event::TaskListMarker(_) => {}
        }
        true
    }

    fn picture_ends(&mut self) {
        let Some((file, said, _)) = self.picture.take() else { return };
        let said = said.trim();
        if (self.figure)(&file) {
            self.markup.void("img", &[("src", &file), ("alt", said), ("loading", "lazy")]);
        } else {
            // Nothing is fetched for a page.
            let said = if said.is_empty() { "picture" } else { said };
            self.markup.element("span", &[("class", "picture")], said);
        }
    }

    fn cleaner(&mut self) -> Cleaner {
        Cleaner::within(self.open.last().copied().unwrap_or(self.base))
    }

    fn text(&mut self, text: &str) {
        self.cleaner().text(text, self.markup);
    }

    fn inline(&mut self, tag: &'static str, attributes: &[(&'static str, &str)], text: &str) {
        self.cleaner().text("", self.markup);
        self.markup.element(tag, attributes, text);
    }

    fn begin(&mut self, tag: &'static str, attributes: &[(&'static str, &str)]) {
        if self.open.len() < DEEPEST {
            self.markup.open(tag, attributes);
        }
        // What is written within does not end what was begun before.
        self.open.push(self.markup.depth());
    }

    fn start(&mut self, tag: Tag<'_>) {
        const AUTO: (&str, &str) = ("dir", "auto");
        match tag {
            Tag::Paragraph => self.begin("p", &[AUTO]),
            Tag::Heading { level, .. } => self.begin(heading(level), &[AUTO]),
            Tag::BlockQuote(_) => self.begin("blockquote", &[]),
            Tag::CodeBlock(kind) => {
                let language = match &kind {
                    CodeBlockKind::Fenced(language) => language.split_whitespace().next(),
                    CodeBlockKind::Indented => None,
                };
                self.begin("pre", &[]);
                match language {
                    Some(language) => self.markup.open("code", &[("data-language", language)]),
                    None => self.markup.open("code", &[]),
                }
            }
            Tag::List(Some(1)) => self.begin("ol", &[]),
            Tag::List(Some(start)) => self.begin("ol", &[("start", &start.to_string())]),
            Tag::List(None) => self.begin("ul", &[]),
            Tag::Item => self.begin("li", &[AUTO]),
            Tag::Table(columns) => {
                self.columns = columns;
                self.begin("table", &[]);
            }
            Tag::TableHead => {
                (self.in_head, self.column) = (true, 0);
                self.begin("thead", &[]);
                self.markup.open("tr", &[]);
            }
            Tag::TableRow => {
                self.column = 0;
                self.begin("tr", &[]);
            }
            Tag::TableCell => {
                let side = match self.columns.get(self.column) {
                    Some(Alignment::Right) => "right",
                    Some(Alignment::Center) => "middle",
                    Some(Alignment::Left | Alignment::None) | None => "",
                };
                self.column += 1;
                let mut attributes = vec![AUTO];
                attributes.extend((!side.is_empty()).then_some(("class", side)));
                if self.in_head {
                    attributes.push(("scope", "col"));
                    self.begin("th", &attributes);
                } else {
                    self.begin("td", &attributes);
                }
            }
            Tag::Emphasis => self.begin("em", &[]),
            Tag::Strong => self.begin("strong", &[]),
            Tag::Strikethrough => self.begin("del", &[]),
            Tag::Superscript => self.begin("sup", &[]),
            Tag::Subscript => self.begin("sub", &[]),
            Tag::Link { dest_url, .. } => match target(&dest_url) {
                Some(href) => {
                    self.begin("a", &[("href", &href), ("rel", "noreferrer noopener")]);
                }
                None => self.begin("span", &[]),
            },
            Tag::Image { dest_url, .. } => {
                self.picture = Some((dest_url.into_string(), String::new(), 0));
            }
            Tag::HtmlBlock
            | Tag::FootnoteDefinition(_)
            | Tag::DefinitionList
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition
            | Tag::MetadataBlock(_) => self.begin("div", &[]),
        }
    }

    fn end(&mut self, tag: TagEnd) {
        if tag == TagEnd::TableHead {
            self.in_head = false;
        }
        let Some(depth) = self.open.pop() else { return };
        let deeper = self.open.len() >= DEEPEST;
        self.markup.close_to(if deeper { depth } else { depth - 1 });
        let block = matches!(
            tag,
            TagEnd::Paragraph
                | TagEnd::Heading(_)
                | TagEnd::CodeBlock
                | TagEnd::Item
                | TagEnd::List(_)
                | TagEnd::Table
                | TagEnd::TableHead
                | TagEnd::TableRow
                | TagEnd::BlockQuote(_)
        );
        if block {
            self.markup.line();
        }
    }
}

fn heading(level: HeadingLevel) -> &'static str {
    match level {
        HeadingLevel::H1 => "h1",
        HeadingLevel::H2 => "h2",
        HeadingLevel::H3 => "h3",
        HeadingLevel::H4 => "h4",
        HeadingLevel::H5 => "h5",
        HeadingLevel::H6 => "h6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(text: &str) -> String {
        let mut markup = Markup::default();
        write(text, &|file| file == "f.png", &mut markup);
        markup.finish().replace(" dir=\"auto\"", "").replace('\n', "")
    }

    #[test]
    fn markdown_of_models_becomes_html() {
        assert_eq!(
            html("# A *b*\n\n3. x\n4. y"),
            "<h1>A <em>b</em></h1><ol start=\"3\"><li>x</li><li>y</li></ol>"
        );
        assert_eq!(
            html("| a | b |\n|---|--:|\n| 1 | <2> |"),
            "<table><thead><tr><th scope=\"col\">a</th><th class=\"right\" scope=\"col\">b</th></tr></thead><tr><td>1</td><td class=\"right\">&lt;2&gt;</td></tr></table>"
        );
        assert_eq!(
            html(r"so \(a_1 * b_1 * c\) is"),
            "<p>so <code class=\"tex\">a_1 * b_1 * c</code> is</p>"
        );
        assert_eq!(
            html("```x\n<b>&\n```"),
            "<pre><code data-language=\"x\">&lt;b&gt;&amp;</code></pre>"
        );
        assert_eq!(html("a <b>c</p></b><br>d"), "<p>a <b>c</b><br/>d</p>");
    }

    #[test]
    fn tables_of_html_stay_whole_over_empty_lines() {
        let text =
            "See <table><tr><td colspan=2>a\n\n# b</td></tr>\n\n<tr><td>c</td></tr></table> after";
        let wanted = "<p>See </p><table><tr><td colspan=\"2\">a# b</td></tr><tr><td>c</td></tr></table><p>after</p>";
        assert_eq!(html(text), wanted.replace("See </p>", "See</p>"));
    }

    #[test]
    fn pictures_are_ours_or_words() {
        let ours = html("![a *cat*](f.png)");
        assert_eq!(ours, "<p><img src=\"f.png\" alt=\"a cat\" loading=\"lazy\"/></p>");
        let theirs = html("![a cat](http://evil/x.png) [l](javascript:x)");
        assert_eq!(theirs, "<p><span class=\"picture\">a cat</span> <span>l</span></p>");
    }

    #[test]
    fn html_within_a_line_ends_with_its_block() {
        assert_eq!(html("<div><b>a\n\nb</b>"), "<div><div><b>a</b></div></div><p>b</p>");
        assert_eq!(html("*a <i>b* c"), "<p><em>a <i>b</i></em> c</p>");
    }

    #[test]
    fn deep_nesting_keeps_its_text() {
        let deep = html(&format!("{}word", "> ".repeat(500)));
        assert!(deep.contains("word") && deep.matches("<blockquote>").count() <= DEEPEST);
    }
}
