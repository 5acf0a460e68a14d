//! An answer: a prompt made into tokens, and tokens made into text as they come.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engine::{Finish, Id, Logprobs, Passage, Priority, Refusal, Request, Sampling};
use kernels::{Precision, WeightLayout};
use text::grammar::Grammar;
use text::{
    Detokenizer, Forced, Message, Reader, RenderOptions, Said, Special, StopStrings, Tools,
};
use tokio::sync::{mpsc, oneshot};

use super::device::{Command, ModelKind, Update};
use super::error::Error;
use super::load::LoadedModel;
use super::logprobs::TokenLogprobs;

/// What is to be continued.
#[derive(Clone, Debug)]
pub enum Prompt {
    /// A conversation, rendered by the model's chat template.
    Chat(Vec<Message>, Box<RenderOptions>),
    /// Text as it is, with the model's own tokens around it.
    Text(String),
    /// Tokens as they are.
    Tokens(Vec<u32>),
}

/// How to continue. What is absent comes from the checkpoint's `generation_config.json`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerateOptions {
    /// Tokens to add at most; what is left of the context, if absent.
    pub max_tokens: Option<usize>,
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: Option<f32>,
    /// Keeps the likeliest tokens that together have this probability.
    pub top_p: Option<f32>,
    /// Keeps so many of the likeliest tokens; 0 keeps all.
    pub top_k: Option<usize>,
    /// Keeps tokens with at least this share of the likeliest token's probability.
    pub min_p: Option<f32>,
    /// Makes tokens that have occurred less likely; 1 does nothing.
    pub repetition_penalty: Option<f32>,
    /// Is taken once from the logit of each token that was added, from -2 to 2; 0 does nothing.
    pub presence_penalty: Option<f32>,
    /// Is taken from the logit of each token as often as it was added, from -2 to 2; 0 does nothing.
    pub frequency_penalty: Option<f32>,
    /// How many of the last tokens the three penalties look at; all if absent.
    pub repetition_context: Option<usize>,
    /// Keeps the tokens about as surprising as is to be expected that together have this probability; 1 keeps all.
    pub typical_p: Option<f32>,
    /// Is added to the logits of these tokens: from -100 to 100, for at most [`MOST_BIASES`] tokens.
    pub logit_bias: BTreeMap<u32, f32>,
    /// Tells how likely each token was, and so many of the likeliest: at most [`MOST_LOGPROBS`]. See
    /// [`Generation::take_logprobs`].
    pub logprobs: Option<usize>,
    /// Chance; a different one each time, if absent.
    pub seed: Option<u64>,
    /// Texts that end the answer, and are not part of it.
    pub stop: Vec<String>,
    /// Goes on where the model would end.
    pub ignore_eos: bool,
    /// What the answer must be: it is held to it token by token. [`LoadedModel::compile`] tells beforehand whether it can
    /// be; without that, beginning an answer waits for the grammar to be compiled.
    pub constraint: Option<Grammar>,
    /// Holds the answer to be a call of a tool: of this one, or of any that is offered. It is told apart in any case.
    pub must_call: Option<MustCall>,
    /// Tells thinking and calls of tools from the answer of a conversation, by the model's own marks. Otherwise they are text.
    pub tell_apart: bool,
    /// How urgent it is.
    pub priority: Priority,
    /// Whose it is: clients share what there is of a priority evenly. 0 is nobody in particular.
    pub client: u64,
    /// Whether the answer must not depend on what else is computed, to the last bit; see [`engine::Request::invariant`].
    pub invariant: bool,
}

/// Which tool an answer must call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MustCall {
    /// Any that is offered.
    Any,
    /// The one of this name.
    Tool(String),
}

/// Tokens whose logits a request may change.
pub const MOST_BIASES: usize = 1024;

/// Likeliest tokens that a request may ask for at each place.
pub const MOST_LOGPROBS: usize = 20;

/// Why an answer ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FinishReason {
    /// The model ended it.
    Stop,
    /// A text of `stop` occurred: this one.
    StopString(String),
    /// `max_tokens` was reached.
    Length,
    /// `max_tokens` was reached before what the constraint asks for was complete.
    Unfinished,
    /// The caller gave up.
    Cancelled,
}

