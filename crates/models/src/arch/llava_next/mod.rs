//! LLaVA-NeXT (LLaVA 1.6): a decoder that is shown an image as a whole and, in more detail, in crops.
//!
//! A CLIP tower reads the image made small and each crop of it; two linear maps bring the patches to the decoder's width.
//! Its tokens are those of the whole, row by row, and then those of all crops side by side, without what is only padding:
//! row by row, with `image_newline` behind each. The decoder is Mistral's or Llama's, as `text_config` says.
//! Tensors lie as published (`vision_tower.vision_model`, `language_model.model`), or as newer programs write them
//! (`model.vision_tower`, `model.language_model`).
//!
//! - Reference: `transformers/models/llava_next/modeling_llava_next.py`
//! - Checkpoints: `llava-hf/llava-v1.6-mistral-7b-hf`, `mlx-community/llava-v1.6-mistral-7b-4bit`

mod preprocess;

use std::collections::BTreeMap;
use std::sync::Arc;

use kernels::{Tensor, ops};
use serde::Deserialize;
use serde_json::{Value, json};

use self::preprocess::Images;
use super::{llama, mistral};
use crate::nn::{Activation, ClipConfig, ClipTower, Linear, refuse_unknown};
use crate::{Model, Picture, Preprocess, Result, Scope, Taps, Vision};

const NAME: &str = "llava_next";

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(alias = "image_token_id", default = "image_token")]
    image_token_index: u32,
    image_grid_pinpoints: Option<Value>,
    #[serde(default = "last_but_one")]
    vision_feature_layer: Value,
    vision_feature_select_strategy: Option<String>,
    projector_hidden_act: Option<Activation>,
    multimodal_projector_bias: Option<bool>,
    use_image_newline_parameter: Option<bool>,
    tie_word_embeddings: Option<bool>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

fn image_token() -> u32 {
    32_000
}

fn last_but_one() -> Value {
    json!(-2)
}

/// What a tower's configuration leaves out, as the reference fills it in where there is none.
fn usual_tower() -> Value {
    json!({
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
        "image_size": 336, "patch_size": 14
    })
}

pub(crate) fn build(root: &Scope<'_>) -> Result<Model> {
    let mut c: Config = root.config().parse(NAME)?;
    for part in ["vision_config", "text_config"] {
        c.rest.remove(part);
    }
    refuse_unknown(root, NAME, &c.rest)?;
    let empty = checkpoint::Config::from_value(root.config().file(), json!({}))?;
    let text = root.config().part("text_config")?.unwrap_or_else(|| empty.clone());
    let text =
        text.or(&json!({ "model_type": "llama", "tie_word_embeddings": c.tie_word_embeddings }));
    let vision = root.config().part("vision_config")?.unwrap_or_else(|| empty.or(&usual_tower()));
    let clip: ClipConfig = vision.parse(NAME)?;

    let inner = if root.has("model.vision_tower") { root.at("model") } else { root.clone() };
    let [model, head] = match root.has("language_model.model") {
        true => [root.at("language_model.model"), root.at("language_model")],
        false => [inner.at("language_model"), root.clone()],
    };
    let places = [&model, &head];
    let language = match text.model_type()? {
        "llama" => llama::load(places, &text.or(&llama::usual()), NAME)?,
        "mistral" => mistral::load(places, &text.or(&mistral::usual()), NAME)?,
        other => return Err(root.unsupported(NAME, "text_config.model_type", other)),
    };
    let eyes = Eyes::load(&inner, &c, &clip, language.hidden)?;
    Ok(language.seeing(NAME, eyes))
}

/// The tower, and what makes its patches tokens.
#[derive(Debug)]
struct Eyes {
    name: String,
    vision_tower: ClipTower,
    linear_1: Linear,
    linear_2: Linear,
    activation: Activation,
    /// `[1, hidden]`
    image_newline: Tensor,
    images: Arc<Images>,
}

impl Eyes {
    /// Loads what lies at `scope`; `hidden` is the decoder's width.
    fn load(scope: &Scope<'_>, c: &Config, clip: &ClipConfig, hidden: usize) -> Result<Self> {
        let strategy = c.vision_feature_select_strategy.as_deref().unwrap_or("default");
        if strategy != "default" {
            return Err(scope.unsupported(NAME, "vision_feature_select_strategy", strategy));
        }
        let Some(state) = c.vision_feature_layer.as_i64() else {
            let layers = &c.vision_feature_layer;
            return Err(scope.unsupported(NAME, "vision_feature_layer", layers));
        };
        if c.use_image_newline_parameter == Some(false) {
            return Err(scope.unsupported(NAME, "use_image_newline_parameter", false));
        }
        let activation = c.projector_hidden_act.unwrap_or(Activation::Gelu);
        if activation == Activation::Silu {
            return Err(scope.unsupported(NAME, "projector_hidden_act", "silu"));
        }
        clip.check(scope, NAME)?;
        let layers = clip.layers_of(scope, "vision_feature_layer", state)?;
        let images =
            Images::read(scope, clip, c.image_token_index, c.image_grid_pinpoints.as_ref())?;
        let tower = scope.at("vision_tower");
        let tower = if tower.has("vision_model") { tower.at("vision_model") } else { tower };
        let projector = scope.at("multi_modal_projector");
        let bias = c.multimodal_projector_bias.unwrap_or(true);
        let map = |name, from| Linear::load(&projector.at(name), from, hidden, bias);
        let eyes = Self {
            name: projector.name().to_owned(),
            vision_tower: ClipTower::load(&tower, clip, layers)?,
            linear_1: map("linear_1", clip.hidden_size)?,
            linear_2: map("linear_2", hidden)?,
            activation,
            image_newline: scope.vector("image_newline", hidden)?.reshape(&[1, hidden]),
            images: Arc::new(images),
        };
        projector.note_floats();
        Ok(eyes)
    }
}

impl Vision for Eyes {
    fn preprocess(&self) -> Arc<dyn Preprocess> {
        Arc::clone(&self.images) as Arc<dyn Preprocess>
    }

    fn pieces(&self, picture: &Picture) -> usize {
        self.vision_tower.pieces(picture.parts.len()) + 1
    }

    fn piece(
        &self,
        picture: &Picture,
        piece: usize,
        left: Vec<Tensor>,
        taps: &Taps,
    ) -> Vec<Tensor> {
        let squares = picture.parts.len();
        if piece < self.vision_tower.pieces(squares) {
            let patches = || self.images.patches(picture);
            return self.vision_tower.piece((squares, patches), piece, left, taps);
        }
        let inner = self.linear_1.forward(&left[0]);
        let inner = self.activation.apply(&inner).unwrap_or(inner);
        let x = taps.tap(&self.name, self.linear_2.forward(&inner));
        // All rows, and behind them the end of a line.
        let rows = ops::take(&self.image_newline, &vec![0; x.rows() + 1]);
        let newline = x.rows() as u32;
        let order = self.images.order(picture, newline);
        vec![ops::take(&ops::slice_update(&rows, &[(0, x)]), &order)]
    }
}
