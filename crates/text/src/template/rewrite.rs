//! A template's source made fit for our engine: blocks it does not know, and weighing where text could pile up.

use std::ops::Range;

/// The filter that weighs what passes through it.
pub(super) const FILTER: &str = "__weighed";
/// The most operators in one tag. The longest tags of published templates have about twenty.
const OPERATORS: usize = 200;
/// The most multiplications in a template: each of a text may make 100 MB.
const PRODUCTS: usize = 32;
/// The largest template; published ones have up to 20 kB.
const SOURCE: usize = 1 << 20;

/// Why a template is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TooDense {
    /// The line, from 1.
    pub(super) line: usize,
}

/// The template with `{% generation %}` made into a mere scope, and with what is assigned or handed to a macro weighed.
pub(super) fn prepare(source: &str) -> Result<String, TooDense> {
    if source.len() > SOURCE {
        return Err(TooDense { line: 1 });
    }
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len() + source.len() / 8);
    let (mut done, mut products) = (0, 0);
    while let Some(at) = next_tag(&source, done) {
        let open = &source[at..at + 2];
        out.push_str(&source[done..at]);
        if open == "{#" {
            let end = source[at..].find("#}").map_or(source.len(), |end| at + end + 2);
            out.push_str(&source[at..end]);
            done = end;
            continue;
        }
        let end = tag_end(&source, at + 2, if open == "{%" { "%}" } else { "}}" });
        let inside = &source[at + 2..end];
        let (operators, times) = operators(inside);
        products += times;
        if operators > OPERATORS || products > PRODUCTS {
            return Err(TooDense { line: source[..at].matches('\n').count() + 1 });
        }
        out.push_str(open);
        done = end;
        if open == "{{" {
            out.push_str(inside);
            continue;
        }
        let (before, body, after) = trim_marks(inside);
        out.push_str(before);
        let (word, rest) = body
            .split_at(body.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(body.len()));
        if word == "raw" {
            // Up to its end everything is text.
            let stop = raw_end(&source, end);
            out.push_str(&source[end - after.len() - body.len()..stop]);
            done = stop;
            continue;
        }
        let mut weighed: Vec<&str> = Vec::new();
        match word {
            "generation" => out.push_str("with"),
            "endgeneration" => out.push_str("endwith"),
            "set" => {
                out.push_str(word);
                out.push_str(&assignments(rest, false));
            }
            "with" => {
                out.push_str(word);
                out.push_str(&assignments(rest, true));
            }
            "macro" | "call" => {
                out.push_str(body);
                // `{% call name(x) %}` has no parameters: its parentheses hold arguments.
                if word == "macro" || rest.trim_start().starts_with('(') {
                    weighed = parameters(rest);
                }
            }
            "for" => {
                out.push_str(body);
                if rest.trim_end().ends_with("recursive") {
                    let targets = rest.split(" in ").next().unwrap_or("");
                    weighed =
                        targets.trim().trim_matches(['(', ')']).split(',').map(str::trim).collect();
                }
            }
            _ => out.push_str(body),
        }
        for name in weighed.iter().filter(|name| !name.is_empty()) {
            // The next tag stands at once behind this one; what trims at the end trims behind the last.
            out.push_str(&format!(" %}}{{% set {name} = ({name}) | {FILTER}"));
        }
        out.push_str(after);
    }
    out.push_str(&source[done..]);
    Ok(out)
}

/// The next `{{`, `{%` or `{#`.
fn next_tag(source: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += source[at..].find('{')?;
        if matches!(source.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#')) {
            return Some(at);
        }
        at += 1;
    }
}

/// The end of what stands in a tag: where `close` begins, outside of strings and braces.
fn tag_end(source: &str, from: usize, close: &str) -> usize {
    let mut depth = 0usize;
    let mut scan = Scan { text: source, at: from };
    while let Some((at, letter)) = scan.next_code() {
        if depth == 0 && source.as_bytes()[at..].starts_with(close.as_bytes()) {
            return at;
        }
        match letter {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    source.len()
}

/// Where the `{% endraw %}` begins that ends a raw block.
fn raw_end(source: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(found) = source[at..].find("{%") {
        at += found;
        if source[at + 2..].trim_start_matches(['-', '+']).trim_start().starts_with("endraw") {
            return at;
        }
        at += 2;
    }
    source.len()
}

/// Leading mark and space, body, trailing space and mark of a tag.
fn trim_marks(inside: &str) -> (&str, &str, &str) {
    let start = inside.len() - inside.trim_start_matches(['-', '+']).trim_start().len();
    let body = inside[start..].trim_end_matches(['-', '+']).trim_end();
    (&inside[..start], body, &inside[start + body.len()..])
}

/// `a = x` or `a = x, b = y` with every right side weighed. Without `=` it is a block, and its whole is weighed.
fn assignments(text: &str, many: bool) -> String {
    let pieces = if many { split(text) } else { std::iter::once(0..text.len()).collect() };
    let mut out = String::new();
    for (index, piece) in pieces.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let piece = &text[piece];
        let equals = {
            let mut scan = Scan { text: piece, at: 0 };
            std::iter::from_fn(|| scan.next_code())
                .find(|&(_, letter)| letter == b'=')
                .map(|(at, _)| at)
        };
        match equals {
            Some(at) => {
                out.push_str(&piece[..=at]);
                out.push_str(&format!(" ({}) | {FILTER}", piece[at + 1..].trim()));
            }
            None if many || piece.trim().is_empty() => out.push_str(piece),
            None => out.push_str(&format!("{piece} | {FILTER}")),
        }
    }
    out
}

/// The names between the first parentheses of a `macro` or `call` tag.
fn parameters(text: &str) -> Vec<&str> {
    let Some(open) = text.find('(') else { return Vec::new() };
    let mut depth = 0usize;
    let mut close = text.len();
    let mut scan = Scan { text, at: open };
    while let Some((at, letter)) = scan.next_code() {
        match letter {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    close = at;
                    break;
                }
            }
            _ => {}
        }
    }
    if close <= open {
        return Vec::new();
    }
    let inside = &text[open + 1..close];
    let names =
        split(inside).into_iter().map(|piece| inside[piece].split('=').next().unwrap_or("").trim());
    names
        .filter(|name| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_'))
        .collect()
}

