//! `folio rerank`: texts in the order in which they answer a question.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use manager::runtime::{Relevance, RerankOptions};
use serde_json::json;

use crate::args::Compute;
use crate::progress::counting;
use crate::report::{Problem, Result};
use crate::{material, models, output};

/// Put texts in the order in which they answer a question.
///
/// A reranker reads the question together with each text, which finds more than comparing vectors does, and takes longer.
/// Prints a score and a name on a line for each text, best first.
#[derive(Args, Debug)]
pub(crate) struct Rerank {
    /// A folder, a name that `folio list` shows, or ORG/NAME of the hub, which is pulled first
    model: String,
    /// The question
    query: String,
    /// Texts or PDFs, each a document; with `-`, or on a pipe, each line of standard input is one
    file: Vec<PathBuf>,
    /// A document, written out (may be given several times)
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    document: Vec<String>,
    /// Print only the best so many
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Cut documents that are too long for the model, instead of failing
    #[arg(long)]
    truncate: bool,
    /// Print what the network gives, without the function that follows it
    #[arg(long)]
    logits: bool,
    /// Answer with a JSON object on a line for each document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compute: Compute,
}

/// Documents that are judged between two steps of the bar.
const AT_ONCE: usize = 64;

/// Letters of a document that stand for it where it has no name.
const SHOWN: usize = 80;

impl Rerank {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let (names, texts) = self.documents()?;
        let model = models::load(&self.model, self.compute)?;
        let options = RerankOptions { truncate: self.truncate, logits: self.logits };
        let bar = counting(texts.len() > AT_ONCE, texts.len(), "documents");
        let mut scores = Vec::with_capacity(texts.len());
        for texts in texts.chunks(AT_ONCE) {
            scores.extend(model.rerank(&self.query, texts, options)?);
            bar.inc(texts.len() as u64);
        }
        bar.finish_and_clear();
        let mut order: Vec<(usize, Relevance)> = scores.into_iter().enumerate().collect();
        // Equal scores stay in the order in which they were given.
        order.sort_by(|a, b| b.1.score.total_cmp(&a.1.score));
        for (index, Relevance { score, tokens, truncated }) in
            order.into_iter().take(self.top.unwrap_or(usize::MAX))
        {
            if self.json {
                let mut line = json!({"index": index, "score": score, "tokens": tokens});
                match names.get(index) {
                    Some(name) => line["file"] = json!(name),
                    None => line["document"] = json!(texts[index]),
                }
                if truncated {
                    line["truncated"] = json!(true);
                }
                output::line(&line.to_string())?;
                continue;
            }
            let name = names.get(index).cloned().unwrap_or_else(|| brief(&texts[index]));
            let cut = if truncated { "  (cut)" } else { "" };
            output::line(&format!("{score:>8.4}  {name}{cut}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The names of files, and the texts of all documents.
    fn documents(&self) -> Result<(Vec<String>, Vec<String>)> {
        if !self.document.is_empty() {
            return Ok((Vec::new(), self.document.clone()));
        }
        let piped = self.file.len() <= 1 && self.file.iter().all(|file| file == Path::new("-"));
        if !piped {
            let texts = self.file.iter().map(|path| material::text(path));
            let names = self.file.iter().map(|path| path.display().to_string());
            return Ok((names.collect(), texts.collect::<Result<_>>()?));
        }
        if self.file.is_empty() && io::stdin().is_terminal() {
            let hint = "name files after the question, or pipe lines in";
            return Err(Problem::Nothing { hint }.into());
        }
        let mut text = String::new();
        let read = io::stdin().read_to_string(&mut text);
        read.map_err(|error| Problem::io("read", "standard input".as_ref(), error))?;
        let texts: Vec<_> = text.lines().map(str::to_owned).collect();
        if texts.is_empty() {
            return Err(Problem::Nothing { hint: "standard input has no lines" }.into());
        }
        Ok((Vec::new(), texts))
    }
}

/// The beginning of a text, on one line.
fn brief(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
