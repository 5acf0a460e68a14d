//! Forms with files in them (RFC 7578), of a body that lies in memory and is bounded.

use axum::body::Bytes;
use axum::http::{HeaderMap, header};

use crate::fault::Fault;

/// Parts of a form.
const MOST_PARTS: usize = 16;
/// Bytes of the head of a part.
const MOST_HEAD: usize = 4096;
/// Bytes of a boundary, as RFC 2046 has it.
const MOST_BOUNDARY: usize = 70;

/// A part of a form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// What the client calls the file, if it is one.
    pub(crate) file: Option<String>,
    pub(crate) bytes: Bytes,
}

/// The parts of `body`.
///
/// # Errors
///
/// If it is no form, or has too many parts.
pub(crate) fn parts(headers: &HeaderMap, body: &Bytes) -> Result<Vec<Part>, Fault> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let Some(boundary) = kind.and_then(boundary) else {
        return Err(Fault::invalid("send a form: `multipart/form-data` with its boundary"));
    };
    read(&boundary, body)
        .ok_or_else(|| Fault::invalid("the body is not the form that its head promises"))
}

/// The boundary that a `Content-Type` names.
fn boundary(kind: &str) -> Option<String> {
    let (media, rest) = kind.split_once(';')?;
    if !media.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(rest, "boundary")?;
    (1..=MOST_BOUNDARY).contains(&boundary.len()).then_some(boundary)
}

/// The parameter `name` of a head, whose value may stand in quotes.
fn parameter(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([';', ' ', '\t']);
        let (key, after) = rest.split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut value = String::new();
                let mut letters = quoted.char_indices();
                let end = loop {
                    match letters.next()? {
                        (at, '"') => break at + 1,
                        // Old browsers write paths here: a backslash only escapes what would end the text.
                        (at, '\\') if quoted[at + 1..].starts_with(['"', '\\']) => {
                            value.push(letters.next()?.1);
                        }
                        (_, letter) => value.push(letter),
                    }
                };
                (value, &quoted[end..])
            }
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = next;
    }
}

fn read(boundary: &str, body: &Bytes) -> Option<Vec<Part>> {
    let between = format!("\r\n--{boundary}");
    let mut parts = Vec::new();
    let mut at = boundary.len() + 2;
    if body.get(..at)? != &between.as_bytes()[2..] {
        return None;
    }
    loop {
        let rest = body.get(at..)?;
        if rest.starts_with(b"--") {
            return Some(parts);
        }
        if !rest.starts_with(b"\r\n") || parts.len() == MOST_PARTS {
            return None;
        }
        let head = &rest[..rest.len().min(MOST_HEAD)];
        let length = find(head, b"\r\n\r\n")?;
        let (name, file) = disposition(std::str::from_utf8(head.get(2..length.max(2))?).ok()?)?;
        let begin = at + length + 4;
        let end = begin + find(body.get(begin..)?, between.as_bytes())?;
        parts.push(Part { name, file, bytes: body.slice(begin..end) });
        at = end + between.len();
    }
}

/// The name of a part, and of its file.
fn disposition(head: &str) -> Option<(String, Option<String>)> {
    let line = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let (kind, rest) = line.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    Some((parameter(rest, "name")?, parameter(rest, "filename")))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.iter().position(|&byte| byte == first)?;
        if text[at..].starts_with(wanted) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(text: &str) -> Option<Vec<Part>> {
        read("B", &Bytes::from(text.to_owned()))
    }

    #[test]
    fn forms_are_read() {
        let text = "--B\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n\
            --B\r\ncontent-type: application/pdf\r\nContent-Disposition: form-data; name=file; filename=\"a \\\"b\\\".pdf\"\r\n\r\n\
            one\r\n--C\r\n\r\n--B--\r\nafter";
        let parts = form(text).unwrap();
        let part = |n: usize| (parts[n].name.as_str(), parts[n].file.as_deref(), &*parts[n].bytes);
        assert_eq!(parts.len(), 2);
        assert_eq!(part(0), ("purpose", None, &b"user_data"[..]));
        assert_eq!(part(1), ("file", Some("a \"b\".pdf"), &b"one\r\n--C\r\n"[..]));
        assert_eq!(boundary("multipart/form-data; boundary=\"B\"").as_deref(), Some("B"));
        assert_eq!(
            boundary("Multipart/Form-Data; charset=x; boundary=B; a=b").as_deref(),
            Some("B")
        );
        for wrong in [
            "multipart/form-data",
            "text/plain; boundary=B",
            "multipart/form-data; boundary=",
            "multipart/mixed; boundary=B",
        ] {
            assert_eq!(boundary(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_cut_or_no_form_is_refused() {
        let text = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--B--";
        assert!(form(text).is_some());
        for end in 0..text.len() {
            assert_eq!(form(&text[..end]), None, "{end}");
        }
        assert_eq!(form(&format!("x{text}")), None);
        assert_eq!(form("--B\r\n\r\n\r\nx\r\n--B--"), None);
        let many = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n".repeat(17);
        assert_eq!(form(&format!("{many}--B--")), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(?s).{0,200}", dense in "(--B|\r\n|-|:|;|=|\"|\\\\|Content-Disposition|form-data|name|x){0,40}") {
            for text in [text, dense] {
                let _ = (form(&text), boundary(&text), parameter(&text, "name"));
            }
        }
    }
}
