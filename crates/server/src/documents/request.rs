//! What is asked of a document: as JSON, or as a form with the file in it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use documents::pipeline::{LadderOptions, Mode, PROMPT, ReadOptions};
use documents::{PageSet, Source};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::told;
use crate::fault::Fault;
use crate::inline::{of_address, of_base64};
use crate::mcp::{Files, files};
use crate::openai::files::{Shelf, multipart};
use crate::read::{self, OneOrMany};

/// Bytes of a file that is named by its path.
const MOST_BYTES: u64 = 256 << 20;
/// Models of one request, and passwords.
const MOST_SEVERAL: usize = 8;
/// Tokens for a page.
const MOST_TOKENS: u32 = 32_768;
/// Attempts for a page.
const MOST_RETRIES: u32 = 20;
/// Pixels of the longer side of a page.
const SIDE: std::ops::RangeInclusive<u32> = 28..=2576;

/// Which pages are shown to a model.
#[derive(Clone, Copy, Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum How {
    /// Those that have no good text of their own.
    #[default]
    Auto,
    /// None.
    Text,
    /// All.
    Ocr,
}

/// How the text of pages is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum Format {
    /// Markdown.
    #[default]
    Markdown,
    /// Blocks with their boxes.
    Json,
    /// One page of HTML, of the whole document.
    Html,
}

/// A reading that is asked for.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DocumentReadRequest")]
pub(crate) struct Request {
    /// The id of a document that was uploaded to `/v1/files`.
    file_id: Option<String>,
    /// The document as base64, with or without `data:...;base64,` before it.
    file_data: Option<String>,
    /// What it is called, if it is sent along.
    filename: Option<String>,
    /// The document's path, under a folder that the server's owner has allowed.
    path: Option<String>,
    /// Which pages are shown to a model: those that need it, none, or all.
    #[serde(default)]
    mode: How,
    /// The vision model, or a task; several are asked one after the other for what those before failed at. Default: the
    /// server's route `vision`, if it has one.
    model: Option<OneOrMany<String>>,
    /// Which pages: `1,3-5,9-`. Default: all.
    pages: Option<String>,
    /// A password of an encrypted document, or several to try.
    password: Option<OneOrMany<String>>,
    /// Tokens that a model may write for a page, from 1 to 32768. Default: 8000.
    max_tokens: Option<u32>,
    /// Attempts for a page, the first included, from 1 to 20. Default: 8.
    max_page_retries: Option<u32>,
    /// Pixels of the longer side of the picture that a model is shown, from 28 to 2576. Default: 1288.
    target_longest_image_dim: Option<u32>,
    /// What a model is told, instead of what olmOCR's models were trained with. Its answer needs no front matter then.
    custom_prompt: Option<String>,
    /// Whether models are held to the form of the front matter. Default: true.
    guided_decoding: Option<bool>,
    /// How the text of pages is written.
    #[serde(default)]
    format: Format,
    /// A comment with its number before each page of the whole text.
    #[serde(default)]
    page_markers: bool,
    /// Page headers, footers and page numbers stay in the text.
    #[serde(default)]
    keep_headers: bool,
    /// With `format: "json"`, every line with its box.
    #[serde(default)]
    lines: bool,
    /// Events as pages are read, instead of one answer.
    #[serde(default)]
    stream: bool,
}

/// Fields of a form that are no texts.
const WHOLE: [&str; 3] = ["max_tokens", "max_page_retries", "target_longest_image_dim"];
const TRUTHS: [&str; 5] = ["guided_decoding", "page_markers", "keep_headers", "lines", "stream"];

impl Request {
    /// Reads it from a body, and the file that is in the form if it is one.
    ///
    /// # Errors
    ///
    /// Naming the field that makes no sense.
    pub(super) fn read(headers: &HeaderMap, body: &Bytes) -> Result<(Self, Option<Source>), Fault> {
        let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
        let is_form = kind.get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/"));
        if !is_form {
            return Ok((read::json(body)?, None));
        }
        let (mut fields, mut file) = (Map::new(), None);
        for part in multipart::parts(headers, body)? {
            let name = part.name.as_str();
            let again = || Fault::field(name, format!("`{name}` is given twice"));
            if name == "file" {
                let called = part.file.clone().unwrap_or_else(|| "document".to_owned());
                let source = Source { name: plain(&called), bytes: part.bytes.to_vec() };
                if file.replace(source).is_some() {
                    return Err(again());
                }
                continue;
            }
            let text = std::str::from_utf8(&part.bytes)
                .map_err(|_| Fault::field(name, format!("`{name}` must be text")))?;
            let value = if WHOLE.contains(&name) || TRUTHS.contains(&name) {
                serde_json::from_str(text.trim()).unwrap_or_else(|_| text.into())
            } else {
                Value::from(text)
            };
            match (fields.get_mut(name), name) {
                (None, _) => drop(fields.insert(name.to_owned(), value)),
                (Some(Value::Array(list)), _) => list.push(value),
                (Some(one), "model" | "password") => *one = Value::Array(vec![one.take(), value]),
                (Some(_), _) => return Err(again()),
            }
        }
        let fields = Bytes::from(Value::from(fields).to_string());
        Ok((read::json(&fields)?, file))
    }

