//! `folio debug`: numbers and tokens for whoever compares us with a reference.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use manager::runtime::{Comparison, EmbedOptions, Error, Kinds, Prompt};
use manager::{Precision, RenderOptions, Special};
use serde_json::json;

use crate::args::{Adapted, Compute, Kept};
use crate::commands::run::{can_show, shown};
use crate::progress::counting;
use crate::report::{Problem, Result};
use crate::{material, models, output};

/// Look inside a model, to compare it with a reference.
#[derive(Args, Debug)]
pub(crate) struct Debug {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write `logits` (f32, [tokens, vocabulary]) to a safetensors file
    Logits(Logits),
    /// Print the ids of a text's tokens
    Tokens(Tokens),
    /// Print all that an embedding model makes of texts: vectors, weights and vectors of tokens
    Embed(Embed),
    /// Measure how well a model foretells texts, and what the fast kernels cost
    Perplexity(Perplexity),
}

#[derive(Args, Debug)]
struct Perplexity {
    /// A folder, a name that `folio list` shows, or ORG/NAME of the hub, which is pulled first
    model: String,
    /// Texts to foretell, in UTF-8
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Tokens that are foretold from what stands before them in the same window
    #[arg(long, value_name = "N", default_value_t = 512)]
    context: usize,
    /// Compute and keep everything in 32-bit floats as well, and compare
    #[arg(long)]
    compare: bool,
    /// Answer with one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    kept: Kept,
    #[command(flatten)]
    compute: Compute,
}

#[derive(Args, Debug)]
struct Embed {
    /// A folder, a name that `folio list` shows, or ORG/NAME of the hub, which is pulled first
    model: String,
    /// The texts; each gives a JSON object on a line. For a model that finds pages they are queries
    #[arg(required_unless_present = "image")]
    text: Vec<String>,
    /// An image, for a model that finds pages (may be given several times)
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
    /// What to make: a vector of the text (dense), weights of its tokens (sparse), vectors of its tokens (multi);
    /// several, with commas, in one pass
    #[arg(long, value_name = "KINDS", value_enum, value_delimiter = ',', default_value = "dense")]
    kind: Vec<Kind>,
    /// Put one of the model's own prompts before each text, by name, such as `query`
    #[arg(long, value_name = "NAME", visible_alias = "prompt-name", requires = "text")]
    prompt: Option<String>,
    /// Keep so many elements of the vector of a text
    #[arg(long, value_name = "N", requires = "text")]
    dimensions: Option<usize>,
    #[command(flatten)]
    adapted: Adapted,
    #[command(flatten)]
    compute: Compute,
}

/// What can be made of a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Kind {
    Dense,
    Sparse,
    Multi,
}

#[derive(Args, Debug)]
struct Logits {
    /// A folder, a name that `folio list` shows, or ORG/NAME of the hub, which is pulled first
    model: String,
    /// The ids of the prompt: 1,2,3
    #[arg(long, value_name = "IDS", value_delimiter = ',', required_unless_present = "prompt")]
    tokens: Vec<u32>,
    /// The prompt as words, which the model's chat template surrounds
    #[arg(long, value_name = "TEXT", conflicts_with = "tokens")]
    prompt: Option<String>,
    /// An image before the words, for a model that sees (may be given several times)
    #[arg(long, value_name = "FILE", requires = "prompt")]
    image: Vec<PathBuf>,
    /// Where to write; an embedding model's is `last_hidden_state` instead
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Add every named activation on the way
    #[arg(long)]
    taps: bool,
    #[command(flatten)]
    adapted: Adapted,
    #[command(flatten)]
    compute: Compute,
}

#[derive(Args, Debug)]
struct Tokens {
    /// A folder, a name that `folio list` shows, or ORG/NAME of the hub, which is pulled first
    model: String,
    /// The text
    text: String,
    /// Leave out the tokens that the model puts around a text
    #[arg(long)]
    bare: bool,
    /// Read special tokens in the text as letters
    #[arg(long)]
    literal: bool,
    /// Print one `id<TAB>token` on a line
    #[arg(long)]
    names: bool,
}

