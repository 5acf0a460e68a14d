//! An answer that somebody waits for, from whoever gives it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use text::Said;

use super::choose::settled;
use super::{Error, House, Lease, apart};
use crate::config::Candidate;
use crate::flight::{self, Flight, Step};
use crate::remote::{self, Fragment, Question};
use crate::residency::Refusal;
use crate::route::{Receipt, Wish};
use crate::runtime::{
    FinishReason, GenerateOptions, Generation, MustCall, Piece, Prompt, Timings, TokenLogprobs,
    Usage,
};
use crate::stats::Sample;

/// A question to a model.
#[derive(Clone, Debug)]
pub struct Ask {
    /// A model, a task, or `REMOTE:MODEL`.
    pub model: String,
    /// What is to be continued.
    pub prompt: Prompt,
    /// How.
    pub options: GenerateOptions,
    /// Nobody but the first who could may answer.
    pub strict: bool,
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// So many tokens of the prompt are read.
    Progress(usize),
    /// More words; never empty.
    Text(String),
    /// More of the thinking before them; never empty.
    Reasoning(String),
    /// A tool is called. Calls are numbered from 0 and do not overlap.
    CallBegin {
        /// Which call.
        index: usize,
        /// The tool.
        name: String,
    },
    /// More of the arguments of a call, which are a JSON object in all.
    CallArguments {
        /// Whose.
        index: usize,
        /// The text.
        delta: String,
    },
    /// A call is whole.
    CallEnd {
        /// Which.
        index: usize,
        /// What is wrong with it, if anything is.
        fault: Option<text::Fault>,
    },
    /// How likely the tokens were whose text came before, if that was asked for; never empty.
    Logprobs(Vec<TokenLogprobs>),
    /// The end.
    End(End),
}

/// How an answer ended, and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// Why.
    pub reason: FinishReason,
    /// Its tokens.
    pub usage: Usage,
    /// Its times.
    pub timings: Timings,
    /// How many tools were called.
    pub calls: usize,
    /// What looked like calls, and is text because of these faults.
    pub broken: Vec<text::Fault>,
}

/// An answer under way. Dropping it ends it, and gives the model back.
#[derive(Debug)]
pub struct Answer {
    source: Source,
    receipt: Receipt,
    house: Arc<House>,
    begun: Instant,
    calls: usize,
    broken: Vec<text::Fault>,
    /// What comes after what is told now.
    later: Option<News>,
    counted: bool,
    flight: Option<Flight>,
    /// Whether its first words came.
    answering: bool,
}

#[derive(Debug)]
enum Source {
    Local {
        // In this order: the request ends before the model may go.
        generation: Box<Generation>,
        lease: Lease,
        /// Whether it is noted down when its turn came.
        turn: bool,
    },
    Remote {
        answer: Box<remote::Answer>,
        name: String,
        usage: Usage,
        timings: Timings,
        first: Option<Instant>,
        open_call: Option<usize>,
    },
}

impl House {
    /// Begins to answer, once a model that can is in memory, or a server elsewhere has begun to.
    ///
    /// # Errors
    ///
    /// If there is no such model, nobody can answer, or the question makes no sense.
    pub async fn answer(self: &Arc<Self>, ask: Ask) -> Result<Answer, Error> {
        let asked = ask.model.clone();
        self.recorded(&asked, self.begin(ask)).await
    }

    /// Does `work` as an answer of its own in the record of its request. Who goes before it is done is counted as cancelled.
    pub(super) async fn recorded<T>(
        &self,
        asked: &str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let flight = flight::current().map(|flight| flight.another());
        let mut waiting = Waiting { house: self, flight, over: false };
        let done = match &waiting.flight {
            None => work.await,
            Some(flight) => {
                flight.note(Step::Asked { model: asked.to_owned() });
                let done = flight::recorded(flight.clone(), work).await;
                if let Err(error) = &done {
                    flight.note(Step::Failed { reason: error.to_string() });
                }
                done
            }
        };
        waiting.over = true;
        done
    }