impl FinishReason {
    /// Its name in records.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::StopString(_) => "stop_string",
            Self::Length => "length",
            Self::Unfinished => "unfinished",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A part of an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Piece {
    /// So many tokens of the prompt are read, of `prompt_tokens`; there is no text before all are.
    Progress(usize),
    /// More text; never empty.
    Text(String),
    /// What is no text of the answer: thinking, or a part of a call. [`Said::Text`] never stands here.
    Aside(Said),
    /// The end.
    End(FinishReason),
}

/// What an answer took.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens that were added, the one that ended the answer included.
    pub completion_tokens: usize,
    /// Tokens of the prompt that were found in the cache and not computed again, if that is known.
    pub cached_tokens: Option<usize>,
    /// Tokens that were added to think, if that is known; a mark counts with what follows it.
    pub reasoning_tokens: Option<usize>,
}

impl Usage {
    /// Tokens of the prompt that had to be computed.
    pub fn computed_tokens(&self) -> usize {
        self.prompt_tokens.saturating_sub(self.cached_tokens.unwrap_or(0))
    }
}

/// When an answer came.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Timings {
    /// From the request until its turn came.
    pub queue: Option<Duration>,
    /// From the request to its first token.
    pub first_token: Option<Duration>,
    /// From the first token to the last.
    pub decode: Duration,
}

impl Timings {
    /// Tokens after the first, over the time they took.
    pub fn decode_rate(&self, usage: Usage) -> Option<f64> {
        let (tokens, seconds) = (usage.completion_tokens, self.decode.as_secs_f64());
        (tokens > 1 && seconds > 0.0).then(|| (tokens - 1) as f64 / seconds)
    }

    /// Tokens of the prompt that were computed, over the time to the first token.
    pub fn prompt_rate(&self, usage: Usage) -> Option<f64> {
        let seconds = self.first_token?.as_secs_f64();
        (seconds > 0.0).then(|| usage.computed_tokens() as f64 / seconds)
    }
}

/// An answer under way. Dropping it ends it.
#[derive(Debug)]
pub struct Generation {
    model: Arc<LoadedModel>,
    id: Id,
    updates: mpsc::UnboundedReceiver<Update>,
    detokenizer: Option<Detokenizer>,
    reader: Option<Reader>,
    thought: Thought,
    /// What is told, and not asked for yet.
    pieces: VecDeque<Piece>,
    stops: StopStrings,
    ended: Option<FinishReason>,
    done: bool,
    usage: Usage,
    timings: Timings,
    begun: Instant,
    first: Option<Instant>,
    tokens: Vec<u32>,
    constrained: bool,
    /// What is known of the next token.
    likely: Option<Box<Logprobs>>,
    pub(super) logprobs: Vec<TokenLogprobs>,
}

impl LoadedModel {
    /// Begins to continue `prompt`. Blocks until the device thread has taken it on.
    ///
    /// # Errors
    ///
    /// If this is no language model, the prompt does not fit, or a parameter makes no sense.
    pub fn generate(
        self: &Arc<Self>,
        prompt: &Prompt,
        options: &GenerateOptions,
    ) -> Result<Generation, Error> {
        let (mut generation, answer) = self.begin(prompt, options)?;
        generation.id = answer.blocking_recv().map_err(|_| Error::Gone)??;
        Ok(generation)
    }

