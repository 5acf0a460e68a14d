//! `folio ask`: an answer from the pages of an index, with the pages that say so.

mod scans;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use documents::chunks::estimate;
use manager::find::{Cited, Evidence, Gathered, cited, conversation, gather};
use manager::house::{self, End, House, News};
use manager::read::Seers;
use manager::runtime::{FinishReason, GenerateOptions, Priority, Prompt};
use manager::{Environment, RenderOptions, Special};
use serde_json::{Value, json};

use tokio::runtime::Runtime;

use super::read::offered;
use super::search::{Looked, Looking, way};
use super::serve::furnished;
use crate::args::Kept;
use crate::fetching::INTERRUPTED;
use crate::progress::reading;
use crate::report::{Problem, Result};
use crate::settings::Settings;
use crate::vision::Vision;
use crate::{models, output};

/// The route that answers where no model is named.
const REASONING: &str = "reasoning";
/// Tokens of question and pages together where nobody knows how many the model takes.
const USUAL_CONTEXT: usize = 8192;
/// Tokens of what stands around question and pages: the task, the template.
const AROUND: usize = 256;

/// Answer a question from the pages of an index, and name the pages that say so.
///
/// Pages are found as `folio search` finds them. The best of them are shown to a model, and nothing else of the documents
/// is: it answers, and names by its number each page that says so. Pages without words, such as scans, are read first by
/// the vision model or by Tesseract.
#[derive(Args, Debug)]
pub(crate) struct AskCommand {
    /// The question
    question: String,
    /// The model that answers: a folder, a name that `folio list` shows, ORG/NAME of the hub, or a task or remote of the
    /// settings [default: the route `reasoning` of the settings]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Pages that are shown to it at most
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    limit: u16,
    /// Tokens of question, pages and answer together at most [default: what the model takes, where that is known, else 8192]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(512..))]
    context: Option<u32>,
    /// Tokens of the answer at most
    #[arg(long, value_name = "N", visible_alias = "max_tokens", default_value_t = 1024)]
    max_tokens: u32,
    /// 0 takes the likeliest token; higher is more varied [default: what the settings say, or 0]
    #[arg(long, value_name = "T")]
    temperature: Option<f32>,
    #[command(flatten)]
    vision: Vision,
    /// Answer with a JSON object
    #[arg(long)]
    json: bool,
    /// Read settings from this file [default: where `folio serve` finds them]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    looking: Looking,
    #[command(flatten)]
    kept: Kept,
}

impl AskCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let config = Settings::of(self.config.clone(), Vec::new()).load()?;
        let routed = |task: &str| config.routes.contains_key(task).then(|| task.to_owned());
        let Some(model) = self.model.clone().or_else(|| routed(REASONING)) else {
            let reason = "nobody is named who answers: name a model, or set the route `reasoning`";
            return Err(Problem::Flag { flag: "--model", reason: reason.to_owned() }.into());
        };
        let (vision, engine) = (self.vision.model(&config), self.vision.engine()?);
        let asked: Vec<String> =
            [Some(&model), vision.as_ref()].into_iter().flatten().cloned().collect();
        let named = offered(&asked, &config)?;
        // The models that find go before the one that answers comes.
        let Looked { found, store, .. } =
            self.looking.find(&self.question, usize::from(self.limit), false)?;
        eprintln!("{}", way(&found));
        if found.answer.hits.is_empty() {
            eprintln!("no page was found, so nobody was asked");
            return Ok(ExitCode::FAILURE);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| Problem::io("start", "the event loop".as_ref(), error))?;
        let mut furnished = furnished(&config, &self.kept);
        furnished.models.extend(named);
        let device = models::runtime(self.looking.compute)?;
        let house = House::open(device, Environment::from_process(), furnished);
        let mut seers = Seers::new(runtime.handle().clone());
        if let Some(vision) = &vision {
            seers = seers.and_of_house(&house, vision);
        }
        if let Some(engine) = engine {
            seers = seers.and_engine(engine);
        }
        let pages = scans::with_words(&*store, &found.answer.hits, &seers, runtime.handle())?;
        let Some(pages) = pages else {
            eprintln!("nobody was asked: reading the pages was interrupted");
            return Ok(ExitCode::from(INTERRUPTED));
        };
        if pages.is_empty() {
            eprintln!("the words of no page are known, so nobody was asked");
            return Ok(ExitCode::FAILURE);
        }
        let answered = self.answer(&model, pages, &house, &runtime);
        house.close();
        runtime.shutdown_background();
        answered
    }

    fn answer(
        &self,
        model: &str,
        pages: Vec<(String, u32, String)>,
        house: &Arc<House>,
        runtime: &Runtime,
    ) -> Result<ExitCode> {
        let counter = runtime.block_on(house.counter(model))?;
        let takes = counter.as_ref().map_or(USUAL_CONTEXT, |(_, context)| *context);
        let context = self.context.map_or(takes, |context| takes.min(context as usize));
        // What cannot be counted is taken for long.
        let count = |text: &str| match &counter {
            Some((tokenizer, _)) => tokenizer
                .encode(text, Special::OmitLiteral)
                .map_or(text.len(), |tokens| tokens.len()),
            None => estimate(text),
        };
        let around = count(&self.question) + AROUND + self.max_tokens as usize;
        let room = context.saturating_sub(around);
        let gathered = gather(&self.question, pages, room, &count);
        let Gathered { shown, left_out } = &gathered;
        for (path, page) in left_out {
            eprintln!("{path} page {page}: is not shown, there is no room for it");
        }
        for Evidence { path, page, .. } in shown.iter().filter(|evidence| !evidence.whole) {
            eprintln!("{path} page {page}: parts of it are shown, there is no room for all");
        }
        if shown.is_empty() {
            let reason = format!(
                "no page has room beside the question and {} tokens of answer in {context} tokens",
                self.max_tokens
            );
            return Err(Problem::Flag { flag: "--context", reason }.into());
        }
        let prompt =
            Prompt::Chat(conversation(&self.question, shown), Box::new(RenderOptions::answer()));
        let options = GenerateOptions {
            max_tokens: Some(self.max_tokens as usize),
            temperature: self.temperature,
            priority: Priority::Interactive,
            ..GenerateOptions::default()
        };
        let ask = house::Ask { model: model.to_owned(), prompt, options, strict: false };
        let mut heard = runtime.block_on(hear(house, ask, !self.json))?;
        let cited = cited(&heard.text, shown.len());
        if self.json {
            output::line(&object(&self.question, &heard, &gathered, &cited).to_string())?;
        } else {
            if !heard.text.ends_with('\n') {
                heard.text.push('\n');
                output::write("\n")?;
            }
            output::write(&sources(shown, &cited))?;
        }
        let reason = heard.end.as_ref().map(|end| &end.reason);
        for number in &cited.unknown {
            eprintln!(
                "the answer names [{number}], and no such page was shown to it: do not trust that part"
            );
        }
        if cited.known.is_empty() {
            eprintln!("the answer names no page: compare it with them before you use it");
        }
        Ok(match reason {
            None => ExitCode::from(INTERRUPTED),
            Some(FinishReason::Length | FinishReason::Unfinished) => {
                eprintln!("the answer was cut after {} tokens (`--max-tokens`)", self.max_tokens);
                ExitCode::FAILURE
            }
            Some(_) => ExitCode::SUCCESS,
        })
    }
}

