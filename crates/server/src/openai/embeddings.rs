//! `POST /v1/embeddings`: vectors of texts and of images of pages.

use std::collections::BTreeMap;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use manager::runtime::{EmbedOptions, Embedding, Kinds, Places};
use serde::Deserialize;
use serde_json::json;

use super::content::image;
use crate::fault::Fault;
use crate::gate::Client;
use crate::read::{OneOrMany, json};
use crate::sse;
use crate::state::Server;
use crate::web;

/// What is made of images.
const MULTI: Kinds = Kinds { dense: false, sparse: false, multi: true };

/// What vectors are made of.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "EmbeddingInput")]
enum Input {
    Texts(OneOrMany<String>),
    Items(OneOrMany<Item>),
    Tokens(#[expect(dead_code, reason = "only recognised")] OneOrMany<Vec<u32>>),
    Ids(#[expect(dead_code, reason = "only recognised")] Vec<u32>),
}

/// A text or an image, said as such.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EmbeddingItem")]
struct Item {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    image: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "EmbeddingEncoding")]
enum Encoding {
    #[default]
    Float,
    Base64,
}

/// What to make of each input, beyond OpenAI's one vector.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "EmbeddingKind")]
enum Wanted {
    Dense,
    Sparse,
    Multi,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EmbeddingRequest")]
pub(crate) struct Request {
    model: String,
    input: Input,
    #[serde(default)]
    encoding_format: Encoding,
    dimensions: Option<usize>,
    #[serde(rename = "user")]
    _user: Option<String>,
    /// The name of one of the checkpoint's prompts. For a model of the ColQwen kind `query`, as which it takes texts by itself, or
    /// `document`.
    prompt_name: Option<String>,
    /// Cuts what is too long, instead of refusing it.
    #[serde(default)]
    truncate: bool,
    /// Kinds of vectors. Default: what the model makes by itself.
    kinds: Option<Vec<Wanted>>,
}

/// Makes vectors.
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(client): Extension<Client>,
    body: Bytes,
) -> Result<Response, Fault> {
    let body = web::fetched(&server, body).await?;
    let request: Request = json(&body)?;
    let kinds = match request.kinds.as_deref() {
        None => Kinds::OWN,
        Some([]) => {
            return Err(Fault::field("kinds", "`kinds` is empty: name dense, sparse or multi"));
        }
        Some(list) => {
            let has = |wanted| list.contains(&wanted);
            Kinds {
                dense: has(Wanted::Dense),
                sparse: has(Wanted::Sparse),
                multi: has(Wanted::Multi),
            }
        }
    };
    let (texts, images) = inputs(request.input)?;
    let most = server.limits().texts;
    let count = texts.len().max(images.len());
    if count == 0 || count > most {
        let message = format!("`input` has {count} items, but must have from 1 to {most}");
        return Err(Fault::field("input", message));
    }
    if !images.is_empty() {
        let cut = "an image is seen as it is, and has a vector for each of its tokens";
        for (field, given) in [
            ("kinds", ![Kinds::OWN, MULTI].contains(&kinds)),
            ("dimensions", request.dimensions.is_some()),
            ("prompt_name", request.prompt_name.is_some()),
            ("truncate", request.truncate),
        ] {
            if given {
                return Err(Fault::field(field, format!("`{field}` is for texts: {cut}")));
            }
        }
    }
    let options = EmbedOptions {
        prompt: request.prompt_name,
        truncate: request.truncate,
        dimensions: request.dimensions,
        kinds,
    };
    let house = &server.house;
    let made = if images.is_empty() {
        house.embed(&request.model, texts, options, client.strict).await?
    } else {
        house.embed_images(&request.model, images, client.strict).await?
    };
    let encode = |vector: &[f32]| match request.encoding_format {
        Encoding::Float => json!(vector),
        Encoding::Base64 => STANDARD.encode(bytes(vector)).into(),
    };
    let item = |(index, embedding): (usize, &Embedding)| {
        let mut item = json!({"object": "embedding", "index": index});
        if !embedding.vector.is_empty() {
            item["embedding"] = encode(&embedding.vector);
        }
        if kinds.sparse {
            let weights: BTreeMap<String, f32> = embedding
                .sparse
                .iter()
                .map(|(token, &weight)| (token.to_string(), weight))
                .collect();
            item["sparse_embedding"] = json!(weights);
        }
        if !embedding.multi.is_empty() {
            let vectors: Vec<_> = embedding.multi.iter().map(|vector| encode(vector)).collect();
            item["multi_vector"] = json!(vectors);
            item["dim"] = embedding.multi.first().map_or(0, Vec::len).into();
        }
        if let Some(Places { start, height, width }) = embedding.places {
            item["places"] = json!({"start": start, "height": height, "width": width});
        }
        if embedding.truncated {
            item["truncated"] = true.into();
        }
        item
    };
    let data: Vec<_> = made.embeddings.iter().enumerate().map(item).collect();
    let answer = json!({"object": "list", "data": data, "model": made.model});
    Ok(sse::told(answer, made.tokens, &made.receipt))
}

/// Texts, or images; not both at once.
fn inputs(input: Input) -> Result<(Vec<String>, Vec<manager::Image>), Fault> {
    let items = match input {
        Input::Texts(texts) => return Ok((texts.into_vec(), Vec::new())),
        Input::Items(items) => items.into_vec(),
        Input::Tokens(_) | Input::Ids(_) => {
            let message =
                "`input` holds tokens; send texts, which are made into this model's own tokens";
            return Err(Fault::field("input", message));
        }
    };
    let (mut texts, mut images) = (Vec::new(), Vec::new());
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("input[{index}]");
        match (item.text, item.image) {
            (Some(text), None) => texts.push(text),
            (None, Some(url)) => images.push(image(&format!("{path}.image"), &url)?),
            _ => return Err(Fault::field(&path, format!("`{path}` must hold `text` or `image`"))),
        }
    }
    if !texts.is_empty() && !images.is_empty() {
        return Err(Fault::field("input", "`input` holds texts and images: send them apart"));
    }
    Ok((texts, images))
}

/// Little-endian floats, as clients read base64.
fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|element| element.to_le_bytes()).collect()
}