    /// The document: the one of the form, or the one that is named.
    ///
    /// # Errors
    ///
    /// If there is none, or more than one, or it may not be read.
    pub(super) fn source(
        &mut self,
        file: Option<Source>,
        (shelf, owner): (&Shelf, u64),
        allowed: &Files,
    ) -> Result<Source, Fault> {
        let name = self.filename.take();
        let given = (file, self.file_data.take(), self.file_id.take(), self.path.take());
        let source = match given {
            (Some(source), None, None, None) => match name {
                Some(name) => Source { name: plain(&name), ..source },
                None => source,
            },
            (None, Some(data), None, None) => {
                let name = plain(name.as_deref().unwrap_or("document"));
                let fault =
                    |what: String| Fault::field("file_data", format!("`file_data`: {what}"));
                if data.starts_with("http:") || data.starts_with("https:") {
                    let what = "this server fetches no addresses: send the file as base64";
                    return Err(fault(what.to_owned()));
                }
                let bytes = of_address(&data).unwrap_or_else(|| of_base64(&data)).map_err(fault)?;
                Source { name, bytes }
            }
            (None, None, Some(id), None) if name.is_none() => {
                let found = shelf.content(owner, &id);
                let (entry, bytes) =
                    found.map_err(|fault| Fault { param: Some("file_id".to_owned()), ..fault })?;
                Source { name: plain(&entry.name), bytes }
            }
            (None, None, None, Some(asked)) if name.is_none() => {
                let path = allowed.allowed("path", &asked)?.path;
                let bytes = files::bytes("path", &asked, &path, MOST_BYTES)?;
                let name = path.file_name().unwrap_or(path.as_os_str());
                Source { name: name.to_string_lossy().into_owned(), bytes }
            }
            (None, None, Some(_), None) | (None, None, None, Some(_)) => {
                let what = "`filename` goes with a document that is sent along";
                return Err(Fault::field("filename", what));
            }
            _ => {
                let what =
                    "name one document: send `file` in a form, or `file_data`, `file_id` or `path`";
                return Err(Fault::field("file", what));
            }
        };
        if source.bytes.is_empty() {
            return Err(Fault::field("file", "the document is empty (0 bytes)"));
        }
        Ok(source)
    }

    /// How the document is read.
    ///
    /// # Errors
    ///
    /// Naming the field that makes no sense.
    pub(super) fn options(&self) -> Result<ReadOptions, Fault> {
        let pages = self.pages.as_deref().map(PageSet::parse).transpose().map_err(told::fault)?;
        let within = |name: &str, given: Option<u32>, usual: u32, most: u32| match given {
            Some(number) if !(1..=most).contains(&number) => {
                let message = format!("`{name}` is {number}, but must be from 1 to {most}");
                Err(Fault::field(name, message))
            }
            given => Ok(given.unwrap_or(usual)),
        };
        let side = self.target_longest_image_dim.unwrap_or(1288);
        if !SIDE.contains(&side) {
            let (name, least, most) = ("target_longest_image_dim", SIDE.start(), SIDE.end());
            let message = format!("`{name}` is {side}, but must be from {least} to {most}");
            return Err(Fault::field(name, message));
        }
        let usual = ReadOptions::default();
        Ok(ReadOptions {
            pages: pages.unwrap_or_default(),
            passwords: several("password", self.password.clone())?,
            mode: match self.mode {
                How::Auto => Mode::Auto,
                How::Text => Mode::Text,
                How::Ocr => Mode::Ocr,
            },
            prompt: self.custom_prompt.as_deref().map_or_else(|| PROMPT.into(), Arc::from),
            // An answer that is held to front matter has one, whatever was asked.
            front_matter: self.custom_prompt.is_none() || self.guided_decoding == Some(true),
            guided: self.guided_decoding.unwrap_or(true),
            max_tokens: within("max_tokens", self.max_tokens, usual.max_tokens, MOST_TOKENS)?,
            target_longest_image_dim: side,
            ladder: LadderOptions {
                max_page_retries: within(
                    "max_page_retries",
                    self.max_page_retries,
                    usual.ladder.max_page_retries,
                    MOST_RETRIES,
                )?,
                ..usual.ladder
            },
            ..super::readings::usual()
        })
    }

    /// Who is asked, the first choice first.
    ///
    /// # Errors
    ///
    /// If too many are, or one where nobody is to be asked.
    pub(super) fn models(&self) -> Result<Vec<String>, Fault> {
        let models = several("model", self.model.clone())?;
        if matches!(self.mode, How::Text) && !models.is_empty() {
            return Err(Fault::field(
                "model",
                "`mode` is text, which asks no model: leave one out",
            ));
        }
        Ok(models)
    }

