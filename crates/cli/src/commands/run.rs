//! `folio run`: one answer, or a conversation.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use manager::runtime::{
    FinishReason, GenerateOptions, Generation, LoadedModel, ModelKind, Piece, Priority, Prompt,
    Timings, Usage,
};
use manager::{Grammar, Image, Message, Part, RenderOptions};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use serde_json::json;

use crate::args::{Adapted, Compute, Kept};
use crate::fetching::INTERRUPTED;
use crate::held::Held;
use crate::progress::{Silence, reading};
use crate::report::{Problem, Result};
use crate::{material, models, output};

/// Ask a model, or talk with it.
///
/// Without a prompt, on a terminal, this is a conversation. What is piped in is the prompt, or
/// follows the prompt that is given, as files do. In what follows a prompt, the model's special
/// tokens are mere letters, so that a document cannot speak for the user.
#[derive(Args, Debug)]
pub(crate) struct Run {
    /// A folder, a name that `folio list` shows, or ORG/NAME of the hub, which is pulled first
    model: String,
    /// What to say to the model
    prompt: Vec<String>,
    /// Put the text of this file after the prompt; a PDF becomes markdown (may be given several times)
    #[arg(long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Show this image (PNG, JPEG, WebP, TIFF) before the prompt, to a model that sees (may be given several times)
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
    /// Tokens to answer with at most [default: what is left of the model's context]
    #[arg(long, value_name = "N", visible_alias = "max_tokens")]
    max_tokens: Option<usize>,
    /// 0 takes the likeliest token; higher is more varied [default: the model's own, or 0]
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// Keep the likeliest tokens that together have this probability
    #[arg(long, value_name = "P", visible_alias = "top_p")]
    top_p: Option<f32>,
    /// Keep so many of the likeliest tokens; 0 keeps all
    #[arg(long, value_name = "K", visible_alias = "top_k")]
    top_k: Option<usize>,
    /// Keep tokens with at least this share of the likeliest one's probability
    #[arg(long, value_name = "P", visible_alias = "min_p")]
    min_p: Option<f32>,
    /// Make tokens that have occurred less likely; 1 does nothing
    #[arg(long, value_name = "F", visible_alias = "repetition_penalty")]
    repetition_penalty: Option<f32>,
    /// Make tokens that the answer has already less likely, from -2 to 2; 0 does nothing
    #[arg(
        long,
        value_name = "F",
        visible_alias = "presence_penalty",
        allow_negative_numbers = true
    )]
    presence_penalty: Option<f32>,
    /// The same, as often as they are there
    #[arg(
        long,
        value_name = "F",
        visible_alias = "frequency_penalty",
        allow_negative_numbers = true
    )]
    frequency_penalty: Option<f32>,
    /// Choose the same tokens each time
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// End the answer before this text (may be given several times)
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Standing instructions for the model
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Continue the prompt as plain text, without the model's chat template
    #[arg(long)]
    raw: bool,
    /// Answer with one JSON object: text, why it ended, tokens, timings
    #[arg(long)]
    json: bool,
    /// Tell how fast it was, on standard error
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    held: Held,
    #[command(flatten)]
    adapted: Adapted,
    #[command(flatten)]
    kept: Kept,
    #[command(flatten)]
    compute: Compute,
}

