//! What a turn holds, as chat and responses both write it: a text, or parts.

use manager::{Image, Part};
use serde::Deserialize;
use serde_json::Value;

use super::files::{Desk, WireFile};
use crate::fault::Fault;
use crate::inline::of_address;
use crate::read::Never;

/// A text, or parts.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Parts(Vec<WirePart>),
}

/// A part, under the names of both: `text` is `input_text` and `output_text`, `image_url` is `input_image`.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ContentPart")]
pub(super) struct WirePart {
    r#type: String,
    #[serde(default)]
    pub(super) text: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    image_url: Option<ImageUrl>,
    /// How closely to look, beside the address; chat has it in an object with it.
    #[serde(default)]
    detail: Option<String>,
    #[serde(default, rename = "input_audio")]
    _input_audio: Never,
    /// A document, as chat has it.
    #[serde(default)]
    file: Option<WireFile>,
    /// The id of an uploaded document, of an `input_file`.
    #[serde(default)]
    file_id: Option<String>,
    /// What a document holds, as base64, of an `input_file`.
    #[serde(default)]
    file_data: Option<String>,
    /// What it is called.
    #[serde(default)]
    filename: Option<String>,
    /// Refused: this server fetches no addresses.
    #[serde(default)]
    file_url: Option<String>,
    // What clients send back of an answer.
    #[serde(default, rename = "annotations")]
    _annotations: Option<Vec<Value>>,
    #[serde(default, rename = "logprobs")]
    _logprobs: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
enum ImageUrl {
    Object(ImageObject),
    Text(String),
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct ImageObject {
    url: String,
    /// How closely to look: a checkpoint's own files decide that.
    #[serde(default)]
    detail: Option<String>,
}

/// The parts of `content`, which stands at `path`.
///
/// # Errors
///
/// Naming the part that makes no sense.
pub(super) fn parts(path: &str, content: Content, desk: &Desk) -> Result<Vec<Part>, Fault> {
    match content {
        Content::Text(text) => Ok(vec![Part::Text(text)]),
        Content::Parts(parts) => {
            let part = |(n, part)| one(&format!("{path}[{n}]"), part, desk);
            parts.into_iter().enumerate().map(part).collect()
        }
    }
}

fn one(path: &str, part: WirePart, desk: &Desk) -> Result<Part, Fault> {
    let WirePart { r#type, text, refusal, image_url, detail, .. } = part;
    let beside = WireFile {
        file_id: part.file_id,
        file_data: part.file_data,
        filename: part.filename,
        file_url: part.file_url,
    };
    let has_more =
        beside.file_id.is_some() || beside.file_data.is_some() || beside.file_url.is_some();
    let others = text.is_some() || refusal.is_some() || image_url.is_some();
    let file = match (r#type.as_str(), part.file) {
        ("file", Some(file)) if !has_more && !others => Some(file),
        ("input_file", None) if !others => Some(beside),
        ("file", _) => {
            let message = format!("`{path}` of type `file` must hold `file` and nothing else");
            return Err(Fault::field(path, message));
        }
        ("input_file", _) => {
            let message = format!(
                "`{path}` of type `input_file` must hold `file_id` or `file_data` and nothing else"
            );
            return Err(Fault::field(path, message));
        }
        (other, file) if file.is_some() || has_more => {
            let message = format!("`{path}` of type `{other}` holds a file, which it cannot");
            return Err(Fault::field(path, message));
        }
        _ => None,
    };
    if let Some(file) = file {
        return desk.words(path, file).map(Part::Text);
    }
    match (r#type.as_str(), text, refusal, image_url) {
        ("text" | "input_text" | "output_text", Some(text), None, None)
        | ("refusal", None, Some(text), None) => Ok(Part::Text(text)),
        ("image_url" | "input_image", None, None, Some(url)) => {
            let (url, detail) = match url {
                ImageUrl::Text(url) => (url, detail),
                ImageUrl::Object(object) => (object.url, object.detail.or(detail)),
            };
            match detail.as_deref() {
                None | Some("auto" | "high" | "low") => image(path, &url).map(Part::Image),
                Some(other) => {
                    let field = format!("{path}.detail");
                    let message = format!("`{field}` is `{other}`, but must be auto, low or high");
                    Err(Fault::field(field, message))
                }
            }
        }
        ("text" | "input_text" | "output_text" | "refusal" | "image_url" | "input_image", ..) => {
            let what = match r#type.as_str() {
                "refusal" => "refusal",
                "image_url" | "input_image" => "image_url",
                _ => "text",
            };
            let message = format!("`{path}` of type `{type}` must hold `{what}` and nothing else");
            Err(Fault::field(path, message))
        }
        (other, ..) => {
            let field = format!("{path}.type");
            let message = format!(
                "`{field}` is `{other}`, but only text, image_url and file, or input_text, input_image and input_file, are supported"
            );
            Err(Fault::field(field, message))
        }
    }
}

/// The image in a `data:` address. Others would have to be fetched, which this server does for nobody.
pub(crate) fn image(path: &str, url: &str) -> Result<Image, Fault> {
    let fault = |what: String| Fault::field(path, format!("`{path}`: {what}"));
    let form = "images are given as data:image/png;base64,...; this server fetches no addresses";
    let bytes = of_address(url).unwrap_or_else(|| Err(form.to_owned())).map_err(fault)?;
    Ok(Image::new(bytes).named(path))
}
