//! Formulas in brackets of TeX, as models write them, made into those in dollars, which parsers of Markdown know.

/// The longest formula, in bytes: nobody looks further for its end.
const LONGEST: usize = 4096;

/// A text with `\( \)` and `\[ \]` as `$ $` and `$$ $$`, outside of code.
pub(crate) fn dollars(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '`']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with('`') {
            // Code as it stands, to as many backticks as it began with.
            let ticks = rest.len() - rest.trim_start_matches('`').len();
            let body = &rest[ticks..];
            let end = closing(body, ticks).map_or(ticks, |end| ticks + end + ticks);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let formula =
            [("\\(", "\\)", "$"), ("\\[", "\\]", "$$")].iter().find_map(|(open, close, mark)| {
                let body = rest.strip_prefix(open)?;
                let near = &body[..body.floor_char_boundary(LONGEST)];
                let inner = &near[..near.find(close)?];
                let plain = !inner.trim().is_empty()
                    && !inner.contains('$')
                    && !inner.contains(open)
                    && !inner.contains("\n\n");
                plain.then_some((inner, *mark))
            });
        match formula {
            Some((inner, mark)) => {
                out.push_str(mark);
                out.push_str(inner.trim());
                out.push_str(mark);
                rest = &rest[inner.len() + 4..];
            }
            None => {
                // The sign that it escapes goes with it.
                let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..length]);
                rest = &rest[length..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Where so many backticks, and no more, stand.
fn closing(text: &str, ticks: usize) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = text[at..].find('`') {
        at += found;
        let run = text.len() - at - text[at..].trim_start_matches('`').len();
        if run == ticks {
            return Some(at);
        }
        at += run;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::dollars;

    #[test]
    fn brackets_become_dollars_outside_of_code() {
        assert_eq!(dollars(r"a \( x_1 \) b \[ y \\ z \] c"), r"a $x_1$ b $$y \\ z$$ c");
        assert_eq!(dollars(r"`\(x\)` ``a ` \(b\)`` \(c\)"), r"`\(x\)` ``a ` \(b\)`` $c$");
        assert_eq!(
            dollars("\\(a\n\nb\\) \\(open \\\\(x) é\\é ` \\(y\\)"),
            "\\(a\n\nb\\) \\(open \\\\(x) é\\é ` $y$"
        );
        assert_eq!(dollars("\\"), "\\");
        let open = "\\( ".repeat(5_000);
        assert_eq!(dollars(&open), open);
    }
}