    /// The twin of [`generate`](Self::generate) for async callers.
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate).
    pub async fn generate_async(
        self: &Arc<Self>,
        prompt: &Prompt,
        options: &GenerateOptions,
    ) -> Result<Generation, Error> {
        let (mut generation, answer) = self.begin(prompt, options)?;
        generation.id = answer.await.map_err(|_| Error::Gone)??;
        Ok(generation)
    }

    /// An error unless its device computes the same pass in the same way each time.
    fn expect_invariance(&self) -> Result<(), Error> {
        let expected = match self.device().as_cpu() {
            None => {
                "false on this device: on a CPU (`--device cpu`) the same pass is always computed alike"
            }
            Some(cpu) => match (cpu.weights(), cpu.precision()) {
                (WeightLayout::InTime { room: 1.. }, Precision::Fast) => {
                    "false while weights are laid out anew under way: start with `--weights panels` or `--weights mapped`"
                }
                _ => return Ok(()),
            },
        };
        let (name, value) = ("batch_invariant", "true".to_owned());
        Err(Error::Parameter { name, value, expected })
    }

    fn begin(
        self: &Arc<Self>,
        prompt: &Prompt,
        options: &GenerateOptions,
    ) -> Result<(Generation, oneshot::Receiver<Result<Id, Error>>), Error> {
        self.expect(ModelKind::Language, "generate text")?;
        let sampling = self.sampling(options)?;
        if options.invariant {
            self.expect_invariance()?;
        }
        if options.constraint.is_some() && options.ignore_eos {
            let (name, value) = ("ignore_eos", "true".to_owned());
            let expected = "false where the answer is constrained, which says itself where it ends";
            return Err(Error::Parameter { name, value, expected });
        }
        let (mut passage, rendered) = self.passage(prompt)?;
        let forced = self.forced(prompt, &rendered, options)?;
        let grammar = forced.as_ref().map(|forced| &forced.grammar).or(options.constraint.as_ref());
        let constraint = grammar.map(|grammar| self.constraint(grammar)).transpose()?;
        let mut reader = match prompt {
            Prompt::Chat(_, render) if options.tell_apart || forced.is_some() => {
                // What is constrained is no call, whatever it looks like.
                let calls = options.constraint.is_none() || options.must_call.is_some();
                let tools = render.tools.as_ref().filter(|_| calls);
                Some(self.dialect.reader(&Tools::new(tools), &rendered))
            }
            Prompt::Chat(..) | Prompt::Text(_) | Prompt::Tokens(_) => None,
        };
        let mut begun_with = Vec::new();
        if let (Some(forced), Some(reader)) = (&forced, &mut reader) {
            let prefix = self.tokenizer.encode(&forced.prefix, Special::Omit);
            passage.tokens.extend(prefix.map_err(|error| self.text_error(error))?);
            begun_with = reader.push(&forced.prefix);
        }
        let Passage { tokens: prompt, images, .. } = passage;
        let room = self.facts.context.min(self.cache_tokens());
        let max_tokens = match options.max_tokens {
            Some(max_tokens) => max_tokens,
            None if prompt.len() >= room => {
                let refusal = Refusal::TooLong { prompt: prompt.len(), max_tokens: 1, limit: room };
                return Err(refusal.into());
            }
            None => room - prompt.len(),
        };
        let stop = if options.ignore_eos { Vec::new() } else { self.stop.clone() };
        let usage = Usage {
            prompt_tokens: prompt.len(),
            completion_tokens: 0,
            cached_tokens: Some(0),
            reasoning_tokens: Some(0),
        };
        let &GenerateOptions { priority, client, invariant, .. } = options;
        let request = Request {
            prompt,
            images,
            max_tokens,
            stop,
            sampling,
            constraint,
            priority,
            client,
            invariant,
        };
        let (sender, updates) = mpsc::unbounded_channel();
        let (reply, answer) = oneshot::channel();
        let begun = Instant::now();
        let command = Command::Generate { model: self.id, request, updates: sender, reply };
        self.runtime.send(command)?;
        let mut generation = Generation {
            model: Arc::clone(self),
            id: Id(u64::MAX),
            updates,
            detokenizer: Some(match &reader {
                Some(reader) => self.tokenizer.detokenizer().keep(reader.marks()),
                None => self.tokenizer.detokenizer(),
            }),
            reader,
            thought: Thought::default(),
            pieces: VecDeque::new(),
            stops: StopStrings::new(options.stop.iter().cloned()),
            ended: None,
            done: false,
            usage,
            timings: Timings::default(),
            begun,
            first: None,
            tokens: Vec::new(),
            constrained: options.constraint.is_some() || forced.is_some(),
            likely: None,
            logprobs: Vec::new(),
        };
        begun_with.into_iter().for_each(|said| generation.told(said));
        Ok((generation, answer))
    }

    /// How the answer is held to be a call, if it must be one.
    fn forced(
        &self,
        prompt: &Prompt,
        rendered: &str,
        options: &GenerateOptions,
    ) -> Result<Option<Forced>, Error> {
        let Some(which) = &options.must_call else {
            // What is held to a form is the answer itself.
            let chat = matches!(prompt, Prompt::Chat(..));
            let grammar = options.constraint.clone().filter(|_| chat);
            return Ok(grammar.map(|grammar| self.dialect.held(grammar, rendered)));
        };
        let offered = match prompt {
            Prompt::Chat(_, render) => Tools::new(render.tools.as_ref()),
            Prompt::Text(_) | Prompt::Tokens(_) => Tools::default(),
        };
        let tools = match which {
            MustCall::Any => offered,
            MustCall::Tool(name) => offered.only(name),
        };
        if tools.is_empty() {
            let value = match which {
                MustCall::Any => "required".to_owned(),
                MustCall::Tool(name) => name.clone(),
            };
            let expected = "the name of a tool that is offered";
            return Err(Error::Parameter { name: "tool_choice", value, expected });
        }
        let forced = self.dialect.forced(&tools, rendered);
        match forced.map_err(|error| self.text_error(error))? {
            Some(forced) => Ok(Some(forced)),
            None => Err(Error::NoCalls { model: self.name.clone() }),
        }
    }

    /// `options` over the checkpoint's own, over the plainest.
    fn sampling(&self, options: &GenerateOptions) -> Result<Sampling, Error> {
        let own = &self.generation;
        let warm = own.do_sample != Some(false);
        let own_temperature = own.temperature.filter(|_| warm && own.do_sample.is_some());
        let sampling = Sampling {
            temperature: options.temperature.or(own_temperature).unwrap_or(0.0),
            top_p: options.top_p.or(own.top_p.filter(|_| warm)).unwrap_or(1.0),
            top_k: options.top_k.or(own.top_k.map(|k| k as usize).filter(|_| warm)).unwrap_or(0),
            min_p: options.min_p.or(own.min_p.filter(|_| warm)).unwrap_or(0.0),
            repetition_penalty: options
                .repetition_penalty
                .or(own.repetition_penalty)
                .unwrap_or(1.0),
            presence_penalty: options.presence_penalty.unwrap_or(0.0),
            frequency_penalty: options.frequency_penalty.unwrap_or(0.0),
            repetition_context: options.repetition_context,
            logit_bias: options.logit_bias.iter().map(|(&token, &bias)| (token, bias)).collect(),
            typical_p: options.typical_p.unwrap_or(1.0),
            logprobs: options.logprobs,
            seed: options.seed.unwrap_or_else(fresh_seed),
        };
        let check = |holds: bool, name, value: f32, expected| {
            let wrong = || Error::Parameter { name, value: value.to_string(), expected };
            if holds { Ok(()) } else { Err(wrong()) }
        };
        let Sampling { temperature, top_p, min_p, repetition_penalty, .. } = sampling;
        let fits = temperature.is_finite() && temperature >= 0.0;
        check(fits, "temperature", temperature, "at least 0")?;
        check((0.0..=1.0).contains(&top_p), "top_p", top_p, "from 0 to 1")?;
        check((0.0..=1.0).contains(&min_p), "min_p", min_p, "from 0 to 1")?;
        let fits = repetition_penalty.is_finite() && repetition_penalty > 0.0;
        check(fits, "repetition_penalty", repetition_penalty, "above 0")?;
        let Sampling { presence_penalty, frequency_penalty, typical_p, .. } = sampling;
        let fits = |penalty: f32| (-2.0..=2.0).contains(&penalty);
        check(fits(presence_penalty), "presence_penalty", presence_penalty, "from -2 to 2")?;
        check(fits(frequency_penalty), "frequency_penalty", frequency_penalty, "from -2 to 2")?;
        let fits = typical_p > 0.0 && typical_p <= 1.0;
        check(fits, "typical_p", typical_p, "above 0 and at most 1")?;
        let biases = sampling.logit_bias.len();
        check(biases <= MOST_BIASES, "logit_bias", biases as f32, "of at most 1024 tokens")?;
        for &(token, bias) in &sampling.logit_bias {
            let known = (token as usize) < self.facts.vocabulary;
            check(known, "logit_bias", token as f32, "of tokens that the model has")?;
            check((-100.0..=100.0).contains(&bias), "logit_bias", bias, "from -100 to 100")?;
        }
        let likeliest = sampling.logprobs.unwrap_or(0);
        check(likeliest <= MOST_LOGPROBS, "logprobs", likeliest as f32, "at most 20")?;
        Ok(sampling)
    }
}

