//! Phi-3 and Phi-3.5 vision: Phi-3's decoder, shown an image in crops and as a whole.
//!
//! An image is put on a board of whole crops; a CLIP tower reads each, and the board made small. Two by two patches become one
//! row. All crops side by side are read row by row, with `sub_GN` behind each, and so is the small one; `glb_GN` stands between.
//! Of the tower's shape `config.json` says the width alone; the rest is that of CLIP's large one, and its layers are those which
//! the checkpoint has.
//!
//! - Reference: `modeling_phi3_v.py` and `processing_phi3_v.py`, which are published with the checkpoint
//! - Checkpoints: `microsoft/Phi-3.5-vision-instruct`, `mlx-community/Phi-3.5-vision-instruct-4bit`

mod preprocess;

use std::collections::BTreeMap;
use std::sync::Arc;

use kernels::ops::{Gelu, gelu};
use kernels::{Tensor, ops};
use serde::Deserialize;
use serde_json::{Value, json};

use self::preprocess::Images;
use super::phi3;
use crate::nn::{ClipConfig, ClipTower, Language, Linear};
use crate::{Model, Picture, Preprocess, Result, Scope, Taps, Vision};

const NAME: &str = "phi3_v";

/// The side of a crop, and how many patches it has across.
const SIDE: usize = 336;
const PATCH: usize = 14;
const ACROSS: usize = SIDE / PATCH;

/// How many tokens a crop becomes, but for the ends of lines.
const BLOCKS: usize = ACROSS * ACROSS / 4;

/// The tower whose shape it has.
const TOWER: &str = "openai/clip-vit-large-patch14-336";

/// The widest tower that is believed.
const WIDEST: usize = 1 << 16;

#[derive(Debug, Deserialize)]
struct Config {
    embd_layer: Embedding,
    img_processor: Processor,
}

/// `embd_layer`: how images come among words.
#[derive(Debug, Deserialize)]
struct Embedding {
    #[serde(default)]
    hd_transform_order: Order,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// Whether crops stand before the whole.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Order {
    SubGlb,
    #[default]
    GlbSub,
}

/// `img_processor`: the tower.
#[derive(Debug, Deserialize)]
struct Processor {
    image_dim_out: usize,
    #[serde(default = "last_but_one")]
    layer_idx: i64,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

fn last_but_one() -> i64 {
    -2
}

pub(crate) fn build(root: &Scope<'_>) -> Result<Model> {
    let c: Config = root.config().parse(NAME)?;
    let model = root.at("model");
    let language = phi3::load([&model, root], root.config(), NAME)?;
    let eyes = Eyes::load(&model.at("vision_embed_tokens"), &c, &language)?;
    Ok(language.seeing(NAME, eyes))
}

/// The tower, and what makes its patches tokens.
#[derive(Debug)]
struct Eyes {
    tower: ClipTower,
    /// `[1, 4 * width]`
    glb_gn: Tensor,
    /// `[1, 4 * width]`
    sub_gn: Tensor,
    first: Linear,
    last: Linear,
    order: Order,
    images: Arc<Images>,
}

impl Eyes {
    /// Loads what lies at `scope`, to be shown to `language`.
    fn load<L>(scope: &Scope<'_>, c: &Config, language: &Language<L>) -> Result<Self> {
        let (embedding, processor) = (&c.embd_layer.rest, &c.img_processor.rest);
        // What is left out is off, or as with everyone.
        for (part, fields, field, known, usual) in [
            ("embd_layer", embedding, "embedding_cls", json!("image"), json!("image")),
            ("embd_layer", embedding, "projection_cls", json!("mlp"), json!("linear")),
            ("embd_layer", embedding, "use_hd_transform", json!(true), json!(false)),
            ("embd_layer", embedding, "with_learnable_separator", json!(true), json!(false)),
            ("img_processor", processor, "name", json!("clip_vision_model"), Value::Null),
            ("img_processor", processor, "model_name", json!(TOWER), json!(TOWER)),
            ("img_processor", processor, "num_img_tokens", json!(BLOCKS), json!(BLOCKS)),
            ("img_processor", processor, "type_feature", json!("patch"), json!("patch")),
        ] {
            let found = fields.get(field).unwrap_or(&usual);
            if *found != known {
                return Err(scope.unsupported(NAME, format!("{part}.{field}"), found));
            }
        }
        let (width, hidden) = (c.img_processor.image_dim_out, language.hidden);
        let field = "img_processor.image_dim_out";
        scope.expect((1..=WIDEST).contains(&width), field, width, "between 1 and 65536")?;
        let tower = scope.at("img_processor.vision_model");
        let layers = tower.at("encoder.layers");
        let clip = ClipConfig {
            hidden_size: width,
            intermediate_size: 4 * width,
            num_hidden_layers: (0..usize::MAX)
                .take_while(|layer| layers.has(&layer.to_string()))
                .count(),
            num_attention_heads: 16,
            image_size: SIDE,
            patch_size: PATCH,
            ..ClipConfig::default()
        };
        clip.check(scope, NAME)?;
        let computed =
            clip.layers_of(scope, "img_processor.layer_idx", c.img_processor.layer_idx)?;
        // The table of the tokens' own embeddings once more.
        scope.ignore("wte.weight");
        let wide = 4 * width;
        let (projection, token) =
            (scope.at("img_projection"), language.vocabulary.saturating_sub(1));
        let eyes = Self {
            tower: ClipTower::load(&tower, &clip, computed)?,
            glb_gn: scope.widened("glb_GN", &[1, 1, wide])?.reshape(&[1, wide]),
            sub_gn: scope.widened("sub_GN", &[1, 1, 1, wide])?.reshape(&[1, wide]),
            first: Linear::load(&projection.at("0"), wide, hidden, true)?,
            last: Linear::load(&projection.at("2"), hidden, hidden, true)?,
            order: c.embd_layer.hd_transform_order,
            images: Arc::new(Images::read(&scope.preprocessor()?, token as u32)?),
        };
        projection.note_floats();
        Ok(eyes)
    }
}

impl Order {
    /// Which rows stand in the sequence: of those of the small picture and all crops in turn, and the two behind them, `sub_GN`
    /// and `glb_GN`.
    fn rows(self, grid: [usize; 2], sub_gn: u32) -> Vec<u32> {
        let crops = preprocess::side_by_side(1, grid, sub_gn);
        let whole = preprocess::side_by_side(0, [1, 1], sub_gn);
        match self {
            Self::SubGlb => [crops, vec![sub_gn + 1], whole].concat(),
            Self::GlbSub => [whole, vec![sub_gn + 1], crops].concat(),
        }
    }
}

impl Vision for Eyes {
    fn preprocess(&self) -> Arc<dyn Preprocess> {
        Arc::clone(&self.images) as Arc<dyn Preprocess>
    }

