//! `cargo xtask shape`: a checkpoint of a real shape with random weights, for measuring.
//!
//! Speed does not depend on what weights are, only on how many and how they are stored. Numbers
//! are spread like those of a trained model (`1 / sqrt(columns)`), so that activations stay
//! finite through any number of layers; what such a model says means nothing.

mod catalog;
mod numbers;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use checkpoint::{Dtype, Mode, Quantization, TensorHeader, write_streamed};
use serde_json::{Value, json};

use catalog::{Family, Part, SHAPES, Shape};
use numbers::Content;

/// What is to be made.
#[derive(Debug)]
struct Options {
    shape: &'static Shape,
    folder: PathBuf,
    /// How matrices are stored; `None` leaves them dense.
    quantization: Option<Quantization>,
    /// Dense matrices, norms, biases, and the scales of affine codes.
    dtype: Dtype,
}

/// Makes the checkpoint that `arguments` describe.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<bool> {
    let options = Options::parse(arguments)?;
    make(root, &options)?;
    println!("{} in {}", options.shape.name, options.folder.display());
    Ok(true)
}

/// Makes the shape called `name` in `folder`, stored in the usual way.
pub(crate) fn usual(root: &Path, name: &str, folder: &Path) -> Result<()> {
    let shape = Shape::named(name).with_context(|| format!("no shape `{name}`"))?;
    let quantization = Some(Mode::Affine.default_parameters());
    make(root, &Options { shape, folder: folder.to_owned(), quantization, dtype: Dtype::BF16 })
}

impl Options {
    fn parse(arguments: &[&str]) -> Result<Self> {
        let names = || SHAPES.iter().map(|shape| shape.name).collect::<Vec<_>>().join(", ");
        let [name, folder, flags @ ..] = arguments else {
            bail!("`shape` needs a name ({}) and a folder", names());
        };
        let shape = Shape::named(name)
            .with_context(|| format!("no shape `{name}`; there are {}", names()))?;
        let (mut mode, mut bits, mut group, mut dtype) =
            (Some(Mode::Affine), None, None, Dtype::BF16);
        let (pairs, rest) = flags.as_chunks::<2>();
        ensure!(rest.is_empty(), "`{}` needs a value", rest.concat());
        for &[flag, value] in pairs {
            let number = || value.parse::<u64>().with_context(|| format!("{flag} {value}"));
            match flag {
                "--bits" => bits = Some(number()?),
                "--group" => group = Some(number()?),
                "--mode" if value == "dense" => mode = None,
                "--mode" => {
                    let found = Mode::ALL.into_iter().find(|mode| mode.name() == value);
                    mode = Some(found.with_context(|| format!("no mode `{value}`"))?);
                }
                "--dtype" => {
                    let found = Dtype::from_name(&value.to_uppercase());
                    dtype = found
                        .filter(|dtype| dtype.is_float())
                        .with_context(|| format!("no float `{value}`; there are f32, f16, bf16"))?;
                }
                _ => bail!("unknown option `{flag}`"),
            }
        }
        let quantization = match mode {
            None => {
                ensure!(bits.is_none() && group.is_none(), "a dense model has no bits and groups");
                None
            }
            Some(mode) => {
                let usual = mode.default_parameters();
                let bits = bits.unwrap_or(u64::from(usual.bits));
                let group = group.unwrap_or(usual.group_size as u64);
                let made = Quantization::new(mode, bits, group);
                Some(
                    made.with_context(|| {
                        format!("{mode} has no {bits} bits in groups of {group}")
                    })?,
                )
            }
        };
        Ok(Self { shape, folder: folder.into(), quantization, dtype })
    }
}

/// A tensor to be written.
#[derive(Debug)]
struct Tensor {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    content: Content,
}

fn make(root: &Path, options: &Options) -> Result<()> {
    let Options { shape, folder, .. } = options;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let names = [(Dtype::F32, "float32"), (Dtype::F16, "float16"), (Dtype::BF16, "bfloat16")];
    let dtype = names.iter().find(|(dtype, _)| *dtype == options.dtype).map(|(_, name)| *name);
    let mut config = shape.config(dtype.context("a model is stored in floats")?);
    if let Some(Quantization { mode, bits, group_size }) = options.quantization {
        let said = json!({"group_size": group_size, "bits": bits, "mode": mode.name()});
        config["quantization"] = said.clone();
        config["quantization_config"] = said;
    }
    put(folder, "config.json", &config)?;
    side_files(root, shape, folder)?;
    let tensors: Vec<_> = shape.parts().iter().flat_map(|part| stored(part, options)).collect();
    let headers: Vec<_> = tensors
        .iter()
        .map(|Tensor { name, dtype, shape, .. }| TensorHeader { name, dtype: *dtype, shape })
        .collect();
    let metadata = [("format".to_owned(), "mlx".to_owned())].into();
    write_streamed(&folder.join("model.safetensors"), &headers, &metadata, |index, out| {
        let Tensor { name, dtype, shape, content } = &tensors[index];
        numbers::put(out, name, *dtype, shape.iter().product(), content)
    })?;
    Ok(())
}

