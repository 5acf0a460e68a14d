//! One request: what is noted down of it, and how its time divides.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{Head, since_epoch};
use crate::config::Candidate;
use crate::route::Why;

/// Something that happened to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// An answer is asked for.
    Asked {
        /// A model, a task, or a model elsewhere.
        model: String,
    },
    /// Somebody does not answer who would have come first.
    Passed {
        /// Who.
        who: String,
        /// Why, in a word.
        why: &'static str,
        /// Why.
        reason: String,
    },
    /// It waits for a model to be in memory.
    Wants {
        /// The model.
        model: String,
    },
    /// Models that are busy stand in its way.
    Blocked {
        /// Which.
        on: Vec<String>,
    },
    /// An idle model is unloaded for it.
    Evicts {
        /// Which.
        model: String,
    },
    /// Its model is being loaded.
    Loads {
        /// Bytes that are booked for it.
        bytes: u64,
    },
    /// Its model was loaded.
    Loaded,
    /// Its model could not be loaded.
    LoadFailed,
    /// It has its model.
    Has,
    /// It was sent to a server elsewhere, which has begun to answer.
    Sent {
        /// Who and which model.
        to: String,
    },
    /// Its turn has come: its prompt is being read.
    Begun {
        /// Tokens of the prompt.
        prompt_tokens: usize,
    },
    /// The first token is there.
    First,
    /// The answer is whole.
    Ended {
        /// Why it ends there.
        reason: &'static str,
        /// Tokens of the prompt, if they are known.
        prompt_tokens: Option<usize>,
        /// Those of them that did not have to be computed, if that is known.
        cached_tokens: Option<usize>,
        /// Tokens of the answer.
        completion_tokens: usize,
    },
    /// There will be no answer.
    Failed {
        /// Why.
        reason: String,
    },
    /// Nobody waits for it any more.
    GivenUp {
        /// Tokens of the prompt and of the answer that were computed until then.
        tokens: usize,
    },
}

impl Step {
    /// `who` is passed over because of `why`.
    pub(crate) fn passed(who: &Candidate, why: &Why) -> Self {
        Self::Passed { who: who.to_string(), why: why.name(), reason: why.to_string() }
    }

    /// Tokens of prompt and answer that it tells of.
    pub(super) fn tokens(&self) -> u64 {
        let tokens = match self {
            Self::Ended { prompt_tokens, completion_tokens, .. } => {
                prompt_tokens.unwrap_or(0) + completion_tokens
            }
            Self::GivenUp { tokens } => *tokens,
            Self::Asked { .. }
            | Self::Passed { .. }
            | Self::Wants { .. }
            | Self::Blocked { .. }
            | Self::Evicts { .. }
            | Self::Loads { .. }
            | Self::Loaded
            | Self::LoadFailed
            | Self::Has
            | Self::Sent { .. }
            | Self::Begun { .. }
            | Self::First
            | Self::Failed { .. } => 0,
        };
        tokens as u64
    }

    /// Its name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Asked { .. } => "asked",
            Self::Passed { .. } => "passed",
            Self::Wants { .. } => "wants",
            Self::Blocked { .. } => "blocked",
            Self::Evicts { .. } => "evicts",
            Self::Loads { .. } => "loads",
            Self::Loaded => "loaded",
            Self::LoadFailed => "load_failed",
            Self::Has => "has",
            Self::Sent { .. } => "sent",
            Self::Begun { .. } => "begun",
            Self::First => "first_token",
            Self::Ended { .. } => "ended",
            Self::Failed { .. } => "failed",
            Self::GivenUp { .. } => "given_up",
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Asked { model } | Self::Wants { model } | Self::Evicts { model } => {
                json!({"model": model})
            }
            Self::Passed { who, why, reason } => {
                json!({"who": who, "why": why, "reason": reason})
            }
            Self::Blocked { on } => json!({"on": on}),
            Self::Loads { bytes } => json!({"bytes": bytes}),
            Self::Sent { to } => json!({"to": to}),
            Self::Begun { prompt_tokens } => json!({"prompt_tokens": prompt_tokens}),
            Self::Ended { reason, prompt_tokens, cached_tokens, completion_tokens } => json!({
                "reason": reason,
                "prompt_tokens": prompt_tokens,
                "cached_tokens": cached_tokens,
                "completion_tokens": completion_tokens,
            }),
            Self::Failed { reason } => json!({"reason": reason}),
            Self::GivenUp { tokens } => json!({"tokens": tokens}),
            Self::Loaded | Self::LoadFailed | Self::Has | Self::First => json!({}),
        }
    }
}

