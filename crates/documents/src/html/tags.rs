//! HTML as models write it, cut into tags and text. Nothing here is trusted: see [`super::clean`].

/// A piece of HTML.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// Text, with its entities.
    Text(&'a str),
    /// A tag that begins an element, or is one alone.
    Open { name: String, attributes: Vec<(String, String)>, raw: &'a str },
    /// A tag that ends an element.
    Close { name: String, raw: &'a str },
    /// A comment, a declaration or a processing instruction: nothing that is shown.
    Hidden,
}

/// Cuts a text into tags and what stands between them. A `<` that begins no tag is text.
pub(crate) fn tokens(html: &str) -> Vec<Token<'_>> {
    let mut out = Vec::new();
    let mut rest = html;
    let mut text = 0;
    while let Some(at) = rest[text..].find('<').map(|at| at + text) {
        let Some((token, length)) = tag(&rest[at..]) else {
            text = at + 1;
            continue;
        };
        if at > 0 {
            out.push(Token::Text(&rest[..at]));
        }
        out.push(token);
        rest = &rest[at + length..];
        text = 0;
    }
    if !rest.is_empty() {
        out.push(Token::Text(rest));
    }
    out
}

/// The longest tag or comment, in bytes: what is longer is text, and nobody looks further for its end.
const LONGEST: usize = 8192;

/// The tag that a text begins with, and its length.
fn tag(text: &str) -> Option<(Token<'_>, usize)> {
    let text = &text[..text.floor_char_boundary(LONGEST)];
    if text.starts_with("<!--") {
        let end = text.find("-->")? + 3;
        return Some((Token::Hidden, end));
    }
    if text.starts_with("<!") || text.starts_with("<?") {
        let end = text.find('>')? + 1;
        return Some((Token::Hidden, end));
    }
    let (closing, body) = match text[1..].strip_prefix('/') {
        Some(body) => (true, body),
        None => (false, &text[1..]),
    };
    if !body.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let named = body.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(body.len());
    let name = body[..named].to_ascii_lowercase();
    let after = &body[named..];
    if !after.starts_with(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>') {
        return None;
    }
    let (attributes, used) = attributes(after)?;
    let length = text.len() - body.len() + named + used;
    let raw = &text[..length];
    let token =
        if closing { Token::Close { name, raw } } else { Token::Open { name, attributes, raw } };
    Some((token, length))
}

/// The most attributes of a tag.
const MOST: usize = 32;

/// The attributes of a tag up to its `>`, and how long that is. `None` if the tag does not end, or has more than any does.
fn attributes(text: &str) -> Option<(Vec<(String, String)>, usize)> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if let Some(after) = rest.strip_prefix('>') {
            return Some((out, text.len() - after.len()));
        }
        let ends = |c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/');
        // A sign that is out of place belongs to a name.
        let first = rest.chars().next()?.len_utf8();
        let named = rest[first..].find(ends)? + first;
        let name = rest[..named].to_ascii_lowercase();
        rest = rest[named..].trim_start();
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            let quote = after.chars().next()?;
            if quote == '"' || quote == '\'' {
                let length = after[1..].find(quote)?;
                value = &after[1..=length];
                rest = &after[length + 2..];
            } else {
                let length = after.find(|c: char| c.is_ascii_whitespace() || c == '>')?;
                value = &after[..length];
                rest = &after[length..];
            }
        }
        if out.len() == MOST {
            return None;
        }
        out.push((name, decoded(value)));
    }
}

/// Named entities that models write; all others stay as they stand.
const NAMED: &[(&str, &str)] = &[
    ("amp", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("nbsp", "\u{a0}"),
    ("ndash", "–"),
    ("mdash", "—"),
    ("hellip", "…"),
    ("lsquo", "‘"),
    ("rsquo", "’"),
    ("ldquo", "“"),
    ("rdquo", "”"),
    ("laquo", "«"),
    ("raquo", "»"),
    ("bull", "•"),
    ("middot", "·"),
    ("times", "×"),
    ("divide", "÷"),
    ("plusmn", "±"),
    ("minus", "−"),
    ("deg", "°"),
    ("euro", "€"),
    ("pound", "£"),
    ("cent", "¢"),
    ("yen", "¥"),
    ("sect", "§"),
    ("para", "¶"),
    ("copy", "©"),
    ("reg", "®"),
    ("trade", "™"),
    ("dagger", "†"),
    ("le", "≤"),
    ("ge", "≥"),
    ("ne", "≠"),
    ("rarr", "→"),
    ("larr", "←"),
    ("frac12", "½"),
    ("sup2", "²"),
    ("sup3", "³"),
    ("micro", "µ"),
];

/// Text with its entities as the characters that they mean.
pub(crate) fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest[1..].bytes().take(9).position(|byte| byte == b';');
        let entity = end.and_then(|length| Some((meaning(&rest[1..=length])?, length + 2)));
        match entity {
            Some((meaning, length)) => {
                out.push_str(&meaning);
                rest = &rest[length..];
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

fn meaning(name: &str) -> Option<String> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).map(String::from);
    }
    NAMED.iter().find(|(named, _)| *named == name).map(|(_, meaning)| (*meaning).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_told_from_text() {
        let found = tokens("a < b <TD Colspan=2 x='y z' k>c</td ><!-- n --> <3 <br/>&amp; <a");
        let open = |name: &str, attributes: &[(&str, &str)], raw| Token::Open {
            name: name.to_owned(),
            attributes: attributes.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
            raw,
        };
        let wanted = [
            Token::Text("a < b "),
            open("td", &[("colspan", "2"), ("x", "y z"), ("k", "")], "<TD Colspan=2 x='y z' k>"),
            Token::Text("c"),
            Token::Close { name: "td".to_owned(), raw: "</td >" },
            Token::Hidden,
            Token::Text(" <3 "),
            open("br", &[], "<br/>"),
            Token::Text("&amp; <a"),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_never_ends_is_text_and_soon_known_to_be() {
        for unit in ["<a ", "<!-- ", "<a b='", "<", "&", "&amp"] {
            let text = unit.repeat(5_000);
            let found = tokens(&text);
            assert_eq!(found, [Token::Text(&text)], "{unit}");
            assert_eq!(decoded(&text), text);
        }
    }

    #[test]
    fn entities_become_characters_and_others_stay() {
        assert_eq!(
            decoded("a &amp; b &#8364; &#x41; &nope; & &#xd800; &;"),
            "a & b € A &nope; & &#xd800; &;"
        );
        assert_eq!(decoded("&ndash;&é;"), "–&é;");
    }
}
