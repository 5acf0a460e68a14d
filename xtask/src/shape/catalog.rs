//! The shapes of models that people use: their configurations, and the tensors that follow.

use serde_json::{Value, json};

/// The family a shape belongs to: which tensors it has, and which fixture lends its small files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Family {
    /// `Qwen2ForCausalLM`.
    Qwen2,
    /// `BertModel`.
    Bert,
    /// `ColQwen2_5`: a tower that sees, the decoder's body, and a projection.
    ColQwen,
}

/// The extents of a tower that sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tower {
    hidden: usize,
    intermediate: usize,
    depth: usize,
    heads: usize,
    /// After how many blocks one looks at the whole picture.
    every: usize,
}

/// Elements of a vector of looks.
const PROJECTED: usize = 128;
/// Pixels of a patch, in its three colours and two frames.
const PATCH: [usize; 4] = [3, 2, 14, 14];

/// The extents of a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) family: Family,
    pub(super) hidden: usize,
    pub(super) intermediate: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) vocabulary: usize,
    pub(super) context: usize,
    /// Whether the embedding is the head as well.
    pub(super) tied: bool,
    /// What it sees with.
    pub(super) tower: Option<Tower>,
}

const QWEN: Shape = Shape {
    name: "",
    family: Family::Qwen2,
    hidden: 0,
    intermediate: 0,
    layers: 0,
    heads: 0,
    kv_heads: 0,
    vocabulary: 151_936,
    context: 32_768,
    tied: true,
    tower: None,
};

const BERT: Shape = Shape { family: Family::Bert, vocabulary: 30_522, context: 512, ..QWEN };

/// Every shape that has a name. The tiny ones are for tests.
pub(super) const SHAPES: &[Shape] = &[
    Shape {
        name: "qwen2.5-0.5b",
        hidden: 896,
        intermediate: 4864,
        layers: 24,
        heads: 14,
        kv_heads: 2,
        ..QWEN
    },
    Shape {
        name: "qwen2.5-1.5b",
        hidden: 1536,
        intermediate: 8960,
        layers: 28,
        heads: 12,
        kv_heads: 2,
        ..QWEN
    },
    Shape {
        name: "qwen2.5-7b",
        hidden: 3584,
        intermediate: 18_944,
        layers: 28,
        heads: 28,
        kv_heads: 4,
        vocabulary: 152_064,
        tied: false,
        ..QWEN
    },
    Shape {
        name: "bert-base",
        hidden: 768,
        intermediate: 3072,
        layers: 12,
        heads: 12,
        kv_heads: 12,
        ..BERT
    },
    Shape {
        name: "minilm-l6",
        hidden: 384,
        intermediate: 1536,
        layers: 6,
        heads: 12,
        kv_heads: 12,
        ..BERT
    },
    Shape {
        name: "colqwen2.5-3b",
        family: Family::ColQwen,
        hidden: 2048,
        intermediate: 11_008,
        layers: 36,
        heads: 16,
        kv_heads: 2,
        tower: Some(Tower { hidden: 1280, intermediate: 3420, depth: 32, heads: 16, every: 8 }),
        ..QWEN
    },
    Shape {
        name: "tiny-colqwen",
        family: Family::ColQwen,
        hidden: 128,
        intermediate: 256,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        vocabulary: 512,
        context: 1024,
        tower: Some(Tower { hidden: 64, intermediate: 96, depth: 2, heads: 2, every: 2 }),
        ..QWEN
    },
    Shape {
        name: "tiny-decoder",
        hidden: 128,
        intermediate: 256,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        vocabulary: 512,
        context: 256,
        ..QWEN
    },
    Shape {
        name: "tiny-encoder",
        hidden: 128,
        intermediate: 256,
        layers: 2,
        heads: 4,
        kv_heads: 4,
        vocabulary: 512,
        context: 128,
        ..BERT
    },
];

/// What stands at one place of a checkpoint's tree of names.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// `PLACE.weight: [rows, columns]`, the matrix of a linear map or an embedding.
    Matrix { place: String, rows: usize, columns: usize },
    /// `NAME: shape`, numbers of a matrix that is never quantized.
    Dense { name: String, shape: Vec<usize> },
    /// `NAME: [extent]`, all ones: the weight of a norm.
    Ones { name: String, extent: usize },
    /// `NAME: [extent]`, small numbers: a bias.
    Small { name: String, extent: usize },
}