/// The pieces between commas that stand in no bracket and no string.
fn split(text: &str) -> Vec<Range<usize>> {
    let (mut pieces, mut from, mut depth) = (Vec::new(), 0, 0usize);
    let mut scan = Scan { text, at: 0 };
    while let Some((at, letter)) = scan.next_code() {
        match letter {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                pieces.push(from..at);
                from = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(from..text.len());
    pieces
}

/// How many operators join values, and how many of them multiply; too many to take if a product is joined as text, for
/// a list of a million references to one text is small until then.
fn operators(text: &str) -> (usize, usize) {
    let (mut all, mut products, mut joins) = (0, 0, 0);
    let mut scan = Scan { text, at: 0 };
    while let Some((_, letter)) = scan.next_code() {
        all += usize::from(matches!(letter, b'~' | b'+' | b'*' | b'|'));
        products += usize::from(letter == b'*');
        joins += usize::from(letter == b'~');
    }
    (if products > 0 && joins > 0 { usize::MAX } else { all }, products)
}

/// Walks over the bytes of an expression that stand outside of strings.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl Scan<'_> {
    fn next_code(&mut self) -> Option<(usize, u8)> {
        let bytes = self.text.as_bytes();
        while let Some(&letter) = bytes.get(self.at) {
            if !matches!(letter, b'"' | b'\'') {
                self.at += 1;
                return Some((self.at - 1, letter));
            }
            self.at += 1;
            while let Some(&inner) = bytes.get(self.at) {
                self.at += if inner == b'\\' { 2 } else { 1 };
                if inner == letter {
                    break;
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_and_parameters_are_weighed() {
        let cases = [
            ("{%- set a.b = 'x=%}' ~ c -%}", "{%- set a.b = ('x=%}' ~ c) | __weighed -%}"),
            ("{% set x %}{{ y }}{% endset %}", "{% set x | __weighed %}{{ y }}{% endset %}"),
            (
                "{% with a = (1, 2), b = \",\" %}",
                "{% with a = ((1, 2)) | __weighed, b = (\",\") | __weighed %}",
            ),
            (
                "{% macro f(a, b='(') -%} x",
                "{% macro f(a, b='(') %}{% set a = (a) | __weighed %}{% set b = (b) | __weighed -%} x",
            ),
            ("{% macro f() %}", "{% macro f() %}"),
            ("{% call(x) f(y ~ y) %}", "{% call(x) f(y ~ y) %}{% set x = (x) | __weighed %}"),
            ("{% call f(y) %}", "{% call f(y) %}"),
            (
                "{% for a, b in c recursive %}",
                "{% for a, b in c recursive %}{% set a = (a) | __weighed %}{% set b = (b) | __weighed %}",
            ),
            ("{%- generation -%}a{% endgeneration +%}", "{%- with -%}a{% endwith +%}"),
            (
                "{# set {% set x = 1 %} #}{{ '{% set x = 1 %}' }}",
                "{# set {% set x = 1 %} #}{{ '{% set x = 1 %}' }}",
            ),
            (
                "{% raw %}{% set x = 1 %}{% endraw %}{{ {'a': {}} }}",
                "{% raw %}{% set x = 1 %}{% endraw %}{{ {'a': {}} }}",
            ),
            ("a { b {{ c }} \r\n{% if d %}", "a { b {{ c }} \n{% if d %}"),
        ];
        for (source, expected) in cases {
            assert_eq!(
                prepare(source).unwrap().replace(" %}{% set", "%}{% set"),
                expected.replace(" %}{% set", "%}{% set")
            );
        }
        for source in [
            "{%",
            "{{ '",
            "{% set",
            "{% set x = '\\",
            "{% macro f(",
            "{#",
            "{% raw %}",
            "{% with a = ",
            "é{% set é = 'é' %}",
        ] {
            let _ = prepare(source);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_source_makes_it_panic(pieces in proptest::collection::vec(
            "[{}%#]{1,3}| set | with | macro | call | for | raw | recursive |endraw|[a-c=(),'\"\\\\ é~*|-]{1,4}", 0..30)) {
            let _ = prepare(&pieces.concat());
        }
    }

    #[test]
    fn dense_templates_are_refused() {
        assert_eq!(
            prepare(&format!("\n{{{{ a{} }}}}", " ~ a".repeat(300))),
            Err(TooDense { line: 2 })
        );
        assert_eq!(prepare(&"{{ 'a' * 99999999 }}".repeat(40)), Err(TooDense { line: 1 }));
        assert!(prepare(&"x".repeat(SOURCE + 1)).is_err());
    }
}