/// What was heard.
struct Heard {
    model: String,
    /// Who was passed over, and why.
    receipt: Value,
    text: String,
    /// None if it was interrupted.
    end: Option<End>,
}

/// Listens to an answer until it ends or Ctrl-C comes, and prints it as it comes if it is to be shown.
async fn hear(house: &Arc<House>, ask: house::Ask, show: bool) -> Result<Heard> {
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let nobody =
        |model: String| Heard { model, receipt: Value::Null, text: String::new(), end: None };
    let asked = ask.model.clone();
    let mut answer = tokio::select! {
        answer = house.answer(ask) => answer?,
        _ = &mut interrupt => return Ok(nobody(asked)),
    };
    let bar = reading(show && io::stderr().is_terminal(), answer.usage().prompt_tokens);
    let mut heard = nobody(answer.model().to_owned());
    heard.receipt = answer.receipt().json();
    loop {
        let news = tokio::select! {
            news = answer.next() => news,
            _ = &mut interrupt => break,
        };
        match news.inspect_err(|_| bar.finish_and_clear())? {
            Some(News::Progress(read)) => bar.set_position(read as u64),
            Some(News::Text(more)) => {
                bar.finish_and_clear();
                if show {
                    output::write(&more)?;
                }
                heard.text.push_str(&more);
            }
            Some(News::End(end)) => {
                heard.end = Some(end);
                break;
            }
            // Thinking is not the answer, and nobody here has tools.
            Some(_) => {}
            None => break,
        }
    }
    bar.finish_and_clear();
    Ok(heard)
}

/// The pages that an answer names.
fn sources(shown: &[Evidence], cited: &Cited) -> String {
    let mut text = String::new();
    for number in &cited.known {
        if let Some(Evidence { path, page, .. }) = shown.get(number - 1) {
            text += &format!("\n[{number}] {path} page {page}");
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn object(question: &str, heard: &Heard, gathered: &Gathered, cited: &Cited) -> Value {
    let pages: Vec<Value> = gathered
        .shown
        .iter()
        .zip(1_usize..)
        .map(|(Evidence { path, page, whole, .. }, number)| {
            let is_cited = cited.known.contains(&number);
            json!({"number": number, "path": path, "page": page, "whole": whole, "cited": is_cited})
        })
        .collect();
    let left_out: Vec<Value> =
        gathered.left_out.iter().map(|(path, page)| json!({"path": path, "page": page})).collect();
    let reason = heard.end.as_ref().map(|end| match end.reason {
        FinishReason::Stop | FinishReason::StopString(_) => "stop",
        FinishReason::Length | FinishReason::Unfinished => "length",
        FinishReason::Cancelled => "cancelled",
    });
    json!({
        "question": question, "answer": heard.text, "model": heard.model, "route": heard.receipt,
        "citations": cited.known, "unknown_citations": cited.unknown,
        "pages": pages, "left_out": left_out, "finish_reason": reason,
        "usage": heard.end.as_ref().map(|end| json!({
            "prompt_tokens": end.usage.prompt_tokens, "completion_tokens": end.usage.completion_tokens,
        })),
    })
}
