//! HTML as the benchmark's parser takes it: an end tag closes what it names, if that is open, and nothing else is put
//! right.

use unicode_normalization::UnicodeNormalization as _;

/// The node that all others are in.
pub(super) const ROOT: usize = 0;

/// Elements without an end.
const VOID: [&str; 16] = [
    "area", "base", "br", "col", "embed", "frame", "hr", "img", "input", "keygen", "link", "meta",
    "param", "source", "track", "wbr",
];

/// Characters by their names.
const NAMED: [(&str, &str); 62] = [
    ("amp", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("nbsp", "\u{a0}"),
    ("ensp", "\u{2002}"),
    ("emsp", "\u{2003}"),
    ("thinsp", "\u{2009}"),
    ("shy", "\u{ad}"),
    ("ndash", "\u{2013}"),
    ("mdash", "\u{2014}"),
    ("minus", "\u{2212}"),
    ("lsquo", "\u{2018}"),
    ("rsquo", "\u{2019}"),
    ("ldquo", "\u{201c}"),
    ("rdquo", "\u{201d}"),
    ("laquo", "\u{ab}"),
    ("raquo", "\u{bb}"),
    ("hellip", "\u{2026}"),
    ("bull", "\u{2022}"),
    ("middot", "\u{b7}"),
    ("deg", "\u{b0}"),
    ("plusmn", "\u{b1}"),
    ("times", "\u{d7}"),
    ("divide", "\u{f7}"),
    ("micro", "\u{b5}"),
    ("para", "\u{b6}"),
    ("sect", "\u{a7}"),
    ("copy", "\u{a9}"),
    ("reg", "\u{ae}"),
    ("trade", "\u{2122}"),
    ("cent", "\u{a2}"),
    ("pound", "\u{a3}"),
    ("yen", "\u{a5}"),
    ("euro", "\u{20ac}"),
    ("frac12", "\u{bd}"),
    ("frac14", "\u{bc}"),
    ("frac34", "\u{be}"),
    ("sup1", "\u{b9}"),
    ("sup2", "\u{b2}"),
    ("sup3", "\u{b3}"),
    ("dagger", "\u{2020}"),
    ("Dagger", "\u{2021}"),
    ("permil", "\u{2030}"),
    ("prime", "\u{2032}"),
    ("le", "\u{2264}"),
    ("ge", "\u{2265}"),
    ("ne", "\u{2260}"),
    ("asymp", "\u{2248}"),
    ("infin", "\u{221e}"),
    ("larr", "\u{2190}"),
    ("rarr", "\u{2192}"),
    ("uarr", "\u{2191}"),
    ("darr", "\u{2193}"),
    ("szlig", "\u{df}"),
    ("aelig", "\u{e6}"),
    ("AElig", "\u{c6}"),
    ("oslash", "\u{f8}"),
    ("Oslash", "\u{d8}"),
    ("eth", "\u{f0}"),
    ("thorn", "\u{fe}"),
];

/// What stands over or under a letter, by the end of its name: `ouml`.
const MARKS: [(&str, char); 7] = [
    ("grave", '\u{300}'),
    ("acute", '\u{301}'),
    ("circ", '\u{302}'),
    ("tilde", '\u{303}'),
    ("uml", '\u{308}'),
    ("ring", '\u{30a}'),
    ("cedil", '\u{327}'),
];

/// Greek letters from U+03B1 on; a capital's name begins with one, thirty-two places before.
const GREEK: [&str; 25] = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa",
    "lambda", "mu", "nu", "xi", "omicron", "pi", "rho", "sigmaf", "sigma", "tau", "upsilon", "phi",
    "chi", "psi", "omega",
];

#[derive(Debug)]
enum Content {
    Element { name: String, attributes: Vec<(String, String)> },
    Text(String),
}

#[derive(Debug)]
struct Node {
    content: Content,
    parent: usize,
    children: Vec<usize>,
}