    async fn begin(self: &Arc<Self>, ask: Ask) -> Result<Answer, Error> {
        let begun = Instant::now();
        // A model that was named says itself that it is blind.
        let routed = self.settings().options.config.routes.contains_key(&ask.model);
        let images = match &ask.prompt {
            Prompt::Chat(messages, _) if routed => {
                messages.iter().any(|message| message.images().count() > 0)
            }
            Prompt::Chat(..) | Prompt::Text(_) | Prompt::Tokens(_) => false,
        };
        let tokens = self.measure(&ask.model, &ask.prompt).await;
        let wish = Wish { asked: ask.model.clone(), tokens, images, strict: ask.strict };
        let (prompt, options) = (&ask.prompt, &ask.options);
        let asked = self.walk(&wish, "chat", |turn| async move {
            let options = settled(options.clone(), &turn.sampling);
            match &turn.candidate {
                Candidate::Local(name) => {
                    let set = self.settings().options.config.model(name);
                    let invariant = options.invariant || set.batch_invariant;
                    let options = GenerateOptions { invariant, ..settled(options, &set.sampling) };
                    self.local(name, prompt, options, turn.fallback).await
                }
                Candidate::Remote { remote, model } => {
                    self.remote(remote, model, prompt, &options).await
                }
            }
        });
        let (source, receipt) = asked.await?;
        let house = Arc::clone(self);
        let (calls, broken) = (0, Vec::new());
        let (later, counted, answering) = (None, false, false);
        let flight = flight::current();
        Ok(Answer {
            source,
            receipt,
            house,
            begun,
            calls,
            broken,
            later,
            counted,
            flight,
            answering,
        })
    }

    async fn local(
        self: &Arc<Self>,
        name: &str,
        prompt: &Prompt,
        options: GenerateOptions,
        fallback: bool,
    ) -> Result<Source, Error> {
        let lease = self.lease_or(name, fallback, 0).await?;
        let (first, wanted) = started(lease, prompt.clone(), options.clone()).await;
        let Some(cache) = wanted else { return first };
        // Others may have less meanwhile, or have to go: the first is given up before that is asked for.
        let short = match first {
            Ok(source) => {
                drop(source);
                None
            }
            Err(error) => Some(error),
        };
        match (self.lease_or(name, fallback, cache).await, short) {
            (Ok(lease), _) => started(lease, prompt.clone(), options).await.0,
            // It cannot be had at all: the request is too long.
            (Err(Error::NoRoom(Refusal::TooLarge { .. })), Some(short)) => Err(short),
            (Err(error), Some(_)) => Err(error),
            // It has room, if not much.
            (Err(_), None) => {
                let lease = self.lease_or(name, fallback, 0).await?;
                started(lease, prompt.clone(), options).await.0
            }
        }
    }

    async fn remote(
        self: &Arc<Self>,
        remote: &str,
        model: &str,
        prompt: &Prompt,
        options: &GenerateOptions,
    ) -> Result<Source, Error> {
        let Some(backend) = self.backend(remote) else { return Err(Error::Lost) };
        let question = question(model, prompt, options)
            .ok_or_else(|| Error::NotElsewhere { remote: remote.to_owned() })?;
        let answer = Box::new(backend.chat(&question).await?);
        flight::note(|| Step::Sent { to: format!("{remote}:{model}") });
        for field in answer.dropped() {
            tracing::warn!(remote, field, "left out, as the settings of the remote allow");
        }
        Ok(Source::Remote {
            answer,
            name: format!("{remote}:{model}"),
            usage: Usage::default(),
            timings: Timings::default(),
            first: None,
            open_call: None,
        })
    }

    /// How many tokens `prompt` has for a model.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer).
    pub async fn count(self: &Arc<Self>, model: &str, prompt: Prompt) -> Result<usize, Error> {
        let lease = self.lease(model).await?;
        apart(move || Ok(lease.encode_prompt(&lease.shielded(prompt))?.len())).await
    }
}

/// Counts as cancelled who goes while a model is found, loaded or asked: there is no [`Answer`] yet that would.
struct Waiting<'a> {
    house: &'a House,
    flight: Option<Flight>,
    over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.house.count_cancelled();
            if let Some(flight) = &self.flight {
                flight.note(Step::GivenUp { tokens: 0 });
            }
        }
    }
}

/// An answer that nobody has limited has room for so many tokens, where there is memory for them.
const ROOMY: usize = 1024;

