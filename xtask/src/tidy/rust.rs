//! Rust text taken apart into code and comments, as far as the checks need it.
//!
//! A scanner, not a parser: it knows comments, literals and `#[cfg(test)]` items. Every view keeps
//! the lines of the file, with blanks for what it leaves out.

/// A Rust file in four views, which have the same lines.
#[derive(Debug)]
pub(super) struct Source {
    /// The file without its `#[cfg(test)]` items.
    pub(super) text: String,
    /// Code only: no comments, no content of literals, no `#[cfg(test)]` items.
    pub(super) code: String,
    /// Code only, tests included.
    pub(super) code_with_tests: String,
    /// Comments only, tests included.
    pub(super) comments: String,
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let kinds = kinds(&chars);
        let view = |keep: &dyn Fn(usize) -> bool| -> String {
            let shown = |(i, &c): (usize, &char)| if c == '\n' || keep(i) { c } else { ' ' };
            chars.iter().enumerate().map(shown).collect()
        };
        let code_with_tests = view(&|i| kinds[i] == Kind::Code);
        let tests = tests(&code_with_tests.chars().collect::<Vec<_>>());
        let in_test = |i| tests.iter().any(|range: &std::ops::Range<usize>| range.contains(&i));
        Self {
            text: view(&|i| !in_test(i)),
            code: view(&|i| kinds[i] == Kind::Code && !in_test(i)),
            comments: view(&|i| kinds[i] == Kind::Comment),
            code_with_tests,
        }
    }
}

/// The identifiers (and keywords) of `code`, each with its line.
pub(super) fn identifiers(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.lines().enumerate().flat_map(|(index, line)| {
        line.split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_'))
            .map(move |word| (index + 1, word))
    })
}

/// The words of any text, in small letters: `RmsNorm`, `rms_norm` and "RMS norm" alike are two.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for part in text.split(|c: char| !c.is_alphanumeric()) {
        let mut word = String::new();
        let mut before = ' ';
        for c in part.chars() {
            if c.is_uppercase() && (before.is_lowercase() || before.is_numeric()) {
                out.push(std::mem::take(&mut word));
            }
            word.extend(c.to_lowercase());
            before = c;
        }
        out.push(word);
    }
    out.retain(|word| !word.is_empty());
    out
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Code,
    Comment,
    /// Inside a string or character literal.
    Literal,
}

