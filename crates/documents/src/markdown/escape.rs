//! Text that must not become markup.

/// Escapes text for the inside of a line.
pub(super) fn inline(text: &str, out: &mut String) {
    let mut chars = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        let after = chars.peek().copied().unwrap_or(' ');
        let special = match c {
            '\\' | '`' | '*' | '[' | ']' => true,
            // Between letters an underscore means nothing.
            '_' => !(before.is_alphanumeric() && after.is_alphanumeric()),
            '<' => after.is_alphabetic() || matches!(after, '/' | '!' | '?'),
            '&' => after.is_ascii_alphabetic() || after == '#',
            '~' => before == '~' || after == '~',
            '|' => true,
            // Footnote marks and maths of some dialects.
            '^' => after == '[',
            '$' => after == '$',
            _ => false,
        };
        if special {
            out.push('\\');
        }
        out.push(c);
        before = c;
    }
}

/// Escapes what would be markup only because it begins a line: `#`, `>`, `-`, `+`, `=`, `1.`.
pub(super) fn line_start(line: &str) -> String {
    let body = line.trim_start();
    let indent = &line[..line.len() - body.len()];
    let first = body.chars().next();
    let escaped = match first {
        Some('#' | '>' | '=' | '~') => format!("\\{body}"),
        Some(c @ ('-' | '+')) => {
            let rest = &body[1..];
            let rule = rest.chars().all(|r| r == c || r == ' ');
            if rest.is_empty() || rest.starts_with([' ', '\t']) || rule {
                format!("\\{body}")
            } else {
                body.to_owned()
            }
        }
        Some(c) if c.is_ascii_digit() => {
            let digits = body.bytes().take_while(u8::is_ascii_digit).count();
            let mut rest = body[digits..].chars();
            let delimiter = rest.next();
            let ends = rest.next().is_none_or(|c| c == ' ' || c == '\t');
            match delimiter {
                Some(d @ ('.' | ')')) if ends && digits <= 9 => {
                    format!("{}\\{d}{}", &body[..digits], &body[digits + 1..])
                }
                _ => body.to_owned(),
            }
        }
        _ => body.to_owned(),
    };
    // Four spaces would be code; text has no use for its indent.
    let indent = if indent.len() < 4 { indent } else { "" };
    format!("{indent}{escaped}")
}

/// A link target for round brackets.
pub(crate) fn target(target: &str) -> String {
    let mut out = String::new();
    for c in target.chars() {
        match c {
            ' ' => out.push_str("%20"),
            '(' => out.push_str("%28"),
            ')' => out.push_str("%29"),
            '<' => out.push_str("%3C"),
            '>' => out.push_str("%3E"),
            '\\' => out.push_str("%5C"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        inline(text, &mut out);
        out
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            escaped("a*b*c [x](y) `q` <b> &amp; \\"),
            r"a\*b\*c \[x\](y) \`q\` \<b> \&amp; \\"
        );
        assert_eq!(escaped("snake_case _x_ 3 < 4 & 5"), r"snake_case \_x\_ 3 < 4 & 5");
        assert_eq!(escaped("~~gone~~ 5~6"), r"\~\~gone\~\~ 5~6");
    }

    #[test]
    fn beginnings_of_lines_are_escaped() {
        for (text, wanted) in [
            ("# no heading", r"\# no heading"),
            ("> no quote", r"\> no quote"),
            ("- no item", r"\- no item"),
            ("-5 degrees", "-5 degrees"),
            ("---", r"\---"),
            ("+ plus", r"\+ plus"),
            ("1. no list", r"1\. no list"),
            ("12) no list", r"12\) no list"),
            ("1.1 clause", "1.1 clause"),
            ("2024. Year", r"2024\. Year"),
            ("=====", r"\====="),
            ("    code", "code"),
        ] {
            assert_eq!(line_start(text), wanted);
        }
    }
}