impl Generation {
    /// The next piece, or `None` after the end. Blocks.
    ///
    /// # Errors
    ///
    /// If the request broke while it was computed.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, Error> {
        loop {
            if let Some(piece) = self.ready()? {
                return Ok(piece);
            }
            let update = self.updates.blocking_recv();
            if let Some(piece) = self.take(update)? {
                return Ok(Some(piece));
            }
        }
    }

    /// The twin of [`next_piece`](Self::next_piece) for async callers.
    ///
    /// # Errors
    ///
    /// As [`next_piece`](Self::next_piece).
    pub async fn next_piece_async(&mut self) -> Result<Option<Piece>, Error> {
        loop {
            if let Some(piece) = self.ready()? {
                return Ok(piece);
            }
            let update = self.updates.recv().await;
            if let Some(piece) = self.take(update)? {
                return Ok(Some(piece));
            }
        }
    }

    /// Ends the answer: the next piece is the end.
    pub fn cancel(&mut self) {
        if self.ended.is_none() && !self.done {
            // If the thread is gone, the next piece says so.
            let _ = self.model.runtime.send(Command::Cancel(self.model.id, self.id));
        }
    }

    /// What it took so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// How fast it came so far.
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// When its turn came, once it has.
    pub fn turn(&self) -> Option<Instant> {
        Some(self.begun + self.timings.queue?)
    }

    /// Whether an answer that ended for `reason` may lack something of what constrains it. One that a stop string ended
    /// was cut before that.
    pub fn lacks(&self, reason: &FinishReason) -> bool {
        match reason {
            FinishReason::Stop | FinishReason::Length => false,
            FinishReason::Unfinished => true,
            FinishReason::StopString(_) | FinishReason::Cancelled => self.constrained,
        }
    }

    /// All tokens that were added so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// What needs no further news: the end after the last text, and nothing after the end.
    fn ready(&mut self) -> Result<Option<Option<Piece>>, Error> {
        if let Some(piece) = self.pieces.pop_front() {
            return Ok(Some(Some(piece)));
        }
        if self.done {
            return Ok(Some(None));
        }
        let Some(reason) = self.ended.take() else { return Ok(None) };
        self.done = true;
        Ok(Some(Some(Piece::End(reason))))
    }

    fn take(&mut self, update: Option<Update>) -> Result<Option<Piece>, Error> {
        match update {
            None => {
                self.done = true;
                Err(Error::Gone)
            }
            Some(Update::Begun(found, at)) => {
                self.usage.cached_tokens = Some(found);
                self.timings.queue = Some(at.saturating_duration_since(self.begun));
                Ok(None)
            }
            Some(Update::Progress(computed)) => {
                // A request that was put aside computes its own tokens again: that is no news.
                let read = computed.min(self.usage.prompt_tokens);
                Ok(self.first.is_none().then_some(Piece::Progress(read)))
            }
            Some(Update::Likely(likely)) => {
                self.likely = Some(likely);
                Ok(None)
            }
            Some(Update::Token(token, at)) => {
                if let Some(likely) = self.likely.take()
                    && !self.model.stop.contains(&token)
                {
                    let first = self.tokens.is_empty();
                    self.logprobs.push(self.model.worded(token, &likely, first));
                }
                self.count(token, at);
                let Some(detokenizer) = &mut self.detokenizer else { return Ok(None) };
                let text = detokenizer.push(token).map_err(|e| self.model.text_error(e))?;
                self.thought.unsettled += 1;
                self.read(&text);
                Ok(self.pieces.pop_front())
            }
            Some(Update::Finished(finish)) => {
                let reason = match finish {
                    Finish::Stop => FinishReason::Stop,
                    Finish::Length => FinishReason::Length,
                    Finish::Unfinished => FinishReason::Unfinished,
                    Finish::Cancelled => FinishReason::Cancelled,
                    Finish::Failed(failure) => {
                        self.done = true;
                        return Err(failure.into());
                    }
                };
                let rest = self.detokenizer.take().map(Detokenizer::finish);
                let rest = rest.transpose().map_err(|e| self.model.text_error(e))?;
                self.read(&rest.unwrap_or_default());
                let last = self.reader.take().map_or_else(Vec::new, Reader::finish);
                self.thought.end(&last);
                self.usage.reasoning_tokens = Some(self.thought.tokens);
                last.into_iter().for_each(|said| self.told(said));
                if self.ended.is_none() {
                    let last = self.stops.finish();
                    self.pieces.extend((!last.text.is_empty()).then_some(Piece::Text(last.text)));
                    self.ended = Some(last.stopped.map_or(reason, FinishReason::StopString));
                }
                Ok(self.pieces.pop_front())
            }
        }
    }

    /// Takes more of what the model wrote.
    fn read(&mut self, text: &str) {
        match &mut self.reader {
            Some(reader) => {
                let said = reader.push(text);
                self.thought.settle(&said);
                self.usage.reasoning_tokens = Some(self.thought.tokens);
                said.into_iter().for_each(|said| self.told(said));
            }
            None => self.show(text),
        }
    }

    fn told(&mut self, said: Said) {
        match said {
            Said::Text(text) => self.show(&text),
            // What follows a stop string is not part of the answer.
            Said::Reasoning(_)
            | Said::CallBegin { .. }
            | Said::CallArguments { .. }
            | Said::CallEnd { .. }
            | Said::Broken { .. } => {
                self.pieces.extend(self.ended.is_none().then_some(Piece::Aside(said)));
            }
        }
    }

    fn show(&mut self, text: &str) {
        if self.ended.is_some() {
            return;
        }
        let out = self.stops.push(text);
        if let Some(stop) = out.stopped {
            self.cancel();
            self.ended = Some(FinishReason::StopString(stop));
        }
        self.pieces.extend((!out.text.is_empty()).then_some(Piece::Text(out.text)));
    }

    fn count(&mut self, token: u32, at: Instant) {
        let first = *self.first.get_or_insert(at);
        self.timings.first_token = Some(first - self.begun);
        self.timings.decode = at - first;
        self.usage.completion_tokens += 1;
        self.tokens.push(token);
    }
}

