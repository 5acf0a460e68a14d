//! `folio embed`: one JSON line with a vector for each text.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use manager::runtime::{EmbedOptions, Kinds};
use serde_json::json;

use crate::args::Compute;
use crate::progress::counting;
use crate::report::{Problem, Result};
use crate::{models, output};

/// Make vectors of texts.
///
/// Prints a JSON object on a line for each text, in order: `index`, `text`, `tokens`, `embedding`,
/// and `truncated` where a text was cut.
#[derive(Args, Debug)]
pub(crate) struct Embed {
    /// A folder, a name that `folio list` shows, or ORG/NAME of the hub, which is pulled first
    model: String,
    /// The texts; standard input's lines, if there are none
    text: Vec<String>,
    /// Take one text from each line of this file (`-` is standard input)
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// Put one of the model's own prompts before each text, by name, such as `query`
    #[arg(long, value_name = "NAME", visible_alias = "prompt-name")]
    prompt: Option<String>,
    /// Keep so many elements of each vector, for models that were trained so that these say most
    #[arg(long, value_name = "N")]
    dimensions: Option<usize>,
    /// Cut texts that are too long for the model, instead of failing
    #[arg(long)]
    truncate: bool,
    #[command(flatten)]
    compute: Compute,
}

/// Texts that are computed before the first of them is printed.
const AT_ONCE: usize = 256;

impl Embed {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let texts = self.texts()?;
        let model = models::load(&self.model, self.compute)?;
        let options = EmbedOptions {
            prompt: self.prompt.clone(),
            truncate: self.truncate,
            dimensions: self.dimensions,
            kinds: Kinds::default(),
        };
        // Where the vectors go to the terminal as well, a bar would be in their way.
        let bar =
            counting(texts.len() > AT_ONCE && !io::stdout().is_terminal(), texts.len(), "texts");
        for (batch, texts) in texts.chunks(AT_ONCE).enumerate() {
            for (i, embedding) in model.embed(texts, &options)?.into_iter().enumerate() {
                let mut line = json!({
                    "index": batch * AT_ONCE + i,
                    "text": texts[i],
                    "tokens": embedding.tokens,
                    "embedding": embedding.vector,
                });
                if embedding.truncated {
                    line["truncated"] = json!(true);
                }
                output::line(&line.to_string())?;
            }
            bar.inc(texts.len() as u64);
        }
        bar.finish_and_clear();
        Ok(ExitCode::SUCCESS)
    }

    fn texts(&self) -> Result<Vec<String>> {
        if !self.text.is_empty() {
            return Ok(self.text.clone());
        }
        let text = match &self.file {
            Some(path) if path.as_os_str() != "-" => {
                std::fs::read_to_string(path).map_err(|error| Problem::io("read", path, error))?
            }
            None if io::stdin().is_terminal() => {
                let hint = "write texts after the model's name, or pipe lines in";
                return Err(Problem::Nothing { hint }.into());
            }
            _ => {
                let mut text = String::new();
                let read = io::stdin().read_to_string(&mut text);
                read.map_err(|error| Problem::io("read", "standard input".as_ref(), error))?;
                text
            }
        };
        let texts: Vec<_> = text.lines().map(str::to_owned).collect();
        if texts.is_empty() {
            return Err(Problem::Nothing { hint: "the file has no lines" }.into());
        }
        Ok(texts)
    }
}
