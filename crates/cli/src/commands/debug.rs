//! `folio debug`: numbers and tokens for whoever compares us with a reference.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use manager::Special;
use manager::runtime::Error;

use crate::args::Compute;
use crate::report::Result;
use crate::{models, output};

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
}

#[derive(Args, Debug)]
struct Logits {
    /// A folder, a name that `folio list` shows, or ORG/NAME of the hub, which is pulled first
    model: String,
    /// The ids of the prompt: 1,2,3
    #[arg(long, value_name = "IDS", value_delimiter = ',', required = true)]
    tokens: Vec<u32>,
    /// Where to write; an embedding model's is `last_hidden_state` instead
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Add every named activation on the way
    #[arg(long)]
    taps: bool,
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
            What::Logits(Logits { model, tokens, out, taps, compute }) => {
                let model = models::load(&model, compute)?;
                let reply = model.forward(&tokens, taps)?;
                reply.save(&out)?;
                let named = reply.taps.len();
                eprintln!(
                    "{}: {} [{}, {}] and {named} activations",
                    out.display(),
                    reply.name,
                    tokens.len(),
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
        }
        Ok(ExitCode::SUCCESS)
    }
}