/// The tensors that stand for `part`.
fn stored(part: &Part, options: &Options) -> Vec<Tensor> {
    let vector = |name: &String, extent: usize, content| Tensor {
        name: name.clone(),
        dtype: options.dtype,
        shape: vec![extent],
        content,
    };
    let (place, rows, columns) = match part {
        Part::Ones { name, extent } => return vec![vector(name, *extent, Content::Ones)],
        Part::Small { name, extent } => {
            return vec![vector(name, *extent, Content::Even { limit: 0.02 })];
        }
        Part::Dense { name, shape } => {
            let columns: usize = shape.iter().skip(1).product();
            let limit = (3.0 / columns as f32).sqrt();
            let (name, shape) = (name.clone(), shape.clone());
            let content = Content::Even { limit };
            return vec![Tensor { name, dtype: options.dtype, shape, content }];
        }
        Part::Matrix { place, rows, columns } => (place, *rows, *columns),
    };
    let spread = (columns as f32).sqrt().recip();
    let at = |name: &str, dtype, shape: [usize; 2], content| Tensor {
        name: format!("{place}.{name}"),
        dtype,
        shape: shape.to_vec(),
        content,
    };
    // MLX leaves dense what does not divide into groups.
    let quantized = options.quantization.and_then(|q| Some((q, q.stored_shapes(rows, columns)?)));
    let Some((quantization, (words, groups))) = quantized else {
        let limit = spread * 3.0_f32.sqrt();
        return vec![at("weight", options.dtype, [rows, columns], Content::Even { limit })];
    };
    let Quantization { mode, bits, .. } = quantization;
    let scales = Content::Scales { quantization, spread };
    let mut out = vec![at("weight", Dtype::U32, words, Content::Codes(mode))];
    if mode == Mode::Affine {
        let biases = Content::Biases { bits, spread, scales: format!("{place}.scales") };
        out.push(at("scales", options.dtype, groups, scales));
        out.push(at("biases", options.dtype, groups, biases));
    } else {
        out.push(at("scales", Dtype::U8, groups, scales));
    }
    out
}

/// A small tokenizer, from the fixture of the same family, and what else the family has. Its
/// vocabulary is smaller than the configuration's: tokens beyond it have no text.
fn side_files(root: &Path, shape: &Shape, folder: &Path) -> Result<()> {
    let (fixture, files): (_, &[_]) = match shape.family {
        Family::Qwen2 => ("models/qwen2", &["tokenizer.json", "tokenizer_config.json"]),
        Family::Bert => {
            ("models/bert", &["tokenizer.json", "tokenizer_config.json", "modules.json"])
        }
        Family::ColQwen => (
            "vision/colqwen2_5",
            &["tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"],
        ),
    };
    let fixture = root.join("fixtures").join(fixture);
    for file in files {
        let (from, to) = (fixture.join(file), folder.join(file));
        fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    if shape.family == Family::Bert {
        put(
            folder,
            "sentence_bert_config.json",
            &json!({"max_seq_length": shape.context, "do_lower_case": false}),
        )?;
        let pooling = folder.join("1_Pooling");
        fs::create_dir_all(&pooling)
            .with_context(|| format!("cannot make {}", pooling.display()))?;
        let how = json!({
            "word_embedding_dimension": shape.hidden,
            "pooling_mode_cls_token": false,
            "pooling_mode_mean_tokens": true,
            "pooling_mode_max_tokens": false,
            "pooling_mode_mean_sqrt_len_tokens": false,
        });
        put(&pooling, "config.json", &how)?;
    }
    Ok(())
}

fn put(folder: &Path, file: &str, value: &Value) -> Result<()> {
    let path = folder.join(file);
    let text = serde_json::to_string_pretty(value)? + "\n";
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests;