/// Begins an answer of a model of this machine. Also says how many bytes of cache it would take, if it has too few for that.
async fn started(
    lease: Lease,
    prompt: Prompt,
    options: GenerateOptions,
) -> (Result<Source, Error>, Option<u64>) {
    let limited = options.max_tokens.is_some();
    let begun = apart(move || {
        let prompt = lease.model().shielded(prompt);
        let (context, room) = (lease.facts().context, lease.cache_tokens());
        let generation = lease.model().generate(&prompt, &options);
        let (prompt, answer) = match &generation {
            Err(error) => match error.too_long() {
                Some((prompt, answer)) if limited => (prompt, answer),
                Some((prompt, _)) => (prompt, ROOMY),
                None => (0, 0),
            },
            Ok(generation) => (generation.usage().prompt_tokens, if limited { 0 } else { ROOMY }),
        };
        let tokens = prompt.saturating_add(answer).min(context);
        let wanted = (tokens > room).then(|| lease.cache_bytes(tokens));
        Ok((
            generation.map(Box::new).map(|generation| Source::Local {
                generation,
                lease,
                turn: false,
            }),
            wanted,
        ))
    })
    .await;
    match begun {
        Ok((source, wanted)) => (source.map_err(Error::from), wanted),
        Err(error) => (Err(error), None),
    }
}

/// The same for a server elsewhere, if it can be said there: it has its own tokens, and its own template.
fn question(model: &str, prompt: &Prompt, options: &GenerateOptions) -> Option<Question> {
    let Prompt::Chat(messages, render) = prompt else { return None };
    let tool_choice = options.must_call.as_ref().map(|which| match which {
        MustCall::Any => "required".into(),
        MustCall::Tool(name) => {
            serde_json::json!({"type": "function", "function": {"name": name}})
        }
    });
    Some(Question {
        model: model.to_owned(),
        messages: messages.clone(),
        options: options.clone(),
        tools: render.tools.clone(),
        tool_choice,
        think: render.enable_thinking,
    })
}

impl Answer {
    /// The name of the model that answers; with that of the server, if it is elsewhere.
    pub fn model(&self) -> &str {
        match &self.source {
            Source::Local { lease, .. } => lease.name(),
            Source::Remote { name, .. } => name,
        }
    }

    /// Who answers, and who was passed over for what reason.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// What it took so far.
    pub fn usage(&self) -> Usage {
        match &self.source {
            Source::Local { generation, .. } => generation.usage(),
            Source::Remote { usage, .. } => *usage,
        }
    }

    fn timings(&self) -> Timings {
        match &self.source {
            Source::Local { generation, .. } => generation.timings(),
            Source::Remote { timings, .. } => *timings,
        }
    }

    /// The next part, or `None` after the end.
    ///
    /// # Errors
    ///
    /// If the request broke while it was computed.
    pub async fn next(&mut self) -> Result<Option<News>, Error> {
        if let Some(news) = self.later.take() {
            return Ok(Some(news));
        }
        let told = match &mut self.source {
            Source::Local { .. } => self.next_local().await,
            Source::Remote { .. } => self.next_remote().await,
        };
        self.note(&told);
        match &told {
            Ok(Some(News::End(_))) => self.count(false),
            Err(_) => self.count(true),
            Ok(_) => {}
        }
        told
    }

    async fn next_local(&mut self) -> Result<Option<News>, Error> {
        let Source::Local { generation, lease, .. } = &mut self.source else { return Ok(None) };
        let piece = match generation.next_piece_async().await {
            // That it has begun says nothing of the rest.
            Ok(Some(piece)) if !matches!(piece, Piece::End(_)) => Some(piece),
            came => lease.tried(came)?,
        };
        let Some(piece) = piece else { return Ok(None) };
        let logprobs = generation.take_logprobs();
        let news = match piece {
            Piece::Progress(read) => News::Progress(read),
            Piece::Text(text) => News::Text(text),
            Piece::Aside(said) => self.told(said),
            Piece::End(reason) => News::End(self.end(reason)),
        };
        if logprobs.is_empty() {
            return Ok(Some(news));
        }
        let logprobs = News::Logprobs(logprobs);
        // The end comes last.
        let (now, later) =
            if matches!(news, News::End(_)) { (logprobs, news) } else { (news, logprobs) };
        self.later = Some(later);
        Ok(Some(now))
    }