impl Run {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let (words, mut material) = self.given()?;
        let images = material::images(&self.image)?;
        let constraint = self.held.grammar()?;
        let model = models::load_adapted(&self.model, self.compute, self.kept, &self.adapted)?;
        if self.raw && !images.is_empty() {
            let reason = "plain text mentions no images: leave `--raw` out".to_owned();
            return Err(Problem::Flag { flag: "--image", reason }.into());
        }
        can_show(&model, &images)?;
        if let Some(grammar) = &constraint
            && model.facts().kind == ModelKind::Language
        {
            // What is wrong with it is told before anything is asked.
            model.compile(grammar)?;
        }
        let options = self.options(constraint);
        if !self.raw {
            for text in &mut material {
                *text = model.tokenizer().disarm(text).into_owned();
            }
        }
        // Waits for tokens and for Ctrl-C at once.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Problem::io("start", "the event loop".as_ref(), error))?;
        match words {
            Some(words) => {
                runtime.block_on(self.once(&model, followed_by(words, material), images, &options))
            }
            None => self.talk(&model, &runtime, (material, images), &options),
        }
    }

    /// The prompt, `None` for a conversation, and what follows it.
    fn given(&self) -> Result<(Option<String>, Vec<String>)> {
        let words = self.prompt.join(" ");
        let mut material =
            self.file.iter().map(|path| material::text(path)).collect::<Result<Vec<_>>>()?;
        if io::stdin().is_terminal() {
            return Ok(((!words.is_empty()).then_some(words), material));
        }
        let mut piped = String::new();
        let read = io::stdin().read_to_string(&mut piped);
        read.map_err(|error| Problem::io("read", "standard input".as_ref(), error))?;
        let piped = piped.trim_end_matches('\n').to_owned();
        match (words.is_empty(), piped.is_empty()) {
            (true, true) => {
                Err(Problem::Nothing { hint: "write a prompt after the model's name" }.into())
            }
            (true, false) => Ok((Some(piped), material)),
            (false, true) => Ok((Some(words), material)),
            (false, false) => {
                material.push(piped);
                Ok((Some(words), material))
            }
        }
    }

    fn options(&self, constraint: Option<Grammar>) -> GenerateOptions {
        GenerateOptions {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            seed: self.seed,
            stop: self.stop.clone(),
            constraint,
            // Somebody looks on.
            priority: Priority::Interactive,
            ..GenerateOptions::default()
        }
    }

    async fn once(
        &self,
        model: &Arc<LoadedModel>,
        prompt: String,
        images: Vec<Image>,
        options: &GenerateOptions,
    ) -> Result<ExitCode> {
        let language = model.facts().kind == ModelKind::Language;
        let prompt = if self.raw || !model.has_template() {
            if !self.raw && language {
                eprintln!("note: the model has no chat template; it continues the plain text");
            }
            Prompt::Text(
                self.system.iter().cloned().chain([prompt]).collect::<Vec<_>>().join("\n\n"),
            )
        } else {
            let mut messages: Vec<_> = self.system.iter().map(Message::system).collect();
            messages.push(shown(images, prompt));
            Prompt::Chat(messages, Box::new(RenderOptions::answer()))
        };
        let mut answer = model.generate_async(&prompt, options).await?;
        let (text, reason) = stream(&mut answer, !self.json).await?;
        let (usage, timings) = (answer.usage(), answer.timings());
        if self.json {
            output::line(&object(&text, &reason, usage, timings).to_string())?;
        } else if !text.ends_with('\n') {
            output::write("\n")?;
        }
        self.finish(&reason, usage, timings);
        Ok(if reason == FinishReason::Cancelled {
            ExitCode::from(INTERRUPTED)
        } else if answer.lacks(&reason) {
            // What a script asked for is not there.
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }

    fn talk(
        &self,
        model: &Arc<LoadedModel>,
        runtime: &tokio::runtime::Runtime,
        (material, images): (Vec<String>, Vec<Image>),
        options: &GenerateOptions,
    ) -> Result<ExitCode> {
        if !model.has_template() {
            let hint = "this model has no chat template: write a prompt after its name";
            return Err(Problem::Nothing { hint }.into());
        }
        let failed = |error: ReadlineError| {
            Problem::io("read from", "the terminal".as_ref(), io::Error::other(error))
        };
        let mut editor = DefaultEditor::new().map_err(failed)?;
        eprintln!("{}: /clear forgets the conversation, /exit or Ctrl-D ends it.", model.name());
        let opening: Vec<_> = self.system.iter().map(Message::system).collect();
        let mut messages = opening.clone();
        loop {
            let line = match editor.readline(">>> ") {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => return Ok(ExitCode::SUCCESS),
                Err(error) => return Err(failed(error)),
            };
            match line.trim() {
                "" => continue,
                "/exit" | "/bye" | "/quit" => return Ok(ExitCode::SUCCESS),
                "/clear" => {
                    messages.clone_from(&opening);
                    eprintln!("forgotten");
                    continue;
                }
                _ => {}
            }
            // What cannot be remembered can still be said.
            let _ = editor.add_history_entry(&line);
            // Files follow the first thing that is said, and images stand before it.
            let first = messages.len() == opening.len();
            let follows = if first { material.clone() } else { Vec::new() };
            let images = if first { images.clone() } else { Vec::new() };
            messages.push(shown(images, followed_by(line, follows)));
            let prompt = Prompt::Chat(messages.clone(), Box::new(RenderOptions::answer()));
            let answered = runtime.block_on(async {
                let mut answer = model.generate_async(&prompt, options).await?;
                let (text, reason) = stream(&mut answer, true).await?;
                Ok((text, reason, answer.usage(), answer.timings()))
            });
            match answered {
                Ok((text, reason, usage, timings)) => {
                    output::write("\n")?;
                    self.finish(&reason, usage, timings);
                    messages.push(Message::assistant(text));
                }
                Err(failure) => {
                    // The conversation goes on without what could not be answered.
                    crate::report::print(failure);
                    messages.pop();
                }
            }
        }
    }

    /// Tells what must not be overlooked, and what was asked for.
    fn finish(&self, reason: &FinishReason, usage: Usage, timings: Timings) {
        if matches!(reason, FinishReason::Length | FinishReason::Unfinished) {
            let n = usage.completion_tokens;
            let whole =
                if *reason == FinishReason::Unfinished { ", before it was complete" } else { "" };
            eprintln!(
                "note: the answer was cut after {n} tokens{whole} (`--max-tokens`, or the context)"
            );
        }
        if self.verbose {
            let milliseconds = timings.first_token.unwrap_or_default().as_secs_f64() * 1e3;
            let rate = |rate: Option<f64>| rate.map_or_else(|| "-".into(), |r| format!("{r:.1}"));
            eprintln!(
                "prompt: {} tokens, {} tokens/s; first token after {milliseconds:.0} ms; \
                 answer: {} tokens, {} tokens/s",
                usage.prompt_tokens,
                rate(timings.prompt_rate(usage)),
                usage.completion_tokens,
                rate(timings.decode_rate(usage)),
            );
        }
    }
}

/// Fails unless `model` can be shown `images`, if there are any: it must see, and have a chat template to mention them.
pub(super) fn can_show(model: &LoadedModel, images: &[Image]) -> Result<()> {
    let name = model.name();
    let reason = match (model.sees(), model.has_template()) {
        _ if images.is_empty() => return Ok(()),
        (true, true) => return Ok(()),
        (false, _) => format!("`{name}` reads text only: name a vision model"),
        (true, false) => format!("`{name}` has no chat template, which would mention it"),
    };
    Err(Problem::Flag { flag: "--image", reason }.into())
}

/// What the person says of images.
pub(super) fn shown(images: Vec<Image>, words: String) -> Message {
    let mut message = Message::user(words);
    message.content.splice(0..0, images.into_iter().map(Part::Image));
    message
}

/// Words, and after them what they are about.
fn followed_by(words: String, material: Vec<String>) -> String {
    std::iter::once(words).chain(material).collect::<Vec<_>>().join("\n\n")
}

/// Follows an answer to its end; Ctrl-C ends it early, after the step that is under way, and once more ends the program.
#[expect(clippy::exit, reason = "who interrupts twice does not want to wait")]
async fn stream(answer: &mut Generation, show: bool) -> Result<(String, FinishReason)> {
    let mut text = String::new();
    let silence = Silence::begin();
    let mut interrupted = false;
    let bar = reading(show, answer.usage().prompt_tokens);
    // Listens all the time: also to what comes while a piece is written.
    let mut interrupt = Box::pin(tokio::signal::ctrl_c());
    loop {
        let piece = tokio::select! {
            piece = answer.next_piece_async() => piece?,
            _ = &mut interrupt => {
                if interrupted {
                    bar.finish_and_clear();
                    drop(silence);
                    std::process::exit(INTERRUPTED.into());
                }
                interrupted = true;
                answer.cancel();
                if show && text.is_empty() {
                    bar.suspend(|| eprintln!("stopping after what is under way; Ctrl-C again leaves at once"));
                }
                interrupt = Box::pin(tokio::signal::ctrl_c());
                continue;
            }
        };
        match piece {
            // Nothing is told apart here.
            Some(Piece::Aside(_)) => {}
            Some(Piece::Progress(read)) => bar.set_position(read as u64),
            Some(Piece::Text(piece)) => {
                bar.finish_and_clear();
                if show {
                    output::write(&piece)?;
                }
                text.push_str(&piece);
            }
            Some(Piece::End(reason)) => {
                bar.finish_and_clear();
                return Ok((text, reason));
            }
            None => return Ok((text, FinishReason::Cancelled)),
        }
    }
}

fn object(text: &str, reason: &FinishReason, usage: Usage, timings: Timings) -> serde_json::Value {
    let (reason, stopped) = match reason {
        FinishReason::Stop => ("stop", None),
        FinishReason::StopString(stop) => ("stop", Some(stop)),
        FinishReason::Length => ("length", None),
        FinishReason::Unfinished => ("unfinished", None),
        FinishReason::Cancelled => ("cancelled", None),
    };
    json!({
        "text": text,
        "finish_reason": reason,
        "stop_string": stopped,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
        },
        "timings": {
            "first_token_seconds": timings.first_token.map(|d| d.as_secs_f64()),
            "prompt_tokens_per_second": timings.prompt_rate(usage),
            "completion_tokens_per_second": timings.decode_rate(usage),
        },
    })
}