    fn pieces(&self, picture: &Picture) -> usize {
        self.tower.pieces(squares(picture)) + 1
    }

    fn piece(
        &self,
        picture: &Picture,
        piece: usize,
        left: Vec<Tensor>,
        taps: &Taps,
    ) -> Vec<Tensor> {
        let squares = squares(picture);
        if piece < self.tower.pieces(squares) {
            let patches = || self.images.patches(picture);
            return self.tower.piece((squares, patches), piece, left, taps);
        }
        let x = &left[0];
        let blocks = ops::take(x, &preprocess::blocks(x.rows()));
        let count = x.rows() / 4;
        let blocks = blocks.reshape(&[count, 4 * x.width()]);
        let rows = ops::take(&self.sub_gn, &vec![0; count + 2]);
        let rows = ops::slice_update(&rows, &[(0, blocks), (count + 1, self.glb_gn.clone())]);
        let x = ops::take(&rows, &self.order.rows(picture.grid, count as u32));
        vec![self.last.forward(&gelu(&self.first.forward(&x), Gelu::Erf))]
    }
}

/// How many squares the tower reads: all crops, and the board made small.
fn squares(picture: &Picture) -> usize {
    1 + picture.grid[0] * picture.grid[1]
}

#[cfg(test)]
mod tests {
    use super::Order;

    /// A board of one row and two columns: blocks 0 to 143 are the whole's, 144 to 431 the crops', and 432 ends a line.
    #[test]
    fn the_whole_stands_behind_its_crops_or_before_them() {
        let rows = Order::SubGlb.rows([1, 2], 432);
        assert_eq!(rows.len(), 12 * 25 + 1 + 12 * 13);
        let (crops, rest) = rows.split_at(12 * 25);
        let (between, whole) = rest.split_at(1);
        assert_eq!(crops[..3], [144, 145, 146]);
        assert_eq!(crops[11..14], [155, 288, 289]);
        assert_eq!(crops[23..27], [299, 432, 156, 157]);
        assert_eq!((between, &whole[10..14]), (&[433][..], &[10, 11, 432, 12][..]));
        assert_eq!(Order::GlbSub.rows([1, 2], 432), [whole, between, crops].concat());
    }
}