    async fn next_remote(&mut self) -> Result<Option<News>, Error> {
        loop {
            let Source::Remote { answer, usage, timings, first, open_call, .. } = &mut self.source
            else {
                return Ok(None);
            };
            let Some(fragment) = answer.next().await? else { return Ok(None) };
            if !matches!(fragment, Fragment::Usage(_) | Fragment::End(_)) {
                let now = Instant::now();
                let first = *first.get_or_insert(now);
                timings.first_token = Some(first - self.begun);
                timings.decode = now - first;
            }
            let news = match fragment {
                Fragment::Text(text) => News::Text(text),
                Fragment::Reasoning(text) => News::Reasoning(text),
                Fragment::CallBegin { index, name, .. } => {
                    let before = open_call.replace(index);
                    self.calls += 1;
                    let begin = News::CallBegin { index, name };
                    match before {
                        Some(index) => {
                            self.later = Some(begin);
                            News::CallEnd { index, fault: None }
                        }
                        None => begin,
                    }
                }
                Fragment::CallArguments { index, delta } => News::CallArguments { index, delta },
                Fragment::Usage(told) => {
                    *usage = told;
                    continue;
                }
                Fragment::End(finish) => {
                    let reason = match finish {
                        remote::Finish::Stop | remote::Finish::Calls => FinishReason::Stop,
                        remote::Finish::Length => FinishReason::Length,
                        remote::Finish::Incomplete(why) => {
                            return Err(Error::Incomplete { remote: self.model().to_owned(), why });
                        }
                    };
                    let open = open_call.take();
                    let end = News::End(self.end(reason));
                    match open {
                        Some(index) => {
                            self.later = Some(end);
                            News::CallEnd { index, fault: None }
                        }
                        None => end,
                    }
                }
            };
            return Ok(Some(news));
        }
    }

    fn end(&mut self, reason: FinishReason) -> End {
        End {
            reason,
            usage: self.usage(),
            timings: self.timings(),
            calls: self.calls,
            broken: std::mem::take(&mut self.broken),
        }
    }

    fn told(&mut self, said: Said) -> News {
        match said {
            Said::Text(text) => News::Text(text),
            Said::Reasoning(text) => News::Reasoning(text),
            Said::CallBegin { index, name, offered } => {
                self.calls += 1;
                if !offered {
                    tracing::warn!(tool = name, "the model calls a tool that was not offered");
                }
                News::CallBegin { index, name }
            }
            Said::CallArguments { index, delta } => News::CallArguments { index, delta },
            Said::CallEnd { index, fault } => News::CallEnd { index, fault },
            // Nothing is lost: what is no call is what the model wrote.
            Said::Broken { text, fault } => {
                self.broken.push(fault);
                News::Text(text)
            }
        }
    }

    /// Notes down what came.
    fn note(&mut self, told: &Result<Option<News>, Error>) {
        let Some(flight) = &self.flight else { return };
        match told {
            Ok(None) => {}
            Ok(Some(News::Progress(_))) => self.note_turn(),
            Ok(Some(News::End(end))) => flight.note(Step::Ended {
                reason: end.reason.name(),
                prompt_tokens: Some(end.usage.prompt_tokens),
                cached_tokens: end.usage.cached_tokens,
                completion_tokens: end.usage.completion_tokens,
            }),
            Ok(Some(_)) if std::mem::replace(&mut self.answering, true) => {}
            Ok(Some(_)) => {
                let first = flight.clone();
                self.note_turn();
                first.note(Step::First);
            }
            Err(error) => flight.note(Step::Failed { reason: error.to_string() }),
        }
    }

    /// Notes down when its turn came, once.
    fn note_turn(&mut self) {
        let usage = self.usage();
        let (Some(flight), Source::Local { generation, turn, .. }) =
            (&self.flight, &mut self.source)
        else {
            return;
        };
        let Some(at) = generation.turn().filter(|_| !std::mem::replace(turn, true)) else { return };
        flight.note_at(at, Step::Begun { prompt_tokens: usage.prompt_tokens });
    }

    /// Writes down what it took, once.
    fn count(&mut self, failed: bool) {
        if std::mem::replace(&mut self.counted, true) {
            return;
        }
        let (usage, timings) = (self.usage(), self.timings());
        let sample = Sample {
            failed,
            fallback: self.receipt.is_fallback(),
            prompt_tokens: usage.prompt_tokens as u64,
            completion_tokens: usage.completion_tokens as u64,
            first_token: timings.first_token,
            total: self.begun.elapsed(),
            decode: (timings.decode > Duration::ZERO).then_some(timings.decode),
        };
        let task = self.receipt.task.as_deref().unwrap_or("chat").to_owned();
        self.house.stats().add(&task, &self.receipt.answered.to_string(), &sample);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.counted {
            self.house.count_cancelled();
            if let Some(flight) = &self.flight {
                let usage = self.usage();
                let tokens = usage.prompt_tokens + usage.completion_tokens;
                flight.note(Step::GivenUp { tokens });
            }
        }
    }
}