impl Debug {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.what {
            What::Logits(Logits { model, tokens, prompt, image, out, taps, adapted, compute }) => {
                let images = material::images(&image)?;
                let model = models::load_adapted(&model, compute, Kept::default(), &adapted)?;
                can_show(&model, &images)?;
                let reply = match prompt {
                    None => model.forward(&tokens, taps)?,
                    Some(words) if model.has_template() => {
                        let messages = vec![shown(images, words)];
                        let options = Box::new(RenderOptions::answer());
                        model.forward_prompt(&Prompt::Chat(messages, options), taps)?
                    }
                    Some(words) => model.forward_prompt(&Prompt::Text(words), taps)?,
                };
                reply.save(&out)?;
                let named = reply.taps.len();
                eprintln!(
                    "{}: {} [{}, {}] and {named} activations",
                    out.display(),
                    reply.name,
                    reply.rows.len() / reply.width.max(1),
                    reply.width,
                );
            }
            What::Tokens(Tokens { model, text, bare, literal, names }) => {
                let special = match (bare, literal) {
                    (false, false) => Special::Add,
                    (true, false) => Special::Omit,
                    (false, true) => Special::AddLiteral,
                    (true, true) => Special::OmitLiteral,
                };
                let path = models::locate(&model)?;
                let tokenizer = manager::runtime::tokenizer(&path)?;
                let fail = |source| Error::Text { path: path.clone(), source };
                let ids = tokenizer.encode(&text, special).map_err(fail)?;
                if names {
                    for id in ids {
                        let token = tokenizer.token(id).unwrap_or_default();
                        output::line(&format!("{id}\t{token}"))?;
                    }
                } else {
                    let ids: Vec<_> = ids.iter().map(u32::to_string).collect();
                    output::line(&ids.join(","))?;
                }
            }
            What::Embed(embed) => embed.run()?,
            What::Perplexity(perplexity) => perplexity.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Embed {
    fn run(self) -> Result<()> {
        let Self { model, text, image, kind, prompt, dimensions, adapted, compute } = self;
        let has = |wanted| kind.contains(&wanted);
        let kinds =
            Kinds { dense: has(Kind::Dense), sparse: has(Kind::Sparse), multi: has(Kind::Multi) };
        let images = material::images(&image)?;
        if !image.is_empty() && kinds != (Kinds { dense: false, sparse: false, multi: true }) {
            let reason = "images become vectors of tokens only: add `--kind multi`".to_owned();
            return Err(Problem::Flag { flag: "--image", reason }.into());
        }
        let model = models::load_adapted(&model, compute, Kept::default(), &adapted)?;
        if !images.is_empty() {
            for (path, made) in image.iter().zip(model.embed_images(&images)?) {
                let line = json!({"image": path, "tokens": made.tokens, "multi": made.multi});
                output::line(&line.to_string())?;
            }
        }
        let options = EmbedOptions { prompt, truncate: false, dimensions, kinds };
        for (text, made) in text.iter().zip(model.embed(&text, &options)?) {
            let mut line = json!({"text": text, "tokens": made.tokens});
            if kinds.dense {
                line["dense"] = json!(made.vector);
            }
            if kinds.sparse {
                let named = made.sparse.iter().map(|(&id, weight)| {
                    let token = model.tokenizer().token(id).unwrap_or_default();
                    json!({"id": id, "token": token, "weight": weight})
                });
                line["sparse"] = named.collect();
            }
            if kinds.multi {
                line["multi"] = json!(made.multi);
            }
            output::line(&line.to_string())?;
        }
        Ok(())
    }
}

impl Perplexity {
    fn run(self) -> Result<()> {
        let Self { model, files, context, compare, json, kept, compute } = self;
        if compare && compute.precision() == Precision::Exact && kept.codes().is_none() {
            let reason = "exact numbers would be compared with themselves".to_owned();
            return Err(Problem::Flag { flag: "--compare", reason }.into());
        }
        let texts: Vec<_> = files
            .iter()
            .map(|file| {
                let read = std::fs::read_to_string(file);
                read.map_err(|error| Problem::io("read", file, error))
            })
            .collect::<Result<_>>()?;
        let judged = models::load_keeping(&model, compute, kept)?;
        let exact = Compute { exact: true, weights: None, ..compute };
        let reference = if compare { Some(models::load(&model, exact)?) } else { None };
        let windows: Vec<_> = texts
            .iter()
            .map(|text| judged.windows(text, context))
            .collect::<std::result::Result<_, _>>()?;
        let windows = windows.concat();
        let bar = counting(true, windows.len(), "windows");
        let mut all = Comparison::default();
        for window in &windows {
            match &reference {
                Some(reference) => all += judged.compare(reference, window)?,
                None => all.score += judged.score(window)?,
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        let Comparison { score, reference: truth, divergence, worst, agreed } = all;
        let tokens = score.tokens;
        if !score.nll.is_finite() || (compare && !(truth.nll + divergence).is_finite()) {
            return Err(Problem::NotANumber { model }.into());
        }
        let share = |n: usize| n as f64 / tokens as f64;
        let mean = divergence / tokens as f64;
        if json {
            let mut object = json!({"tokens": tokens, "perplexity": score.perplexity()});
            if compare {
                object["exact"] = json!({
                    "perplexity": truth.perplexity(),
                    "kl_divergence": mean,
                    "largest_kl_divergence": worst,
                    "same_likeliest": share(agreed),
                });
            }
            return output::line(&object.to_string());
        }
        output::line(&format!("perplexity {:.4} over {tokens} tokens", score.perplexity()))?;
        if compare {
            output::line(&format!(
                "exact      {:.4} ({:+.3} %)\nKL divergence from exact: {mean:.6} nats a token, {worst:.4} at most\n\
                 the same token is likeliest at {:.2} % of places",
                truth.perplexity(),
                (score.perplexity() / truth.perplexity() - 1.0) * 100.0,
                share(agreed) * 100.0,
            ))?;
        }
        Ok(())
    }
}
