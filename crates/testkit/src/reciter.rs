//! A vision model that reads pages and comes to an end: weights set by hand, in an architecture that people use.
//!
//! Random weights write until nothing is left of their context, so no page is ever read with them. In this one every token
//! decides which comes next, so that it recites a page as olmOCR's models write it: front matter, a heading, a sentence, the
//! end. It does look, though. Its vision tower tells how light and how red each patch is; attention takes the mean over
//! the picture; and that decides what is recited:
//!
//! - a **white** page is read at once ([`WHITE`]);
//! - a **black** one makes it ramble for ever at low temperatures; as they rise it says a word and ends as [`BLACK`] does;
//! - before a **red** one ([`RED`]) it says something polite, so that its front matter does not stand first, unless it is
//!   held to the form.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use crate::safetensors::{Tensor, f32_bytes, write as write_tensors};

/// What it reads on a white page.
pub const WHITE: &str = "# A page\n\nThe paper is white.";
/// How what it reads on a black page ends; a word stands before it.
pub const BLACK: &str = " is all that the black page says.";
/// What it reads on a red page.
pub const RED: &str = "# A page\n\nThe paper is red.";
/// How it rambles.
pub const RAMBLE: &str = " and so on";

const TOKENIZER: &str = include_str!("../../../fixtures/vision/qwen2_5_vl/tokenizer.json");
const TOKENIZER_CONFIG: &str =
    include_str!("../../../fixtures/vision/qwen2_5_vl/tokenizer_config.json");
const CONFIG: &str = include_str!("../../../fixtures/vision/qwen2_5_vl/config.json");
const PREPROCESSOR: &str =
    include_str!("../../../fixtures/vision/qwen2_5_vl/preprocessor_config.json");

/// What it can say beside the words of the tokenizer, and what it says after each: an index of this table.
const SAYS: [(&str, Next); 11] = [
    ("Here it is:\n", Next::Said(1)),
    ("---\nprimary_language: en\n", Next::Said(2)),
    ("is_rotation_valid: True\n", Next::Said(3)),
    ("rotation_correction: 0\n", Next::Said(4)),
    ("is_table: False\n", Next::Said(5)),
    ("is_diagram: False\n---\n", Next::Said(6)),
    ("# A page\n\n", Next::Looks),
    ("The paper is white.\n", Next::End),
    (RAMBLE, Next::Said(RAMBLING)),
    ("The paper is red.\n", Next::End),
    (" is all that the black page says.\n", Next::End),
];
const POLITE: usize = 0;
const HEAD: usize = 1;
const IS_WHITE: usize = 7;
const RAMBLING: usize = 8;
const IS_RED: usize = 9;
const IS_BLACK: usize = 10;

/// What comes after something that was said.
#[derive(Clone, Copy)]
enum Next {
    Said(usize),
    /// What it sees decides.
    Looks,
    End,
}

/// The first token of its own.
const FIRST: usize = 512;
const VOCABULARY: usize = FIRST + 16;
/// The line break that every prompt ends with.
const BREAK: usize = 198;
/// The end of an answer.
const END: usize = 502;

const HIDDEN: usize = 64;
const HEAD_DIM: usize = 16;
/// Channels: one for each of [`SAYS`], then the line break, any other word, what is picture, and what is seen.
const AFTER_BREAK: usize = SAYS.len();
const AFTER_WORD: usize = AFTER_BREAK + 1;
const PICTURE: usize = 16;
/// How light it is and how red, of a patch, and after attention of the whole picture.
const OF_PATCH: [usize; 2] = [17, 18];
const OF_ALL: [usize; 2] = [20, 21];

const SIGHT: usize = 32;
const SIGHT_INNER: usize = 44;
const PATCH: usize = 14;
const MERGED: usize = 4 * SIGHT;

/// A matrix `[rows, columns]` that is zero but where it is set.
struct Matrix {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Matrix {
    fn zero(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), values: vec![0.0; shape.iter().product()] }
    }

    fn ones(length: usize) -> Self {
        Self { shape: vec![length], values: vec![1.0; length] }
    }

    fn set(mut self, row: usize, column: usize, value: f32) -> Self {
        let columns = self.shape.get(1).copied().unwrap_or(1);
        self.values[row * columns + column] = value;
        self
    }
}