impl Shape {
    /// The shape called `name`.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        SHAPES.iter().find(|shape| shape.name == name)
    }

    /// `config.json`, but for its quantization.
    pub(super) fn config(&self, dtype: &str) -> Value {
        match self.family {
            Family::ColQwen => {
                let mut config = Self { family: Family::Qwen2, ..*self }.config(dtype);
                config["architectures"] = json!(["ColQwen2_5"]);
                config["model_type"] = json!("qwen2_5_vl");
                // Those of the small tokenizer.
                for (name, token) in [
                    ("vision_start_token_id", 503),
                    ("vision_end_token_id", 504),
                    ("image_token_id", 505),
                    ("video_token_id", 510),
                    ("vision_token_id", 511),
                ] {
                    config[name] = json!(token);
                }
                // The parts of a head that turn with time, height and width: 2, 3 and 3 of 8.
                let eighth = self.hidden / self.heads / 2 / 8;
                config["rope_scaling"] =
                    json!({"type": "mrope", "mrope_section": [2 * eighth, 3 * eighth, 3 * eighth]});
                if let Some(Tower { hidden, intermediate, depth, heads, every }) = self.tower {
                    let whole: Vec<usize> = (1..=depth / every).map(|n| n * every - 1).collect();
                    config["vision_config"] = json!({
                        "depth": depth,
                        "fullatt_block_indexes": whole,
                        "hidden_act": "silu",
                        "hidden_size": hidden,
                        "in_chans": 3,
                        "intermediate_size": intermediate,
                        "num_heads": heads,
                        "out_hidden_size": self.hidden,
                        "patch_size": 14,
                        "spatial_merge_size": 2,
                        "spatial_patch_size": 14,
                        "temporal_patch_size": 2,
                        "tokens_per_second": 2,
                        "window_size": 112,
                    });
                }
                config
            }
            Family::Qwen2 => json!({
                "architectures": ["Qwen2ForCausalLM"],
                "attention_dropout": 0.0,
                // Those of the small tokenizer that goes with it.
                "bos_token_id": 500,
                "eos_token_id": 502,
                "hidden_act": "silu",
                "hidden_size": self.hidden,
                "initializer_range": 0.02,
                "intermediate_size": self.intermediate,
                "max_position_embeddings": self.context,
                "max_window_layers": self.layers,
                "model_type": "qwen2",
                "num_attention_heads": self.heads,
                "num_hidden_layers": self.layers,
                "num_key_value_heads": self.kv_heads,
                "rms_norm_eps": 1e-6,
                "rope_theta": 1_000_000.0,
                "sliding_window": self.context,
                "tie_word_embeddings": self.tied,
                "torch_dtype": dtype,
                "use_cache": true,
                "use_sliding_window": false,
                "vocab_size": self.vocabulary,
            }),
            Family::Bert => json!({
                "architectures": ["BertModel"],
                "attention_probs_dropout_prob": 0.1,
                "hidden_act": "gelu",
                "hidden_dropout_prob": 0.1,
                "hidden_size": self.hidden,
                "initializer_range": 0.02,
                "intermediate_size": self.intermediate,
                "layer_norm_eps": 1e-12,
                "max_position_embeddings": self.context,
                "model_type": "bert",
                "num_attention_heads": self.heads,
                "num_hidden_layers": self.layers,
                "pad_token_id": 0,
                "position_embedding_type": "absolute",
                "torch_dtype": dtype,
                "type_vocab_size": 2,
                "use_cache": true,
                "vocab_size": self.vocabulary,
            }),
        }
    }

    /// Every tensor of it, before quantization.
    pub(super) fn parts(&self) -> Vec<Part> {
        match self.family {
            Family::Qwen2 => self.decoder(),
            Family::Bert => self.encoder(),
            Family::ColQwen => {
                let mut parts = self.decoder();
                parts.extend(self.tower.iter().flat_map(|tower| tower.parts(self.hidden)));
                parts.extend(linear("custom_text_proj", PROJECTED, self.hidden));
                parts
            }
        }
    }

    fn decoder(&self) -> Vec<Part> {
        let hidden = self.hidden;
        let kv = hidden / self.heads * self.kv_heads;
        let ones = |name: String| Part::Ones { name, extent: hidden };
        let mut out = vec![
            matrix("model.embed_tokens", self.vocabulary, hidden),
            ones("model.norm.weight".to_owned()),
        ];
        if !self.tied {
            out.push(matrix("lm_head", self.vocabulary, hidden));
        }
        for layer in 0..self.layers {
            let at = |name: &str| format!("model.layers.{layer}.{name}");
            out.push(ones(at("input_layernorm.weight")));
            out.push(ones(at("post_attention_layernorm.weight")));
            for (name, rows) in [("q_proj", hidden), ("k_proj", kv), ("v_proj", kv)] {
                let place = at(&format!("self_attn.{name}"));
                out.push(Part::Small { name: format!("{place}.bias"), extent: rows });
                out.push(matrix(place, rows, hidden));
            }
            out.push(matrix(at("self_attn.o_proj"), hidden, hidden));
            out.push(matrix(at("mlp.gate_proj"), self.intermediate, hidden));
            out.push(matrix(at("mlp.up_proj"), self.intermediate, hidden));
            out.push(matrix(at("mlp.down_proj"), hidden, self.intermediate));
        }
        out
    }

    fn encoder(&self) -> Vec<Part> {
        let (hidden, wide) = (self.hidden, self.intermediate);
        let mut out = Vec::new();
        for (name, rows) in
            [("word", self.vocabulary), ("position", self.context), ("token_type", 2)]
        {
            out.push(matrix(format!("embeddings.{name}_embeddings"), rows, hidden));
        }
        let norm = |out: &mut Vec<Part>, place: String| {
            out.push(Part::Ones { name: format!("{place}.weight"), extent: hidden });
            out.push(Part::Small { name: format!("{place}.bias"), extent: hidden });
        };
        norm(&mut out, "embeddings.LayerNorm".to_owned());
        for layer in 0..self.layers {
            let at = |name: &str| format!("encoder.layer.{layer}.{name}");
            for (name, rows, columns) in [
                ("attention.self.query", hidden, hidden),
                ("attention.self.key", hidden, hidden),
                ("attention.self.value", hidden, hidden),
                ("attention.output.dense", hidden, hidden),
                ("intermediate.dense", wide, hidden),
                ("output.dense", hidden, wide),
            ] {
                out.push(Part::Small { name: at(&format!("{name}.bias")), extent: rows });
                out.push(matrix(at(name), rows, columns));
            }
            norm(&mut out, at("attention.output.LayerNorm"));
            norm(&mut out, at("output.LayerNorm"));
        }
        out
    }
}