/// Elements and texts.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// Takes a text apart. Nothing is wrong: what is no tag is text.
    pub(super) fn parse(text: &str) -> Self {
        let root = Content::Element { name: String::new(), attributes: Vec::new() };
        let mut tree =
            Self { nodes: vec![Node { content: root, parent: ROOT, children: Vec::new() }] };
        let mut open = vec![ROOT];
        let mut rest = text;
        while !rest.is_empty() {
            let inside = open.last().copied().unwrap_or(ROOT);
            if let Some(comment) = rest.strip_prefix("<!--") {
                rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            } else if let Some((tag, after)) = Tag::read(rest) {
                rest = after;
                match tag {
                    Tag::Start { name, attributes, closed } => {
                        let number = tree.add(inside, Content::Element { name, attributes });
                        if !closed && !VOID.contains(&tree.name(number)) {
                            open.push(number);
                        }
                    }
                    Tag::End(name) => {
                        let place = open.iter().rposition(|node| tree.name(*node) == name);
                        if let Some(place) = place.filter(|place| *place > 0) {
                            open.truncate(place);
                        }
                    }
                    Tag::Other => {}
                }
            } else {
                let skipped = usize::from(rest.starts_with('<'));
                let end = rest[skipped..].find('<').map_or(rest.len(), |end| end + skipped);
                tree.add(inside, Content::Text(unescaped(&rest[..end])));
                rest = &rest[end..];
            }
        }
        tree
    }

    fn add(&mut self, parent: usize, content: Content) -> usize {
        self.nodes.push(Node { content, parent, children: Vec::new() });
        let number = self.nodes.len() - 1;
        self.nodes[parent].children.push(number);
        number
    }

    /// The name of an element, in small letters; nothing for a text.
    pub(super) fn name(&self, node: usize) -> &str {
        match &self.nodes[node].content {
            Content::Element { name, .. } => name,
            Content::Text(_) => "",
        }
    }

    /// The value of an element's attribute.
    pub(super) fn attribute(&self, node: usize, name: &str) -> Option<&str> {
        let Content::Element { attributes, .. } = &self.nodes[node].content else { return None };
        attributes.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// What is directly in a node.
    pub(super) fn children(&self, node: usize) -> impl Iterator<Item = usize> {
        self.nodes[node].children.iter().copied()
    }

    /// The elements of a name that are somewhere in a node, in the order of the text.
    pub(super) fn all(&self, node: usize, name: &str) -> Vec<usize> {
        // Nodes are numbered in the order of the text, so what is in a node follows it.
        (node + 1..self.nodes.len())
            .take_while(|other| self.is_in(*other, node))
            .filter(|other| self.name(*other) == name)
            .collect()
    }

    fn is_in(&self, mut node: usize, outer: usize) -> bool {
        while node != ROOT {
            node = self.nodes[node].parent;
            if node == outer {
                return true;
            }
        }
        false
    }

    /// Whether an element of a name is around a node.
    pub(super) fn is_within(&self, mut node: usize, name: &str) -> bool {
        while node != ROOT {
            node = self.nodes[node].parent;
            if self.name(node) == name {
                return true;
            }
        }
        false
    }

    /// All text in a node; a line break for each `br`.
    pub(super) fn text(&self, node: usize) -> String {
        let mut out = String::new();
        // Nodes are numbered in the order of the text.
        for other in (node + 1..self.nodes.len()).take_while(|other| self.is_in(*other, node)) {
            match &self.nodes[other].content {
                Content::Text(text) => out.push_str(text),
                Content::Element { name, .. } if name == "br" => out.push('\n'),
                Content::Element { .. } => {}
            }
        }
        out
    }
}

enum Tag {
    Start {
        name: String,
        attributes: Vec<(String, String)>,
        closed: bool,
    },
    End(String),
    /// A declaration or an instruction.
    Other,
}

impl Tag {
    /// The tag at the beginning of a text, and what follows it.
    fn read(text: &str) -> Option<(Self, &str)> {
        let inside = text.strip_prefix('<')?;
        if inside.starts_with(['!', '?']) {
            let end = inside.find('>')?;
            return Some((Self::Other, &inside[end + 1..]));
        }
        let (ends, inside) = match inside.strip_prefix('/') {
            Some(inside) => (true, inside),
            None => (false, inside),
        };
        if !inside.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        let end = inside.find(|c: char| c.is_whitespace() || c == '/' || c == '>')?;
        let name = inside[..end].to_ascii_lowercase();
        let mut rest = &inside[end..];
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('>') {
                let tag = if ends {
                    Self::End(name)
                } else {
                    Self::Start { name, attributes, closed: false }
                };
                return Some((tag, after));
            }
            if let Some(after) = rest.strip_prefix("/>") {
                return Some((Self::Start { name, attributes, closed: true }, after));
            }
            if let Some(after) = rest.strip_prefix('/') {
                rest = after;
                continue;
            }
            let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '=' | '>' | '/'))?;
            // A mark of equality without a name is part of one.
            let end = end.max(usize::from(rest.starts_with('=')));
            let attribute = rest[..end].to_ascii_lowercase();
            rest = rest[end..].trim_start();
            let mut value = String::new();
            if let Some(after) = rest.strip_prefix('=') {
                let after = after.trim_start();
                let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
                let (given, after) = match quote {
                    Some(quote) => after[1..].split_once(quote)?,
                    None => after.split_at(after.find(|c: char| c.is_whitespace() || c == '>')?),
                };
                value = unescaped(given);
                rest = after;
            }
            attributes.push((attribute, value));
        }
    }
}

/// A text with its references to characters resolved.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '#');
        let end = end.map_or(rest.len(), |end| end + 1);
        match character(&rest[1..end]) {
            Some(text) => {
                out.push_str(&text);
                rest = &rest[end..];
                rest = rest.strip_prefix(';').unwrap_or(rest);
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn character(name: &str) -> Option<String> {
    if let Some(number) = name.strip_prefix('#') {
        let hexadecimal = number.strip_prefix(['x', 'X']);
        let code = match hexadecimal {
            Some(digits) => u32::from_str_radix(digits, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).map(String::from);
    }
    if let Some((_, text)) = NAMED.iter().find(|(known, _)| *known == name) {
        return Some((*text).to_owned());
    }
    let small = name.to_ascii_lowercase();
    if let Some(place) = GREEK.iter().position(|letter| **letter == small) {
        let before = if name.starts_with(|c: char| c.is_ascii_uppercase()) { 32 } else { 0 };
        let code = 0x3b1 + u32::try_from(place).ok()? - before;
        return char::from_u32(code).map(String::from);
    }
    let (letter, mark) = MARKS.iter().find_map(|(end, mark)| {
        let letter = name.strip_suffix(end).filter(|letter| letter.len() == 1)?;
        Some((letter, *mark))
    })?;
    Some(format!("{letter}{mark}").nfc().collect())
}