/// Which tokens are a thought's, told from what becomes of their text.
#[derive(Debug, Default)]
struct Thought {
    /// How many are.
    tokens: usize,
    /// How many came of which nothing was told yet.
    unsettled: usize,
    /// Whether what was told last is a thought.
    within: bool,
}

impl Thought {
    /// Takes in what is told now.
    fn settle(&mut self, said: &[Said]) {
        let is_thought = |said: &Said| matches!(said, Said::Reasoning(_));
        let (Some(first), Some(last)) = (said.first(), said.last()) else { return };
        let unsettled = std::mem::take(&mut self.unsettled);
        self.tokens += if is_thought(first) { unsettled } else { 0 };
        self.within = is_thought(last);
    }

    /// Takes in what is told at the end: of what tells nothing, the tokens are part of what came before.
    fn end(&mut self, said: &[Said]) {
        self.settle(said);
        self.tokens += if self.within { std::mem::take(&mut self.unsettled) } else { 0 };
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Chance from the clock and the process: different each time, and of no use to a guesser that
/// matters.
fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_nanos() as u64) ^ u64::from(std::process::id()).rotate_left(40)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mark that ends a thought is told with the words behind it, and counts with them.
    #[test]
    fn tokens_belong_to_what_is_told_of_them() {
        let thought = || Said::Reasoning("hm".to_owned());
        let words = || Said::Text("so".to_owned());
        let count = |told: &[Vec<Said>], last: &[Said]| {
            let mut count = Thought::default();
            for said in told {
                count.unsettled += 1;
                count.settle(said);
            }
            count.end(last);
            count.tokens
        };
        assert_eq!(count(&[vec![], vec![thought()], vec![], vec![words()], vec![]], &[]), 2);
        assert_eq!(count(&[vec![], vec![thought()], vec![]], &[]), 3);
        assert_eq!(count(&[vec![thought()], vec![]], &[words()]), 1);
        assert_eq!(count(&[vec![], vec![words()]], &[]), 0);
        assert_eq!(count(&[vec![thought(), words()], vec![]], &[]), 1);
    }
}