/// A step, and when it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Since the request began.
    pub at: Duration,
    /// Which of its answers it is about, from 0.
    pub answer: u32,
    /// What happened.
    pub step: Step,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was known when it began.
    pub head: Head,
    /// When that was.
    pub began: SystemTime,
    /// How long it took, or has taken so far.
    pub seconds: Duration,
    /// Whether it is over.
    pub over: bool,
    /// Whose key was shown; empty if none is asked for.
    pub client: String,
    /// Its HTTP status, once there is one.
    pub status: Option<u16>,
    /// Whether the whole answer was sent; `false` for one who hung up.
    pub sent: bool,
    /// Answers that were asked for.
    pub answers: u32,
    /// What happened, in order.
    pub steps: Vec<Told>,
    /// Steps that are not kept.
    pub left_out: u64,
    /// Tokens that these told of.
    pub(super) tokens_left_out: u64,
}

/// Where the time of an answer went. What has not come to pass is absent; what is under way counts until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Until its model was in memory, loads included.
    pub model: Option<Duration>,
    /// Of that, while its model was being loaded.
    pub load: Option<Duration>,
    /// From there until its turn came.
    pub queue: Option<Duration>,
    /// From there to the first token.
    pub prompt: Option<Duration>,
    /// From there to the end.
    pub answer: Option<Duration>,
}

impl Record {
    pub(super) fn of(head: Head, began: SystemTime) -> Self {
        Self {
            head,
            began,
            seconds: Duration::ZERO,
            over: false,
            client: String::new(),
            status: None,
            sent: false,
            answers: 0,
            steps: Vec::new(),
            left_out: 0,
            tokens_left_out: 0,
        }
    }

    /// Whether there is anything to tell: a model was asked, or the request was refused for what is in it.
    pub(super) fn is_telling(&self) -> bool {
        let refused = self
            .status
            .is_some_and(|status| status >= 400 && !matches!(status, 401 | 403 | 404 | 405));
        refused || !self.steps.is_empty()
    }

    /// Tokens of all its prompts and answers, as far as they are known.
    pub fn tokens(&self) -> u64 {
        let kept = self.steps.iter().map(|told| told.step.tokens());
        kept.fold(self.tokens_left_out, u64::saturating_add)
    }

    /// The steps of one answer.
    pub fn steps_of(&self, answer: u32) -> impl Iterator<Item = &Told> {
        self.steps.iter().filter(move |told| told.answer == answer)
    }

    /// Where the time of one of its answers went.
    pub fn phases(&self, answer: u32) -> Phases {
        let when = |is: &dyn Fn(&Step) -> bool| {
            self.steps_of(answer).filter(|told| is(&told.step)).map(|told| told.at).last()
        };
        let end = when(&|step| {
            matches!(step, Step::Ended { .. } | Step::Failed { .. } | Step::GivenUp { .. })
        });
        // Time goes on while a request is under way, and no longer.
        let end = end.unwrap_or(self.seconds);
        let wants = when(&|step| matches!(step, Step::Wants { .. }));
        let has = when(&|step| matches!(step, Step::Has));
        let begun = when(&|step| matches!(step, Step::Begun { .. } | Step::Sent { .. }));
        let first = when(&|step| matches!(step, Step::First));
        let loads = when(&|step| matches!(step, Step::Loads { .. }));
        let loaded = when(&|step| matches!(step, Step::Loaded | Step::LoadFailed));
        let from = |from: Option<Duration>, to: Option<Duration>| {
            from.map(|from| to.unwrap_or(end).saturating_sub(from))
        };
        Phases {
            model: from(wants, has),
            load: from(loads, loaded),
            queue: from(has, begun),
            prompt: from(begun, first),
            answer: from(first, None),
        }
    }

    /// Who answers one of its answers, or is to.
    pub fn model(&self, answer: u32) -> Option<&str> {
        let mut named = None;
        for told in self.steps_of(answer) {
            if let Step::Asked { model: name }
            | Step::Wants { model: name }
            | Step::Sent { to: name } = &told.step
            {
                named = Some(name.as_str());
            }
        }
        named
    }

    /// All of it as JSON; times in seconds.
    pub fn json(&self) -> Value {
        let steps = self.steps.iter().map(|told| {
            let mut step = json!({
                "at": told.at.as_secs_f64(),
                "answer": told.answer,
                "what": told.step.name(),
            });
            if let (Value::Object(step), Value::Object(more)) = (&mut step, told.step.json()) {
                step.extend(more);
            }
            step
        });
        let answers = (0..self.answers).map(|answer| {
            let phases = self.phases(answer);
            let seconds = |phase: Option<Duration>| phase.map(|phase| phase.as_secs_f64());
            json!({
                "model": self.model(answer),
                "model_seconds": seconds(phases.model),
                "load_seconds": seconds(phases.load),
                "queue_seconds": seconds(phases.queue),
                "prompt_seconds": seconds(phases.prompt),
                "answer_seconds": seconds(phases.answer),
            })
        });
        json!({
            "id": self.head.id,
            "method": self.head.method,
            "path": self.head.path,
            "client": self.client,
            "began": since_epoch(self.began).as_secs_f64(),
            "seconds": self.seconds.as_secs_f64(),
            "over": self.over,
            "status": self.status,
            "sent": self.sent,
            "answers": answers.collect::<Vec<_>>(),
            "steps": steps.collect::<Vec<_>>(),
            "steps_left_out": self.left_out,
        })
    }
}