impl Tower {
    /// What makes rows of `out` elements of patches.
    fn parts(&self, out: usize) -> Vec<Part> {
        let Self { hidden, intermediate, depth, .. } = *self;
        let patch = [&[hidden][..], &PATCH].concat();
        let mut parts =
            vec![Part::Dense { name: "visual.patch_embed.proj.weight".to_owned(), shape: patch }];
        let norm = |name: String| Part::Ones { name, extent: hidden };
        for block in 0..depth {
            let at = |name: &str| format!("visual.blocks.{block}.{name}");
            parts.extend([norm(at("norm1.weight")), norm(at("norm2.weight"))]);
            for (name, rows, columns) in [
                ("attn.qkv", 3 * hidden, hidden),
                ("attn.proj", hidden, hidden),
                ("mlp.gate_proj", intermediate, hidden),
                ("mlp.up_proj", intermediate, hidden),
                ("mlp.down_proj", hidden, intermediate),
            ] {
                parts.extend(linear(&at(name), rows, columns));
            }
        }
        // Four patches that lie together become a row.
        parts.push(norm("visual.merger.ln_q.weight".to_owned()));
        parts.extend(linear("visual.merger.mlp.0", 4 * hidden, 4 * hidden));
        parts.extend(linear("visual.merger.mlp.2", out, 4 * hidden));
        parts
    }
}

/// A linear map that is never quantized, with a bias.
fn linear(place: &str, rows: usize, columns: usize) -> [Part; 2] {
    [
        Part::Dense { name: format!("{place}.weight"), shape: vec![rows, columns] },
        Part::Small { name: format!("{place}.bias"), extent: rows },
    ]
}

fn matrix(place: impl Into<String>, rows: usize, columns: usize) -> Part {
    Part::Matrix { place: place.into(), rows, columns }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published counts: 494 million with a tied head, 7.6 thousand million without.
    #[test]
    fn shapes_have_the_size_of_what_they_are_named_after() {
        let total = |name: &str| {
            let parts = Shape::named(name).unwrap().parts();
            let count = |part: &Part| match part {
                Part::Matrix { rows, columns, .. } => rows * columns,
                Part::Dense { shape, .. } => shape.iter().product(),
                Part::Ones { extent, .. } | Part::Small { extent, .. } => *extent,
            };
            parts.iter().map(count).sum::<usize>()
        };
        assert_eq!(total("qwen2.5-0.5b"), 494_032_768);
        assert_eq!(total("qwen2.5-1.5b"), 1_543_714_304);
        assert_eq!(total("qwen2.5-7b"), 7_615_616_512);
        // The published Qwen2.5-VL-3B has 3,754,622,976 with its tied head; the projection comes on top.
        assert_eq!(total("colqwen2.5-3b"), 3_754_622_976 + 128 * 2049);
        // Without the pooler, which an embedding does not use.
        assert_eq!(total("bert-base"), 109_482_240 - 768 * 769);
    }
}