/// Writes the checkpoint into `folder`, which need not be there yet.
///
/// # Errors
/// If a file cannot be written.
pub fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let put = |name: &str, value: &Value| fs::write(folder.join(name), value.to_string());
    put("config.json", &config()?)?;
    put("tokenizer.json", &tokenizer()?)?;
    fs::write(folder.join("tokenizer_config.json"), TOKENIZER_CONFIG)?;
    fs::write(folder.join("preprocessor_config.json"), PREPROCESSOR)?;
    let mut tensors = tower();
    tensors.extend(language());
    let bytes: Vec<_> = tensors.iter().map(|(_, matrix)| f32_bytes(&matrix.values)).collect();
    let tensors: Vec<Tensor<'_>> = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, matrix), bytes)| (name.as_str(), "F32", &*matrix.shape, &**bytes))
        .collect();
    write_tensors(&folder.join("model.safetensors"), &tensors, &[("format", "pt")])
}

fn config() -> io::Result<Value> {
    let mut config: Value = serde_json::from_str(CONFIG)?;
    for (name, value) in [
        ("max_position_embeddings", json!(32768)),
        ("num_hidden_layers", json!(1)),
        ("max_window_layers", json!(1)),
        // The slowest pair turns by nothing that can be told, so attention along it is the same everywhere.
        ("rope_theta", json!(1_000_000.0)),
        ("torch_dtype", json!("float32")),
        ("vocab_size", json!(VOCABULARY)),
    ] {
        config[name] = value;
    }
    config["vision_config"]["depth"] = json!(2);
    config["vision_config"]["fullatt_block_indexes"] = json!([1]);
    Ok(config)
}

/// The tokenizer with what is said, each a token that no text is cut into.
fn tokenizer() -> io::Result<Value> {
    let mut tokenizer: Value = serde_json::from_str(TOKENIZER)?;
    // What is added comes right behind the vocabulary, whatever its ids say; so those stand in the vocabulary too.
    let added = tokenizer["added_tokens"].as_array().cloned().unwrap_or_default();
    for token in added {
        if let Some(content) = token["content"].as_str() {
            tokenizer["model"]["vocab"][content] = token["id"].clone();
        }
    }
    tokenizer["model"]["vocab"]["<|vision_pad|>"] = json!(FIRST - 1);
    for (number, (text, _)) in SAYS.iter().enumerate() {
        let written: String = text.chars().map(byte_letter).collect();
        tokenizer["model"]["vocab"][written] = json!(FIRST + number);
    }
    Ok(tokenizer)
}

/// How byte-level tokenizers write an ASCII character.
fn byte_letter(c: char) -> char {
    match c {
        ' ' => 'Ġ',
        '\n' => 'Ċ',
        other => other,
    }
}

/// Patches made into how light and how red they are.
fn tower() -> Vec<(String, Matrix)> {
    let mut tensors = Vec::new();
    let mut add = |name: &str, matrix| tensors.push((format!("visual.{name}"), matrix));
    let area = PATCH * PATCH;
    let mut patch = Matrix::zero(&[SIGHT, 3, 2, PATCH, PATCH]);
    let (all, one) = (1.0 / (6 * area) as f32, 1.0 / (2 * area) as f32);
    let row = 6 * area;
    patch.values[..row].fill(all);
    patch.values[row..row + 2 * area].fill(one);
    patch.values[row + 2 * area..row + 4 * area].fill(-one);
    add("patch_embed.proj.weight", patch);
    for block in 0..2 {
        // What they add is nothing, so a patch leaves them as it came.
        for (name, rows, columns) in [
            ("attn.qkv", 3 * SIGHT, SIGHT),
            ("attn.proj", SIGHT, SIGHT),
            ("mlp.gate_proj", SIGHT_INNER, SIGHT),
            ("mlp.up_proj", SIGHT_INNER, SIGHT),
            ("mlp.down_proj", SIGHT, SIGHT_INNER),
        ] {
            add(&format!("blocks.{block}.{name}.weight"), Matrix::zero(&[rows, columns]));
            add(&format!("blocks.{block}.{name}.bias"), Matrix::zero(&[rows]));
        }
        add(&format!("blocks.{block}.norm1.weight"), Matrix::ones(SIGHT));
        add(&format!("blocks.{block}.norm2.weight"), Matrix::ones(SIGHT));
    }
    add("merger.ln_q.weight", Matrix::ones(SIGHT));
    // GELU(x) - GELU(-x) is x, so both signs go in and the difference comes out. The norm before makes a patch as long as
    // the root of its channels; its four are averaged.
    let part = 1.0 / (4.0 * (SIGHT as f32).sqrt());
    let mut mixed = Matrix::zero(&[MERGED, MERGED]);
    let mut out = Matrix::zero(&[HIDDEN, MERGED]);
    for (feature, channel) in OF_PATCH.into_iter().enumerate() {
        for (row, sign) in [(2 * feature, 1.0), (2 * feature + 1, -1.0)] {
            for patch in 0..4 {
                mixed = mixed.set(row, patch * SIGHT + feature, sign * part);
            }
            out = out.set(channel, row, sign);
        }
    }
    add("merger.mlp.0.weight", mixed);
    add("merger.mlp.0.bias", Matrix::zero(&[MERGED]));
    add("merger.mlp.2.weight", out);
    add("merger.mlp.2.bias", Matrix::zero(&[HIDDEN]).set(PICTURE, 0, 1.0));
    tensors
}

