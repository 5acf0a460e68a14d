//! A writer of HTML that cannot write any that is not well-formed: every tag comes from here, every text is escaped.

/// HTML under way. What is open is closed in order, whatever was asked for.
#[derive(Debug, Default)]
pub(crate) struct Markup {
    out: String,
    open: Vec<&'static str>,
}

/// Attributes of an element: their names are ours, their values anybody's.
pub(crate) type Attributes<'a> = &'a [(&'static str, &'a str)];

impl Markup {
    /// Begins an element.
    pub(crate) fn open(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.begin(tag, attributes);
        self.out.push('>');
        self.open.push(tag);
    }

    /// An element without content.
    pub(crate) fn void(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.begin(tag, attributes);
        self.out.push_str("/>");
    }

    fn begin(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.out.push('<');
        self.out.push_str(tag);
        for (name, value) in attributes {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape(value, &mut self.out);
            self.out.push('"');
        }
    }

    /// Ends the innermost element, if one is open.
    pub(crate) fn close(&mut self) {
        if let Some(tag) = self.open.pop() {
            self.out.push_str("</");
            self.out.push_str(tag);
            self.out.push('>');
        }
    }

    /// Ends elements until so many are open.
    pub(crate) fn close_to(&mut self, depth: usize) {
        while self.open.len() > depth {
            self.close();
        }
    }

    /// A text.
    pub(crate) fn text(&mut self, text: &str) {
        escape(text, &mut self.out);
    }

    /// A line break of the file, which shows nothing.
    pub(crate) fn line(&mut self) {
        self.out.push('\n');
    }

    /// An element with nothing but a text.
    pub(crate) fn element(&mut self, tag: &'static str, attributes: Attributes<'_>, text: &str) {
        self.open(tag, attributes);
        self.text(text);
        self.close();
    }

    /// How many elements are open.
    pub(crate) fn depth(&self) -> usize {
        self.open.len()
    }

    /// The elements that are open, the outermost first.
    pub(crate) fn stack(&self) -> &[&'static str] {
        &self.open
    }

    /// What this crate wrote itself and nobody else: a style sheet, a script.
    pub(crate) fn ours(&mut self, text: &'static str) {
        self.out.push_str(text);
    }

    /// What another of these has written.
    pub(crate) fn finished(&mut self, html: String) {
        self.out.push_str(&html);
    }

    /// Everything, with what is open ended.
    pub(crate) fn finish(mut self) -> String {
        self.close_to(0);
        self.out
    }
}

/// Text without anything that could be markup. What no document of HTML may hold becomes `U+FFFD`.
pub(crate) fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' => out.push(c),
            '\0'..'\u{20}' | '\u{7f}'..'\u{a0}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

/// Where a link may lead: to the web, to mail, and to pages of the same document, written `#page=N` in PDFs. `None` for
/// everything else, such as scripts and files.
pub(crate) fn target(link: &str) -> Option<String> {
    let link = link.trim();
    if let Some(page) = link.strip_prefix("#page=") {
        let digits = !page.is_empty() && page.bytes().all(|b| b.is_ascii_digit());
        return digits.then(|| format!("#page-{page}"));
    }
    let lower = link.get(..8.min(link.len())).unwrap_or_default().to_ascii_lowercase();
    let allowed = ["http://", "https://", "mailto:"].iter().any(|scheme| lower.starts_with(scheme));
    (allowed && !link.contains(char::is_control)).then(|| link.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_closed_in_order() {
        let mut markup = Markup::default();
        markup.open("p", &[("class", "a\"b")]);
        markup.open("em", &[]);
        markup.text("<b> & 'c'\u{1}");
        markup.void("br", &[]);
        let wanted = "<p class=\"a&quot;b\"><em>&lt;b&gt; &amp; &#39;c&#39;\u{fffd}<br/></em></p>";
        assert_eq!(markup.finish(), wanted);
    }

    #[test]
    fn links_lead_to_the_web_and_to_pages_only() {
        for link in ["http://a.b/c", "https://a.b", "mailto:a@b", "HTTPS://A.B"] {
            assert_eq!(target(link).as_deref(), Some(link));
        }
        assert_eq!(target("#page=12").as_deref(), Some("#page-12"));
        for link in ["javascript:alert(1)", " JavaScript:x", "data:text/html,x", "file:///etc", "x"]
        {
            assert_eq!(target(link), None, "{link}");
        }
        assert_eq!(target("#page=1x"), None);
        assert_eq!(target("http://a\nb"), None);
        assert_eq!(target("ärgerlich"), None);
    }
}
