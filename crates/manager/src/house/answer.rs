//! An answer that somebody waits for, from whichever model gives it.

use std::sync::Arc;

use text::Said;

use super::{Error, House, Lease, apart};
use crate::runtime::{
    FinishReason, GenerateOptions, Generation, Piece, Prompt, Timings, TokenLogprobs, Usage,
};

/// A question to a model.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The model's name.
    pub model: String,
    /// What is to be continued.
    pub prompt: Prompt,
    /// How.
    pub options: GenerateOptions,
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
    // In this order: the request ends before the model may go.
    generation: Generation,
    lease: Lease,
    calls: usize,
    broken: Vec<text::Fault>,
    /// What comes after what is told now.
    later: Option<News>,
}

impl House {
    /// Begins to answer, once the model is in memory.
    ///
    /// # Errors
    ///
    /// If there is no such model, it cannot be loaded, or it does not take the question.
    pub async fn answer(self: &Arc<Self>, ask: Ask) -> Result<Answer, Error> {
        let lease = self.lease(&ask.model).await?;
        apart(move || {
            let prompt = lease.model().shielded(ask.prompt);
            let generation = lease.model().generate(&prompt, &ask.options)?;
            Ok(Answer { generation, lease, calls: 0, broken: Vec::new(), later: None })
        })
        .await
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

impl Answer {
    /// The name of the model that answers.
    pub fn model(&self) -> &str {
        self.lease.name()
    }

    /// What it took so far.
    pub fn usage(&self) -> Usage {
        self.generation.usage()
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
        let Some(piece) = self.generation.next_piece_async().await? else { return Ok(None) };
        let news = match piece {
            Piece::Progress(read) => News::Progress(read),
            Piece::Text(text) => News::Text(text),
            Piece::Aside(said) => self.told(said),
            Piece::End(reason) => News::End(End {
                reason,
                usage: self.generation.usage(),
                timings: self.generation.timings(),
                calls: self.calls,
                broken: std::mem::take(&mut self.broken),
            }),
        };
        let logprobs = self.generation.take_logprobs();
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
}