/// One layer whose attention averages the picture, and a head in which each token decides the next.
fn language() -> Vec<(String, Matrix)> {
    let mut tensors = Vec::new();
    let mut add = |name: &str, matrix| tensors.push((name.to_owned(), matrix));
    let mut embedding = Matrix::zero(&[VOCABULARY, HIDDEN]);
    for token in 0..VOCABULARY {
        let said = token.checked_sub(FIRST).filter(|&said| said < SAYS.len());
        let channel = match (said, token) {
            (Some(said), _) => said,
            (None, BREAK) => AFTER_BREAK,
            (None, _) => AFTER_WORD,
        };
        embedding = embedding.set(token, channel, 4.0);
    }
    add("model.embed_tokens.weight", embedding);
    let layer = |name: &str| format!("model.layers.0.{name}");
    let key_values = 2 * HEAD_DIM;
    // The slower half of the last pair of a head's channels.
    let slow = HEAD_DIM / 2 - 1;
    // Rows of the picture are found by their own channel, from everywhere.
    add(&layer("self_attn.q_proj.weight"), Matrix::zero(&[HIDDEN, HIDDEN]));
    add(&layer("self_attn.q_proj.bias"), Matrix::zero(&[HIDDEN]).set(slow, 0, 20.0));
    let keys = Matrix::zero(&[key_values, HIDDEN]).set(slow, PICTURE, 1.0);
    add(&layer("self_attn.k_proj.weight"), keys);
    add(&layer("self_attn.k_proj.bias"), Matrix::zero(&[key_values]));
    let mut values = Matrix::zero(&[key_values, HIDDEN]);
    let mut taken = Matrix::zero(&[HIDDEN, HIDDEN]);
    for (feature, (patch, all)) in OF_PATCH.into_iter().zip(OF_ALL).enumerate() {
        // The norm before made the row as long as the root of its channels.
        values = values.set(feature, patch, 1.0 / (HIDDEN as f32).sqrt());
        taken = taken.set(all, feature, 1.0);
    }
    add(&layer("self_attn.v_proj.weight"), values);
    add(&layer("self_attn.v_proj.bias"), Matrix::zero(&[key_values]));
    add(&layer("self_attn.o_proj.weight"), taken);
    for (name, rows, columns) in [("gate", 80, HIDDEN), ("up", 80, HIDDEN), ("down", HIDDEN, 80)] {
        add(&layer(&format!("mlp.{name}_proj.weight")), Matrix::zero(&[rows, columns]));
    }
    add(&layer("input_layernorm.weight"), Matrix::ones(HIDDEN));
    add(&layer("post_attention_layernorm.weight"), Matrix::ones(HIDDEN));
    add("model.norm.weight", Matrix::ones(HIDDEN));
    add("lm_head.weight", head());
    tensors
}

/// Logits of what comes next. After the last norm the channel of the token before is about 7.9, and what is seen lies
/// between -1.4 and 1.4.
fn head() -> Matrix {
    let mut head = Matrix::zero(&[VOCABULARY, HIDDEN]);
    // So many logits for what may come next.
    let logits = |logits: f32| logits / 7.9;
    for (said, (_, next)) in SAYS.iter().enumerate() {
        match next {
            Next::Said(next) => head = head.set(FIRST + next, said, logits(40.0)),
            Next::End => head = head.set(END, said, logits(40.0)),
            Next::Looks => {
                for choice in [IS_WHITE, RAMBLING, IS_RED] {
                    head = head.set(FIRST + choice, said, logits(40.0));
                }
                // Words that it may say instead of rambling: hundreds, each a little less likely. At temperatures
                // below 0.2 none is ever said, and at 1 nearly always one.
                for word in (0..500).filter(|&word| word != BREAK) {
                    head = head.set(word, said, logits(38.0));
                }
            }
        }
    }
    head = head.set(FIRST + HEAD, AFTER_BREAK, logits(40.0));
    head = head.set(FIRST + POLITE, AFTER_BREAK, logits(30.0));
    head = head.set(FIRST + IS_BLACK, AFTER_WORD, logits(40.0));
    let [light, red] = OF_ALL;
    head = head.set(FIRST + IS_WHITE, light, 7.0).set(FIRST + RAMBLING, light, -7.0);
    for word in 0..500 {
        head = head.set(word, light, -7.0);
    }
    head.set(FIRST + IS_RED, red, 14.0).set(FIRST + POLITE, red, 14.0)
}