/// What each character of `text` is.
fn kinds(text: &[char]) -> Vec<Kind> {
    let mut kinds = vec![Kind::Code; text.len()];
    let at = |i: usize| text.get(i).copied().unwrap_or('\0');
    let mut i = 0;
    while i < text.len() {
        let (end, kind) = match (at(i), at(i + 1)) {
            ('/', '/') => ((i..text.len()).find(|&j| at(j) == '\n'), Kind::Comment),
            ('/', '*') => (Some(after_block_comment(text, i)), Kind::Comment),
            ('"', _) => (Some(after_string(text, i + 1, '"')), Kind::Literal),
            ('\'', '\\') => (Some(after_string(text, i + 1, '\'')), Kind::Literal),
            ('\'', _) if at(i + 2) == '\'' => (Some(i + 3), Kind::Literal),
            ('r', '"' | '#') if !(i > 0 && is_word(at(i - 1)) && at(i - 1) != 'b') => {
                match after_raw_string(text, i + 1) {
                    Some(end) => (Some(end), Kind::Literal),
                    None => (Some(i + 1), Kind::Code),
                }
            }
            _ => (Some(i + 1), Kind::Code),
        };
        let end = end.unwrap_or(text.len()).min(text.len());
        kinds[i..end].fill(kind);
        i = end;
    }
    kinds
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The position after the (nested) block comment that begins at `start`.
fn after_block_comment(text: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (0_usize, start);
    while i + 1 < text.len() {
        match (text[i], text[i + 1]) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') if depth == 1 => return i + 2,
            ('*', '/') => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
    }
    text.len()
}

/// The position after the next `quote` that is not escaped, from `start`.
fn after_string(text: &[char], start: usize, quote: char) -> usize {
    let mut i = start;
    while i < text.len() && text[i] != quote {
        i += if text[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// The position after the raw string whose `#`s or quote begin at `start`, if it is one.
fn after_raw_string(text: &[char], start: usize) -> Option<usize> {
    let hashes = text[start..].iter().take_while(|&&c| c == '#').count();
    let open = start + hashes;
    if text.get(open) != Some(&'"') {
        return None;
    }
    let closes = |i: &usize| {
        text[*i] == '"' && text[i + 1..].iter().take_while(|&&c| c == '#').count() >= hashes
    };
    Some((open + 1..text.len()).find(closes).map_or(text.len(), |i| i + 1 + hashes))
}

/// The ranges of the items of `code` that only tests see.
fn tests(code: &[char]) -> Vec<std::ops::Range<usize>> {
    const ATTRIBUTE: [char; 6] = ['#', '[', 'c', 'f', 'g', '('];
    let mut out = Vec::new();
    let mut i = 0;
    while i < code.len() {
        if !code[i..].starts_with(&ATTRIBUTE) {
            i += 1;
            continue;
        }
        let close = code[i..].iter().position(|&c| c == ']').map_or(code.len(), |n| i + n + 1);
        let end = if means_test(&code[i..close]) { after_item(code, close) } else { close };
        if end > close {
            out.push(i..end);
        }
        i = end;
    }
    out
}

fn means_test(attribute: &[char]) -> bool {
    let attribute: String = attribute.iter().filter(|c| !c.is_whitespace()).collect();
    identifiers(&attribute).any(|(_, word)| word == "test") && !attribute.contains("not(test")
}

/// The position after the item that begins at `start`: its `;`, or its closing brace.
fn after_item(code: &[char], start: usize) -> usize {
    let mut depth = 0_usize;
    for (i, &c) in code.iter().enumerate().skip(start) {
        match c {
            ';' if depth == 0 => return i + 1,
            '{' => depth += 1,
            '}' if depth <= 1 => return i + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let source = Source::new(
            "//! one\nlet a = \"two // \\\" three\"; // four\n/* five /* six */ seven */ let b = 'x';\n",
        );
        let words: Vec<_> = identifiers(&source.code).collect();
        assert_eq!(words, [(2, "let"), (2, "a"), (3, "let"), (3, "b")]);
        assert!(source.comments.contains("four") && source.comments.contains("seven"));
        assert!(!source.comments.contains("three") && !source.comments.contains("let"));
        assert_eq!(source.code.lines().count(), 3);
    }

    #[test]
    fn raw_strings_lifetimes_and_characters_are_told_apart() {
        let source = Source::new(
            "fn f<'a>(x: &'a str) { let q = '\"'; g(r#\"un\"safe\"#, br\"async\", '\\'', r\"\\\"); h }",
        );
        let words: Vec<_> = identifiers(&source.code).map(|(_, word)| word).collect();
        assert_eq!(words, ["fn", "f", "a", "x", "a", "str", "let", "q", "g", "b", "h"]);
    }

    #[test]
    fn test_items_are_left_out() {
        let source = Source::new(
            "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { c() }\n}\n#[cfg(test)] mod d;\n\
             #[cfg(not(test))]\nfn e() {}\n#[cfg(all(test, unix))] fn g() { h() }\nfn i() {}\n",
        );
        let words: Vec<_> = identifiers(&source.code).map(|(_, word)| word).collect();
        assert_eq!(words, ["fn", "a", "cfg", "not", "test", "fn", "e", "fn", "i"]);
        assert!(source.code_with_tests.contains("c()") && !source.text.contains("c()"));
    }

    #[test]
    fn words_know_both_spellings() {
        assert_eq!(words("RmsNorm"), ["rms", "norm"]);
        assert_eq!(words("rms_norm: f32"), ["rms", "norm", "f32"]);
        assert_eq!(words("Abc3ForCausalLM"), ["abc3", "for", "causal", "lm"]);
    }
}