    /// How the answer is written.
    ///
    /// # Errors
    ///
    /// If it is asked for what its form does not have.
    pub(super) fn shape(&self) -> Result<told::Shape, Fault> {
        let (json, markdown) = (self.format == Format::Json, self.format == Format::Markdown);
        let wrong = [
            ("lines", self.lines && !json, "json"),
            ("page_markers", self.page_markers && !markdown, "markdown"),
            ("keep_headers", self.keep_headers && json, "markdown"),
        ];
        if let Some((name, _, format)) = wrong.into_iter().find(|(_, wrong, _)| *wrong) {
            return Err(Fault::field(name, format!("`{name}` goes with `format: \"{format}\"`")));
        }
        Ok(told::Shape {
            format: self.format,
            lines: self.lines,
            page_markers: self.page_markers,
            keep_headers: self.keep_headers,
        })
    }

    pub(super) fn stream(&self) -> bool {
        self.stream
    }
}

fn several(name: &str, given: Option<OneOrMany<String>>) -> Result<Vec<String>, Fault> {
    let given = given.map_or_else(Vec::new, OneOrMany::into_vec);
    if given.len() > MOST_SEVERAL {
        let message = format!("`{name}` has {} texts, but at most {MOST_SEVERAL}", given.len());
        return Err(Fault::field(name, message));
    }
    Ok(given)
}

/// A name that can stand in a message.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(255).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of_json(body: &Value) -> Result<Request, Fault> {
        Request::read(&HeaderMap::new(), &Bytes::from(body.to_string())).map(|(request, _)| request)
    }

    fn of_form(parts: &[(&str, &str)]) -> Result<(Request, Option<Source>), Fault> {
        let mut body = String::new();
        for (head, content) in parts {
            body += &format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n");
        }
        let kind = "multipart/form-data; boundary=B".parse().unwrap();
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]);
        Request::read(&headers, &Bytes::from(body + "--B--"))
    }

    #[test]
    fn a_form_says_the_same_as_json() {
        let (form, file) = of_form(&[
            ("name=file; filename=\"a.pdf\"", "%PDF"),
            ("name=mode", "ocr"),
            ("name=model", "eyes"),
            ("name=model", "others"),
            ("name=max_tokens", "12"),
            ("name=guided_decoding", "false"),
            ("name=pages", "2"),
        ])
        .unwrap();
        let json = json!({"mode": "ocr", "model": ["eyes", "others"], "max_tokens": 12, "guided_decoding": false, "pages": "2"});
        let json = of_json(&json).unwrap();
        assert_eq!(form.options().unwrap(), json.options().unwrap());
        assert_eq!(form.models().unwrap(), ["eyes", "others"]);
        assert_eq!(json.options().unwrap().max_tokens, 12);
        let file = file.unwrap();
        assert_eq!((file.name.as_str(), &file.bytes[..]), ("a.pdf", &b"%PDF"[..]));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (body, param) in [
            (json!({"max_tokens": 0}), "max_tokens"),
            (json!({"max_tokens": 40_000}), "max_tokens"),
            (json!({"max_page_retries": 21}), "max_page_retries"),
            (json!({"target_longest_image_dim": 10_000}), "target_longest_image_dim"),
            (json!({"pages": "3-1"}), "pages"),
            (json!({"password": vec!["a"; 9]}), "password"),
        ] {
            let fault = of_json(&body).unwrap().options().unwrap_err();
            assert_eq!(fault.param.as_deref(), Some(param), "{body}: {fault:?}");
        }
        assert_eq!(of_json(&json!({"hue": 1})).unwrap_err().param.as_deref(), Some("hue"));
        let text = of_json(&json!({"mode": "text", "model": "eyes"})).unwrap();
        assert_eq!(text.models().unwrap_err().param.as_deref(), Some("model"));
        let lines = of_json(&json!({"lines": true})).unwrap();
        assert_eq!(lines.shape().unwrap_err().param.as_deref(), Some("lines"));
        for parts in [&[("name=stream", "yes")][..], &[("name=pages", "1"), ("name=pages", "2")]] {
            assert_eq!(of_form(parts).unwrap_err().status.as_u16(), 400, "{parts:?}");
        }
    }

    #[test]
    fn a_document_is_named_once() {
        let shelf = Shelf::new(None);
        let source = |body: Value, file| {
            of_json(&body).unwrap().source(file, (&shelf, 0), &Files::default())
        };
        let sent = source(
            json!({"file_data": "data:application/pdf;base64,aGk=", "filename": "a\n"}),
            None,
        );
        let sent = sent.unwrap();
        assert_eq!((sent.name.as_str(), &sent.bytes[..]), ("a", &b"hi"[..]));
        for (body, param) in [
            (json!({}), "file"),
            (json!({"file_data": "aGk=", "path": "a"}), "file"),
            (json!({"file_data": ""}), "file"),
            (json!({"file_data": "https://a/b"}), "file_data"),
            (json!({"path": "a"}), "path"),
            (json!({"path": "a", "filename": "b"}), "filename"),
        ] {
            let fault = source(body.clone(), None).unwrap_err();
            assert_eq!(fault.param.as_deref(), Some(param), "{body}: {fault:?}");
        }
        let file = Source { name: "f".to_owned(), bytes: vec![1] };
        assert!(source(json!({"file_data": "aGk="}), Some(file)).is_err());
    }
}
